-- Settles a request that a replica was given and does not begin, unless another one has taken it over: that one may run it,
-- and answers it.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id, 3 the replica. Returns 1, or 0 if it is settled or another's.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1, ARGV[3])
if pending.err then return string.find(pending.err, 'NOGROUP', 1, true) and 0 or pending end
if not pending[1] then return 0 end
-- Settles nothing. But what Redis forbids below it forbids here, where the request is still as it was.
redis.call('XACK', KEYS[1], ARGV[1], '0-0')
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return 1
