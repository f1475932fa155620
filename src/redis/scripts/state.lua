-- Says that a node is up or draining, without touching its services.
-- ARGV: 6 state
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
-- Removes nothing. But after a write that takes no memory, Redis lets a script finish though its memory is full.
redis.call('ZREM', KEYS[2], '')
redis.call('HSET', KEYS[1], 'state', ARGV[6])
commit(now_ms(), { { 'service', ARGV[1], redis.call('HGETALL', KEYS[1]) } })
return 1
