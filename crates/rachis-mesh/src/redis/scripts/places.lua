-- Where requests stand.
-- KEYS: 1 calls. ARGV: 1 group, 2... entry ids. Returns for each 0 (nowhere), 1 (it waits) or the replica that was
-- given it.
local places = {}
for i = 2, #ARGV do
  local place = 0
  if redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1] then
    local given, refused = pending(ARGV[i], ARGV[i], 1)
    if refused then return refused end
    place = given and given[1] and given[1][2] or 1
  end
  places[#places + 1] = place
end
return places
