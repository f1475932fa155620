-- Takes a node that stops out of the registry. Returns as `state` does.
local now = now_ms()
local left = remove_node(now, ARGV[1])
if not left then return false end
local _, wait = commit(now, { { 'node-down', ARGV[1], left } })
return wait
