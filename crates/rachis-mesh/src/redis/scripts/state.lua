-- Says that a node is up or draining, without touching its services.
-- ARGV: 6 state. Returns in how many ms (0: not) the node is to tell everyone, or nothing if it is not known.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
-- Removes nothing. But after a write that takes no memory, Redis lets a script finish though its memory is full.
redis.call('ZREM', KEYS[2], '')
redis.call('HSET', KEYS[1], 'state', ARGV[6])
local _, wait = commit(now_ms(), { { 'service', ARGV[1], redis.call('HGETALL', KEYS[1]) } })
return outcome(wait)
