-- Deletes a request that nobody has started.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id. Returns 1 if it was still waiting, 0 if a replica has it or had it.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if type(pending) == 'table' and not pending.err and #pending > 0 then return 0 end
return redis.call('XDEL', KEYS[1], ARGV[2])
