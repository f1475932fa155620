-- Publishes events that one node fired on one service, in their order, and keeps each under the same id for those who are
-- away. Events that were published before are skipped, so whatever was not confirmed is sent again without harm.
-- KEYS: 1 log, 2 last.
-- ARGV: 1 channel, 2 length of the log, 3 its time to live in ms, 4 that of `last` in ms, 5 whether this is a cluster
-- (1, 0), 6 node id, 7... pairs of an event's number, rising, and its frame.
-- Returns the id of the last event of the service, or the error that ended this early.
--
-- `last` outlives the log, so that the first event after a long silence joins on to the one before. Its fields: `id`, and
-- for each node the number and the id of its last event.
-- A message is `PREV ID FRAME`: a subscriber that holds PREV has missed nothing.

-- After a write that takes no memory, Redis lets a script finish though its memory is full: the log is capped.
local kept = redis.call('PEXPIRE', KEYS[1], ARGV[3])
local known = redis.call('HMGET', KEYS[2], 'id', ARGV[6])
local before = known[1] or '0-0'
local last, number = before, nil
local done = tonumber(string.match(known[2] or '', '^%d+') or '-1')
local sharded = ARGV[5] == '1'
local failed = nil
local function ms(id) return tonumber(string.match(id, '%d+')) end

-- Changes nothing. But where Redis forbids to note what is published, nothing is.
redis.call('HSET', KEYS[2], 'id', before)
if not known[1] then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
if not known[2] then
  -- Nodes that have been silent for longer than the log lasts send nothing again.
  local all, time = redis.call('HGETALL', KEYS[2]), redis.call('TIME')
  for i = 1, #all, 2 do
    local id = string.match(all[i + 1], ' (.+)')
    if id and time[1] * 1000 - ms(id) > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[2], all[i]) end
  end
end

for i = 7, #ARGV, 2 do
  if tonumber(ARGV[i]) > done then
    -- An error must not end the script before what was done is noted.
    local id = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'm', ARGV[i + 1], 'p', last)
    if type(id) == 'table' then failed = id break end
    local message = last .. ' ' .. id .. ' ' .. ARGV[i + 1]
    last, number = id, ARGV[i]
    -- A server that knows no sharded channels has subscribers that know it, too.
    local told = sharded and redis.pcall('SPUBLISH', ARGV[1], message)
    if type(told) ~= 'number' then told = redis.pcall('PUBLISH', ARGV[1], message) end
    if type(told) == 'table' then failed = told break end
  end
end

if number then
  redis.call('HSET', KEYS[2], 'id', last, ARGV[6], number .. ' ' .. last)
  if kept == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
  -- Not each time: to the hour is enough.
  if math.floor(ms(last) / 3600000) ~= math.floor(ms(before) / 3600000) then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
end
return failed or last
