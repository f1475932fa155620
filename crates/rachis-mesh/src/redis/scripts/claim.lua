-- Takes over what a dead replica was given and had not finished.
-- KEYS: 1 calls. ARGV: 1 group, 2 the dead consumer, 3 the heir, 4 how many at most
-- In one step, so that of two heirs only one gets each request. Returns triples of entry id, frame and how often it
-- was delivered, this time included. A consumer with nothing left is removed; with something left it would take that along.

-- Only the reply tells the heir what it has, so nothing may be forbidden behind the first XCLAIM.
may_settle()
local taken, given, refused = {}, nil, nil
repeat
  given, refused = pending('-', '+', ARGV[4], ARGV[2])
  if not given then return refused or {} end
  for _, entry in ipairs(given) do
    local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], '0', entry[1])
    if claimed[1] and claimed[1][2] then
      local frame = field(claimed[1][2], 'm')
      if frame then taken[#taken + 1] = { entry[1], frame, entry[4] + 1 } end
    else
      -- It was settled, as far as being deleted.
      redis.call('XACK', KEYS[1], ARGV[1], entry[1])
    end
  end
until #taken > 0 or #given == 0
if #given == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return taken
