-- Begins a call that shall run once, unless somebody runs it or has run it.
-- KEYS: 1 the call. ARGV: 1 fingerprint of what is asked, 2 node, 3 which of its runs: a name, and '~N' for the Nth delivery
-- of the same request from the second on, 4 how long the mark holds (ms),
-- 5 a node that is dead (or ''), 6 '1' to make one's own mark hold on, or again, and nothing else
-- The value is a letter and the fingerprint, then, of a call that runs (R), 'NODE RUN', or of a finished one (F), its reply.
local there = redis.call('GET', KEYS[1])
local own = 'R' .. ARGV[1] .. ARGV[2] .. ' ' .. ARGV[3]
if ARGV[6] == '1' then
  if there and there ~= own then return { 'lost' } end
  -- Redis may have lost it, while the run goes on.
  redis.call('SET', KEYS[1], own, 'PX', ARGV[4])
  return { 'begun' }
end
if there then
  local asked = 1 + #ARGV[1]
  if string.sub(there, 2, asked) ~= ARGV[1] then return { 'other' } end
  local rest = string.sub(there, asked + 1)
  if string.sub(there, 1, 1) == 'F' then return { 'kept', rest } end
  local node, run = string.match(rest, '^(%S*) (.*)$')
  local function delivery(run)
    local name, number = string.match(run, '^(.*)~(%d+)$')
    return name or run, tonumber(number or 1)
  end
  local name, number = delivery(run)
  local mine, nth = delivery(ARGV[3])
  -- Of deliveries of one request the last one has the claim: whoever it was given to has the request now. An earlier one
  -- that was held up on its way here comes too late.
  if (name ~= mine or nth < number) and node ~= ARGV[5] then return { 'running', node } end
end
redis.call('SET', KEYS[1], own, 'PX', ARGV[4])
return { 'begun' }
