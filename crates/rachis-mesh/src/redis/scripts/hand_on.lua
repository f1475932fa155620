-- Makes a request that one replica was given another one's. It stays in the stream, so whoever inherits from that one
-- finds it, and it does not count as delivered once more.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id, 3 from, 4 to. Returns 1 if it is the other's now, however often this is asked.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if pending.err then return string.find(pending.err, 'NOGROUP', 1, true) and 0 or pending end
if not pending[1] then return 0 end
if pending[1][2] == ARGV[4] then return 1 end
if pending[1][2] ~= ARGV[3] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[4], '0', ARGV[2], 'JUSTID')
return 1
