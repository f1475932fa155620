-- Deletes requests that were settled while Redis refused to delete them. They stand where the group has been, and are
-- nobody's: whoever settles one deletes it before it is acknowledged.
-- KEYS: 1 calls. ARGV: 1 group, 2 where to begin (as XRANGE takes it), 3 how many entries and 4 how many bytes to look at in
-- one go. Returns where to go on (empty at the end), and how many were deleted.
-- It probes no rights: all it changes it changes in its last command, so one that is refused has changed nothing.
local stream = redis.pcall('XINFO', 'STREAM', KEYS[1], 'FULL', 'COUNT', '1')
if stream.err then return string.find(stream.err, 'no such key', 1, true) and { '', 0 } or stream end
local last = nil
for _, group in ipairs(field(stream, 'groups')) do
  if field(group, 'name') == ARGV[1] then last = field(group, 'last-delivered-id') end
end
if not last then return { '', 0 } end

local settled, from, entries_seen, bytes_seen = {}, ARGV[2], 0, 0
while from ~= '' and entries_seen < tonumber(ARGV[3]) and bytes_seen < tonumber(ARGV[4]) do
  -- Few at a time: each may be as large as max_payload.
  local entries = redis.call('XRANGE', KEYS[1], from, last, 'COUNT', '16')
  for _, entry in ipairs(entries) do
    for _, value in ipairs(entry[2]) do bytes_seen = bytes_seen + #value end
    if #redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1) == 0 then settled[#settled + 1] = entry[1] end
    from = '(' .. entry[1]
  end
  entries_seen = entries_seen + #entries
  if #entries < 16 then from = '' end
end
if #settled > 0 then redis.call('XDEL', KEYS[1], unpack(settled)) end
return { from, #settled }
