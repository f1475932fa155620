-- Keeps a node alive and, where asked, removes those that are not.
-- ARGV: 6 ttl, 7 hygiene, 8 linger, 9 whether to sweep (1 or 0), 10 the server's time when the beat was sent
-- Returns whether the node is known, epoch, server time.

local now = now_ms()
if redis.call('PEXPIRE', KEYS[1], ARGV[7]) == 0 then
  return { 0, redis.call('GET', KEYS[3]) or '0', whole(now) }
end
redis.call('ZADD', KEYS[2], whole(now + ARGV[6]), ARGV[1])
if tonumber(ARGV[8]) >= 0 then redis.call('PEXPIRE', KEYS[5], ARGV[7]) end

-- A beat that was long under way has waited for a server that stood still, and so have the beats of those who look
-- expired now: theirs come right behind it.
if ARGV[9] == '1' and now - ARGV[10] < ARGV[6] / 4 then
  -- A bounded bite; the next beat of anyone takes the rest.
  local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. whole(now), 'LIMIT', '0', '200')
  local items = {}
  for _, id in ipairs(expired) do
    local left = remove_node(now, id)
    if left then items[#items + 1] = { 'node-down', id, left } end
  end
  if #items > 0 then commit(now, items) end
end
return { 1, redis.call('GET', KEYS[3]) or '0', whole(now) }
