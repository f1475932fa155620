-- Keeps a node alive. Every node asks for it all the time, and it mostly finds nothing else to do: so it stands alone, and
-- what is to be cleared up is left to another script.
-- KEYS: 1 the node, 2 nodes, 3 epoch, 4 told, 5 the node's app
-- ARGV: 1 node id, 2 ttl, 3 hygiene, 4 whether the app's key expires (1 or 0), 5 whether the node may sweep (1 or 0)
-- Returns whether the node is known, epoch, server time, the version that everyone was told, and whether there is
-- something to clear up: the expired, or changes that nobody told in time.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A write that takes no memory: after that, Redis lets a script finish though its memory is full.
local known = redis.call('PEXPIRE', KEYS[1], ARGV[3])
local epoch = redis.call('GET', KEYS[3]) or '0'
if known == 0 then return { 0, epoch, now, epoch, 0 } end
-- Redis writes numbers of this size out in full.
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
if ARGV[4] == '1' then redis.call('PEXPIRE', KEYS[5], ARGV[3]) end

local told, clear_up = epoch, 0
local held = redis.call('GET', KEYS[4])
if held then
  local version, rest, pause = string.match(held, '^(%d+) (%d+) (%d+)')
  told = version or epoch
  -- A pause that ends later than it could was begun before the clock was set back.
  if told ~= epoch and (now >= tonumber(rest) or tonumber(rest) > now + pause) then clear_up = 1 end
end
if ARGV[5] == '1' then
  local first = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - 1, 'LIMIT', '0', '1')
  if first[1] then clear_up = 1 end
end
return { 1, epoch, now, told, clear_up }
