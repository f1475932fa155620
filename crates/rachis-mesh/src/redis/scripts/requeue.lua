-- Hands back a request that was pulled and not started: another replica gets it as if it were new.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id, 3 frame, 4 the replica that hands it back. Returns 1, or 0 if it was settled
-- meanwhile, or taken over.
local given, refused = pending(ARGV[2], ARGV[2], 1, ARGV[4])
if not given then return refused or 0 end
if not given[1] then return 0 end
local entries = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
may_settle()
may_delete()
-- Settled, as far as being deleted.
if entries[1] then redis.call('XADD', KEYS[1], '*', 'm', ARGV[3]) end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return entries[1] and 1 or 0
