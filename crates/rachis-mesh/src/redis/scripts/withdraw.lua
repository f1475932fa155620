-- Takes a node that stops out of the registry. Returns as `state` does.
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return false end
-- Removes nothing. But after a write that takes no memory, Redis lets a script finish though its memory is full.
redis.call('ZREM', KEYS[2], '')
local now = now_ms()
local removal = { counts = {}, nodes = {} }
local left = remove_node(now, ARGV[1], removal)
local _, wait = commit(now, { { 'node-down', ARGV[1], left } })
finish(removal)
return outcome(wait)
