-- Takes a node that stops out of the registry.
local now = now_ms()
if not remove_node(now, ARGV[1]) then return 0 end
commit(now, { { 'node-down', ARGV[1], {} } })
return 1
