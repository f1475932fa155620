-- Deletes a request that nobody has started. Whoever settles one deletes it before it is acknowledged, so one that stands
-- in the stream and is nobody's was given to nobody.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id. Returns 1 if it was still waiting, 0 if a replica has it or had it, or if that is
-- not to be known: a group that is gone takes along who had what.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if pending.err or #pending > 0 then return 0 end
return redis.call('XDEL', KEYS[1], ARGV[2])
