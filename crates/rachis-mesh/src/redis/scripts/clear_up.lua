-- Removes the nodes that are not alive any more, and tells everyone what nobody told in time.
-- ARGV: 6 ttl, 7 whether to sweep (1 or 0), 8 the server's time when this was sent
-- Returns epoch, the version that everyone was told, and in how many ms (0: not) the node is to tell more.

-- Removes nothing. But after a write that takes no memory, Redis lets a script finish though its memory is full.
redis.call('ZREM', KEYS[2], '')
local now = now_ms()
local wait = 0
-- What was long under way has waited for a server that stood still, and so have the beats of those who look expired now:
-- theirs come right behind it.
if ARGV[7] == '1' and now - ARGV[8] < ARGV[6] / 4 then
  -- A bounded bite; the next beat of anyone takes the rest.
  local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. whole(now), 'LIMIT', '0', '200')
  local items, removal, _ = {}, { counts = {}, nodes = {} }, nil
  for _, id in ipairs(expired) do items[#items + 1] = { 'node-down', id, remove_node(now, id, removal) } end
  if #items > 0 then _, wait = commit(now, items) end
  finish(removal)
end
-- Who promised to tell may have died.
local told = attempt(tell_due, now)
return outcome({ redis.call('GET', KEYS[3]) or '0', whole(told or 0), wait })
