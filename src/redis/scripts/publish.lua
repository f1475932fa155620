-- Publishes an event and, under the same id, keeps it for those who are away.
-- KEYS: 1 log. ARGV: 1 channel, 2 frame, 3 length of the log, 4 its time to live in ms, 5 whether this is a cluster (1, 0).
-- The message is `PREV ID FRAME`: a subscriber that holds PREV has missed nothing.
-- After a write that takes no memory, Redis lets a script finish though its memory is full: the log is capped.
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', '1')
local prev = last[1] and last[1][1] or '0-0'
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'm', ARGV[2], 'p', prev)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local message = prev .. ' ' .. id .. ' ' .. ARGV[2]
-- A server that knows no sharded channels has subscribers that know it, too.
local told = ARGV[5] == '1' and redis.pcall('SPUBLISH', ARGV[1], message)
if type(told) ~= 'number' then redis.call('PUBLISH', ARGV[1], message) end
return id
