-- Keeps what a call with an idempotency key ended in, where the mark of its run stands or nothing does: what another run
-- has begun meanwhile, or has come to, is not replaced. Also when Redis is out of memory: the call has run, and a repeat
-- must find it. The mark stands there already, so little is added.
-- KEYS: 1 the call. ARGV: 1 value, 2 its time to live in ms, 3 the mark of the run. Returns 1, or 0 where something else
-- stands. The value itself may stand there: whoever does not hear of a write repeats it.
local there = redis.call('GET', KEYS[1])
if there and there ~= ARGV[3] and there ~= ARGV[1] then return 0 end
local kept = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
-- After a write that takes no memory, Redis lets a script finish though its memory is full. Not before it says so: a mark
-- whose run is over must not hold as long as a reply.
if kept.err and string.find(kept.err, 'OOM', 1, true) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  kept = redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return kept.err and kept or 1
