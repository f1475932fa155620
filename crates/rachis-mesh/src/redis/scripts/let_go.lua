-- Lets go of a call that shall run once and has not come to an end that is kept, so that a repeat may run.
-- KEYS: 1 the call. ARGV: 1 the mark. Returns 1, or 0 if it is somebody else's by now.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
