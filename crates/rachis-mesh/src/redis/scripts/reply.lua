-- Puts a reply into an inbox though Redis is out of memory: its request has left the stream, which freed some, and its
-- caller waits.
-- KEYS: 1 inbox. ARGV: 1 length of the inbox, 2 frame, 3 its time to live in ms.
-- After a write that takes no memory, Redis lets a script finish though its memory is full.
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'm', ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
