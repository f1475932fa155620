-- Settles a request that a replica was given and does not begin, unless another one has taken it over: that one may run it,
-- and answers it.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id, 3 the replica. Returns 1, or 0 if it is another's or that is not known without a
-- group, or 2 if it is nobody's: it was settled, perhaps by an earlier run of this, of which the replica has not heard.
local given, refused = pending(ARGV[2], ARGV[2], 1)
if not given then return refused or 0 end
if not given[1] then return 2 end
if given[1][2] ~= ARGV[3] then return 0 end
may_settle()
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return 1
