-- Deletes a request that nobody has started. Whoever settles one deletes it before it is acknowledged, so one that stands
-- in the stream and is nobody's was given to nobody, or Redis refused to delete it: those lie where the group has been.
-- KEYS: 1 calls. ARGV: 1 group, 2 entry id. Returns 1 if it was still waiting, the name of the replica that has it, or 0 if
-- one had it, or if that is not to be known: a group that is gone takes along who had what, and a user may lack the right.
-- Sent whole with each use, so it stands for itself and shares nothing; it deletes last, and so probes no rights.
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if pending.err then return 0 end
if pending[1] then return pending[1][2] end
local function field(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then return list[i + 1] end
  end
end
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local stream = redis.pcall('XINFO', 'STREAM', KEYS[1], 'FULL', 'COUNT', '1')
local waited = false
if not stream.err then
  local ms, seq = parts(ARGV[2])
  for _, group in ipairs(field(stream, 'groups')) do
    if field(group, 'name') == ARGV[1] then
      local last, after = parts(field(group, 'last-delivered-id'))
      waited = last < ms or (last == ms and after < seq)
    end
  end
end
local deleted = redis.call('XDEL', KEYS[1], ARGV[2])
return waited and deleted or 0
