-- Keeps what a call with an idempotency key ended in though Redis is out of memory: the call has run, and a repeat must
-- find it. The mark of the run stands there already, so little is added.
-- KEYS: 1 the call. ARGV: 1 value, 2 its time to live in ms.
-- After a write that takes no memory, Redis lets a script finish though its memory is full.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
