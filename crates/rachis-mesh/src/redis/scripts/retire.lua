-- Removes the stream of a partition that its app no longer uses, unless a request is in it: one that waits, or one that a
-- replica works on. Whoever still thinks that it is used finds no stream, and sends the request elsewhere.
-- KEYS: 1 calls. Returns 1 if it is gone, else 0.
if redis.call('XLEN', KEYS[1]) > 0 then return 0 end
redis.call('DEL', KEYS[1])
return 1
