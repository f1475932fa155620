-- A request that a replica was given and has not settled. Reading it as a consumer reads its own past would count as
-- another delivery.
-- KEYS: 1 calls. ARGV: 1 group, 2 consumer, 3 entry id. Returns frame and deliveries, or nothing if it is not (or no
-- longer) that replica's.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if pending.err and not string.find(pending.err, 'NOGROUP', 1, true) then return pending end
if pending.err or not pending[1] then return false end
local entries = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])
if not entries[1] then
  -- Its caller has withdrawn it just as it was given out, or it was settled, as far as being deleted.
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
  return false
end
local fields, frame = entries[1][2], ''
for i = 1, #fields, 2 do
  if fields[i] == 'm' then frame = fields[i + 1] end
end
return { frame, pending[1][4] }
