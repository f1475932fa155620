-- A request that a replica was given and has not settled. Reading it as a consumer reads its own past would count as
-- another delivery.
-- KEYS: 1 calls. ARGV: 1 group, 2 consumer, 3 entry id. Returns frame and deliveries, or nothing if it is not (or no
-- longer) that replica's.
local given, refused = pending(ARGV[3], ARGV[3], 1, ARGV[2])
if not given then return refused or false end
if not given[1] then return false end
local entries = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])
if not entries[1] then
  -- Its caller has withdrawn it just as it was given out, or it was settled, as far as being deleted.
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
  return false
end
return { field(entries[1][2], 'm') or '', given[1][4] }
