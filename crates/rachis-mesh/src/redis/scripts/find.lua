-- Looks through a part of the requests for those in whose first bytes a text occurs.
-- KEYS: 1 calls. ARGV: 1 text, 2 where to begin (as XRANGE takes it), 3 how many bytes count as first, 4 how many entries
-- and 5 how many bytes to look at in one go.
-- Returns where to go on (empty at the end) and pairs of entry id and first bytes. Whatever was there all the time is
-- found: a request that is handed back goes to the end, where the search still has to come by.
local found, from, entries_seen, bytes_seen = {}, ARGV[2], 0, 0
while entries_seen < tonumber(ARGV[4]) and bytes_seen < tonumber(ARGV[5]) do
  -- Few at a time: each may be as large as max_payload.
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', '16')
  for _, entry in ipairs(entries) do
    for i = 1, #entry[2], 2 do
      local value = entry[2][i + 1]
      bytes_seen = bytes_seen + #value
      if entry[2][i] == 'm' then
        local first = string.sub(value, 1, tonumber(ARGV[3]))
        if string.find(first, ARGV[1], 1, true) then found[#found + 1] = { entry[1], first } end
      end
    end
    from = '(' .. entry[1]
  end
  entries_seen = entries_seen + #entries
  if #entries < 16 then return { '', found } end
end
return { from, found }
