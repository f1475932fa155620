-- Where requests stand.
-- KEYS: 1 calls. ARGV: 1 group, 2... entry ids. Returns for each 0 (nowhere), 1 (it waits) or the replica that was
-- given it.
local places = {}
for i = 2, #ARGV do
  local place = 0
  if redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] then
    local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
    if pending.err and not string.find(pending.err, 'NOGROUP', 1, true) then return pending end
    place = not pending.err and pending[1] and pending[1][2] or 1
  end
  places[#places + 1] = place
end
return places
