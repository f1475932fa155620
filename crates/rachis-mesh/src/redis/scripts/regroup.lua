-- Makes the group of an app's replicas, and the stream, where they are missing.
-- KEYS: 1 calls. ARGV: 1 group, 2 who gets what was there before the group, 3 the replica that asks, 4... entry ids of what
-- it works on. Returns 1 if something is left for an heir of ARGV[2], else 0.

-- Does nothing to a key that never expires. But after a write that takes no memory, Redis lets a script finish though
-- its memory is full.
redis.call('PERSIST', KEYS[1])
-- These find and claim nothing. But what Redis forbids below it forbids here: once the group is there, nobody looks
-- again for what was there before.
redis.call('XRANGE', KEYS[1], '0-0', '0-0')
local _, refused = pending('0-0', '0-0', '1', ARGV[2])
refused = refused or refusal(redis.pcall('XCLAIM', KEYS[1], ARGV[1], ARGV[3], '0', '0-0', 'JUSTID'))
if refused then return refused end
local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '$', 'MKSTREAM')
if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
if not made.err then
  -- Somebody destroyed the group. What stands in the stream may have been given to a replica and begun, so it must not look
  -- new: it becomes the legacy of a replica that never was.
  local from = '-'
  repeat
    local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', '16')
    for _, entry in ipairs(entries) do
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], '0', entry[1], 'FORCE', 'JUSTID', 'RETRYCOUNT', '1')
      from = '(' .. entry[1]
    end
  until #entries < 16
end
-- Whoever works on something keeps it.
for i = 4, #ARGV do
  if pending(ARGV[i], ARGV[i], 1, ARGV[2])[1] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], '0', ARGV[i], 'JUSTID')
  end
end
return #pending('-', '+', 1, ARGV[2])
