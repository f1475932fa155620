-- Keeps a node alive and, where asked, removes those that are not.
-- ARGV: 6 ttl, 7 hygiene, 8 linger, 9 whether to sweep (1 or 0), 10 the server's time when the beat was sent
-- Returns whether the node is known, epoch, server time, the version that everyone was told, and in how many ms (0: not)
-- the node is to tell more.

local now = now_ms()
if redis.call('PEXPIRE', KEYS[1], ARGV[7]) == 0 then
  local epoch = redis.call('GET', KEYS[3]) or '0'
  return { 0, epoch, whole(now), epoch, 0 }
end
redis.call('ZADD', KEYS[2], whole(now + ARGV[6]), ARGV[1])
if tonumber(ARGV[8]) >= 0 then redis.call('PEXPIRE', KEYS[5], ARGV[7]) end
local wait = 0

-- A beat that was long under way has waited for a server that stood still, and so have the beats of those who look
-- expired now: theirs come right behind it.
if ARGV[9] == '1' and now - ARGV[10] < ARGV[6] / 4 then
  -- A bounded bite; the next beat of anyone takes the rest.
  local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. whole(now), 'LIMIT', '0', '200')
  local items, _ = {}, nil
  for _, id in ipairs(expired) do
    local left = remove_node(now, id)
    if left then items[#items + 1] = { 'node-down', id, left } end
  end
  if #items > 0 then _, wait = commit(now, items) end
end
-- Who promised to tell may have died.
local told = tell_due(now)
return { 1, redis.call('GET', KEYS[3]) or '0', whole(now), whole(told), wait }
