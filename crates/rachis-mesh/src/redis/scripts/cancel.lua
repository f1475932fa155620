-- Deletes a request that nobody has started. Whoever settles one deletes it before it is acknowledged, so one that stands
-- in the stream and is nobody's was given to nobody.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id. Returns 1 if it was still waiting, the name of the replica that has it, or 0 if
-- one had it, or if that is not to be known: a group that is gone takes along who had what.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if pending.err then return 0 end
if pending[1] then return pending[1][2] end
return redis.call('XDEL', KEYS[1], ARGV[2])
