-- Hands back a request that was pulled and not started: another replica gets it as if it were new.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id, 3 frame. Returns 1, or 0 if it was settled meanwhile.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
-- Settled, as far as being deleted.
if redis.call('XDEL', KEYS[1], ARGV[2]) == 0 then return 0 end
redis.call('XADD', KEYS[1], '*', 'm', ARGV[3])
return 1
