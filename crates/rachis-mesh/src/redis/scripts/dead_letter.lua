-- Moves a request that was delivered too often, or that nobody can read, to the dead letters.
-- KEYS: 1 calls, 2 dead. ARGV: 1 group, 2 entry id, 3 reason, 4 length of the dead letters, 5 deliveries, 6 who had it
-- last, 7 who moves it, 8 what is kept of the frame. The frame itself may hold secrets, so only its length is kept.
local entries = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])
if #entries == 0 then
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
  return 0
end
local frame = field(entries[1][2], 'm') or ''
may_delete()
may_settle()
-- First, since what fails here must leave the request as it is.
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'm', ARGV[8], 'size', #frame,
  'reason', ARGV[3], 'entry', ARGV[2], 'deliveries', ARGV[5], 'consumer', ARGV[6], 'by', ARGV[7])
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
return 1
