-- What the scripts of a request stream share; it stands before each of them.
-- KEYS: 1 calls. ARGV: 1 group.

-- These two settle and delete nothing. But what Redis forbids later it forbids here, so a script asks before its first change;
-- and after a write that takes no memory, Redis lets a script finish though its memory is full.
local function may_settle() redis.call('XACK', KEYS[1], ARGV[1], '0-0') end
local function may_delete() redis.call('XDEL', KEYS[1], '0-0') end

-- An error that says more than that there is no group: without one, nothing was given to anybody.
local function refusal(answer)
  return answer.err and not string.find(answer.err, 'NOGROUP', 1, true) and answer or nil
end

-- What was given out and is not settled, as XPENDING finds it. Nothing without a group; where Redis refuses to tell, nothing and
-- the refusal.
local function pending(...)
  local found = redis.pcall('XPENDING', KEYS[1], ARGV[1], ...)
  if found.err then return nil, refusal(found) end
  return found
end

-- What follows a name in a list of names and values.
local function field(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then return list[i + 1] end
  end
end
