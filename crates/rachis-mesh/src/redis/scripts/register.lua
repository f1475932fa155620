-- Writes what a node announces, whole: a first registration, a change of its services, or a return after Redis forgot.
-- ARGV: 6 ttl, 7 hygiene, 8 linger, 9 head, 10 state, 11 manifest of its schemas (empty: none), 12... pairs of path and
-- descriptor
-- Returns epoch, server time, whether the node was known, and in how many ms (0: not) it is to tell everyone.

local id, app = ARGV[1], ARGV[2]
local now = now_ms()
local known = redis.call('ZSCORE', KEYS[2], id)

local before = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 2) == 's:' then before[string.sub(field, 3)] = true end
end

redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('HSET', KEYS[5], 'linger', ARGV[8])

local fields, paths = { 'app', app, 'head', ARGV[9], 'state', ARGV[10] }, {}
for i = 12, #ARGV, 2 do
  local path, descriptor = ARGV[i], ARGV[i + 1]
  local since = redis.call('HGET', KEYS[5], 't:' .. path)
  -- Whoever comes back after the linger is new: another app may have the path by then.
  local ended = tonumber(redis.call('HGET', KEYS[5], 'e:' .. path) or 'inf')
  if not since or (ended and ended <= now) then since = whole(now) end
  redis.call('HSET', KEYS[5], 's:' .. path, descriptor, 't:' .. path, since)
  redis.call('HDEL', KEYS[5], 'e:' .. path)
  for _, value in ipairs({ 's:' .. path, descriptor, 't:' .. path, since }) do fields[#fields + 1] = value end
  paths[#paths + 1] = path
  before[path] = nil
end
if ARGV[11] ~= '' then paths[#paths + 1] = '/' .. ARGV[11] end
redis.call('HSET', KEYS[5], 'n:' .. id, table.concat(paths, '\n'))

local gone, stale = {}, {}
for path in pairs(before) do
  gone[#gone + 1] = path
  stale[#stale + 1] = 's:' .. path
  stale[#stale + 1] = 't:' .. path
end
if #gone > 0 then drop_paths(now, app, { [id] = true }, gone, true) end
if tonumber(ARGV[8]) < 0 then redis.call('PERSIST', KEYS[5]) else redis.call('PEXPIRE', KEYS[5], ARGV[7]) end
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', '(' .. whole(now))

-- What was offered before is known by the hash of the node, so that is written when the app's is.
for start = 1, #fields, 1000 do
  redis.call('HSET', KEYS[1], unpack(fields, start, math.min(start + 999, #fields)))
end
for start = 1, #stale, 1000 do
  redis.call('HDEL', KEYS[1], unpack(stale, start, math.min(start + 999, #stale)))
end
redis.call('PEXPIRE', KEYS[1], ARGV[7])

local kind = 'service'
if not known then kind = 'node-up' elseif #gone > 0 then kind = 'service-removed' end
local epoch, wait = commit(now, { { kind, id, fields } })
redis.call('ZADD', KEYS[2], whole(now + ARGV[6]), id)
return outcome({ whole(epoch), whole(now), known and 1 or 0, wait })
