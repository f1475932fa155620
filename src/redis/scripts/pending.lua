-- What a replica was given and has not settled, with how often it was delivered. Reading it as a consumer reads its own
-- past would count as another delivery.
-- KEYS: 1 calls. ARGV: 1 group, 2 consumer, 3 how many at most. Returns triples of entry id, frame and deliveries.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', ARGV[3], ARGV[2])
if pending.err then return {} end
local found = {}
for _, entry in ipairs(pending) do
  local entries = redis.call('XRANGE', KEYS[1], entry[1], entry[1])
  if entries[1] then
    local fields, frame = entries[1][2], ''
    for i = 1, #fields, 2 do
      if fields[i] == 'm' then frame = fields[i + 1] end
    end
    found[#found + 1] = { entry[1], frame, entry[4] }
  end
end
return found
