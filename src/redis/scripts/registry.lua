-- What the registry's scripts share; each is this text and its own.
--
-- KEYS: 1 the node, 2 nodes, 3 epoch, 4 changes, 5 the node's app, 6 apps
-- Each begins with a write that takes no memory (DEL, PEXPIRE, ZREM): after that, Redis lets it finish though its memory
-- is full. So nodes do not vanish for want of memory.
--
-- ARGV: 1 node id, 2 app, 3 channel, 4 prefix of node keys, 5 prefix of app keys, then the script's own from 6 on.
--
-- Fields of a node: `app`, `head` (its announcement but for services), `state`, and per service `s:PATH` (descriptor)
-- and `t:PATH` (since when its app offers it, ms).
-- Fields of an app: `n:ID` (the paths of that replica, one a line), `s:PATH`, `t:PATH`, `linger` (ms, -1 for ever),
-- and `e:PATH` (when a path without replicas stops being callable, ms) while it lingers.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua writes large numbers with an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

-- Makes `items` the next version of the registry and tells everyone. The version rises with the clock, so it also
-- rises when Redis lost its data.
local function commit(now, items)
  local prev = tonumber(redis.call('GET', KEYS[3]) or '0')
  local epoch = math.max(prev + 1, now)
  redis.call('SET', KEYS[3], whole(epoch))
  local message = cmsgpack.pack({ prev, epoch, items })
  local id = whole(epoch) .. '-0'
  local added = redis.pcall('XADD', KEYS[4], 'MAXLEN', '~', '1000', id, 'm', message)
  if type(added) == 'table' and added.err then
    -- The epoch was lost while the stream was not, and the clock went back: start the stream anew.
    redis.call('DEL', KEYS[4])
    redis.call('XADD', KEYS[4], id, 'm', message)
  end
  redis.call('PUBLISH', ARGV[3], message)
  return epoch
end

-- Which paths do other replicas of the app still serve?
local function served_by_others(app_key, id)
  local served = {}
  local fields = redis.call('HGETALL', app_key)
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'n:' and fields[i] ~= 'n:' .. id then
      for path in string.gmatch(fields[i + 1], '[^\n]+') do served[path] = true end
    end
  end
  return served
end

-- Takes `paths` from an app's offer unless another replica serves them. Unregistered paths go at once, those of a
-- replica that stopped or died linger: these are returned as fields of the app.
local function drop_paths(now, app, id, paths, unregistered)
  local left = { 'app', app }
  local app_key = ARGV[5] .. app
  local served = served_by_others(app_key, id)
  local linger = tonumber(redis.call('HGET', app_key, 'linger') or '0')
  for _, path in ipairs(paths) do
    if not served[path] then
      if unregistered or linger == 0 then
        redis.call('HDEL', app_key, 's:' .. path, 't:' .. path, 'e:' .. path)
      else
        local ends = linger < 0 and 'inf' or whole(now + linger)
        redis.call('HSET', app_key, 'e:' .. path, ends)
        redis.call('ZADD', KEYS[6], 'GT', ends == 'inf' and '+inf' or ends, app)
        if linger < 0 then redis.call('PERSIST', app_key) end
        for _, field in ipairs({ 's:' .. path, 't:' .. path, 'e:' .. path }) do
          left[#left + 1] = field
          left[#left + 1] = redis.call('HGET', app_key, field) or ''
        end
      end
    end
  end
  return left
end

-- Removes a node that left or died, if nobody did before; returns the fields of its app that linger.
local function remove_node(now, id)
  if redis.call('ZREM', KEYS[2], id) == 0 then return nil end
  local node_key = ARGV[4] .. id
  local app = redis.call('HGET', node_key, 'app')
  redis.call('DEL', node_key)
  if app then
    local app_key = ARGV[5] .. app
    local list = redis.call('HGET', app_key, 'n:' .. id)
    redis.call('HDEL', app_key, 'n:' .. id)
    if list then
      local paths = {}
      for path in string.gmatch(list, '[^\n]+') do paths[#paths + 1] = path end
      return drop_paths(now, app, id, paths, false)
    end
  end
  return {}
end
