-- Keeps what a call with an idempotency key ended in though Redis is out of memory: the call has run, and a repeat must
-- find it. The mark of the run stands there already, so little is added.
-- KEYS: 1 the call. ARGV: 1 value, 2 its time to live in ms, 3 perhaps the mark of the run, beside which nothing is
-- replaced. Returns 1, or 0 where something else stands.
local there = ARGV[3] and redis.call('GET', KEYS[1])
if there and there ~= ARGV[3] then return 0 end
-- After a write that takes no memory, Redis lets a script finish though its memory is full.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
