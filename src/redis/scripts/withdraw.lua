-- Takes a node that stops out of the registry.
local now = now_ms()
local left = remove_node(now, ARGV[1])
if not left then return 0 end
commit(now, { { 'node-down', ARGV[1], left } })
return 1
