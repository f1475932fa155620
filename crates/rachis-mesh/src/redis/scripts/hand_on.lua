-- Makes a request that one replica was given another one's. It stays in the stream, so whoever inherits from that one
-- finds it, and it does not count as delivered once more.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id, 3 from, 4 to. Returns 1 if it is the other's now, however often this is asked.
local given, refused = pending(ARGV[2], ARGV[2], 1)
if not given then return refused or 0 end
if not given[1] then return 0 end
if given[1][2] == ARGV[4] then return 1 end
if given[1][2] ~= ARGV[3] then return 0 end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[4], '0', ARGV[2], 'JUSTID')
return 1
