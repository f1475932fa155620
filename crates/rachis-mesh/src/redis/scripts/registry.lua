-- What the registry's scripts share; each is this text and its own.
--
-- KEYS: 1 the node, 2 nodes, 3 epoch, 4 changes, 5 the node's app, 6 apps, 7 told
-- Each begins with a write that takes no memory (PEXPIRE, ZREM): after that, Redis lets it finish though its memory is
-- full. So nodes do not vanish for want of memory.
--
-- Redis may refuse any command, for want of a right, and keeps what a script has written by then. So each writes first what
-- may be written again, then tells everyone, and does last what ends the reason to run it. Where a run was refused
-- halfway, the next one, by this node or another, leaves the registry as if there had been that one alone.
--
-- ARGV: 1 node id, 2 app, 3 channel, 4 prefix of node keys, 5 prefix of app keys, then the script's own from 6 on.
--
-- Fields of a node: `app`, `head` (its announcement but for services), `state`, and per service `s:PATH` (descriptor)
-- and `t:PATH` (since when its app offers it, ms).
-- Fields of an app: `n:ID` (the paths of that replica, one a line, and behind a slash, with which no path begins, the
-- manifest of its schemas), `s:PATH`, `t:PATH`, `linger` (ms, -1 for ever), and `e:PATH` (when a path without replicas stops being callable, ms) while it lingers.
--
-- `told` is there while everyone is told of changes in bundles: the version that was told last, until when (ms) the next
-- ones are held back, how long that pause is (ms), how many are held back, and whether a node has promised to tell then.

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua writes large numbers with an exponent.
local function whole(number)
  return string.format('%.0f', number)
end

-- In a mesh of a thousand nodes, one message costs a thousand deliveries. So that many changes at once do not cost as many
-- times that, they are told in bundles: the first at once, what follows after a pause that grows with the mesh and with how
-- long this goes on. Deliveries then take no more than about a tenth of a core. Small meshes have no pauses.
local PAUSE_PER_NODE = 0.05
local NO_PAUSE = 3
local LONG_PAUSE = 500
-- A bundle is never larger, however soon that is.
local BUNDLE = 100

local function read_told(epoch)
  local told, rest, pause, held, promised =
    string.match(redis.call('GET', KEYS[7]) or '', '^(%d+) (%d+) (%d+) (%d+) (%d)$')
  return {
    epoch = tonumber(told or epoch), rest = tonumber(rest or 0), pause = tonumber(pause or 0),
    held = tonumber(held or 0), promised = promised == '1', kept = told ~= nil,
  }
end

local function write_told(told)
  redis.call('SET', KEYS[7], string.format('%.0f %.0f %.0f %d %d', told.epoch, told.rest, told.pause, told.held,
    told.promised and 1 or 0))
end

-- Is it too early for the next message? A pause that ends later than it could was begun before the clock was set back.
local function rests(told, now)
  return now < told.rest and told.rest <= now + told.pause
end

-- Notes that everyone knows `epoch`, and for how long what comes next is held back.
local function begin_pause(told, now, epoch)
  local nodes = redis.pcall('ZCARD', KEYS[2])
  local shortest = type(nodes) == 'number' and math.ceil(nodes * PAUSE_PER_NODE) or 0
  if shortest < NO_PAUSE then
    if told.kept then redis.call('DEL', KEYS[7]) end
    return
  end
  local goes_on = told.kept and now < told.rest + told.pause
  local pause = shortest
  if goes_on then pause = math.min(told.pause * 2, shortest * 16, math.max(shortest, LONG_PAUSE)) end
  write_told({ epoch = epoch, rest = now + pause, pause = pause, held = 0, promised = false })
end

-- Tells everyone what they have not been told. Each item says of which version it is, so that whoever knows some of them
-- takes the rest.
local function tell(told, now, epoch)
  local first, last, items = nil, nil, {}
  for _, entry in ipairs(redis.call('XRANGE', KEYS[4], '(' .. whole(told.epoch) .. '-0', '+')) do
    local change = cmsgpack.unpack(entry[2][2])
    -- Where the versions do not join on, the registry was lost: what was before that is not told as if nothing were.
    if change[1] ~= last then first, items = change[1], {} end
    last = change[2]
    for _, item in ipairs(change[3]) do
      item[3][#item[3] + 1] = '@'
      item[3][#item[3] + 1] = whole(change[2])
      items[#items + 1] = item
    end
  end
  if first then redis.call('PUBLISH', ARGV[3], cmsgpack.pack({ first, epoch, items })) end
  begin_pause(told, now, epoch)
end

-- The paths among the lines of a replica.
local function paths_of(lines)
  local next_line = string.gmatch(lines, '[^\n]+')
  return function()
    local line = next_line()
    while line and string.sub(line, 1, 1) == '/' do line = next_line() end
    return line
  end
end

-- What Redis refused, of what need not be done for the rest to be.
local refused = nil

-- Does `work`, or keeps what it was refused with for the end of the script.
local function attempt(work, ...)
  local done, answer = pcall(work, ...)
  if done then return answer end
  refused = refused or answer
end

-- What the script returns: `answer`, or what Redis refused.
local function outcome(answer)
  if refused == nil then return answer end
  -- Before Redis 7 it is a text.
  return type(refused) == 'table' and refused or redis.error_reply('ERR ' .. tostring(refused))
end

-- Tells everyone of version `epoch`, or returns in how many ms (0: not at all) the node that asked is to do so.
local function announce(now, prev, epoch, message)
  local told = read_told(prev)
  if rests(told, now) and told.held < BUNDLE then
    local wait = told.promised and 0 or told.rest - now
    told.held, told.promised = told.held + 1, true
    write_told(told)
    return wait
  end
  if told.epoch >= prev then
    redis.call('PUBLISH', ARGV[3], message)
    begin_pause(told, now, epoch)
  else
    tell(told, now, epoch)
  end
  return 0
end

-- Makes `items` the next version of the registry and tells everyone; returns the version, and what `announce` does. The
-- version rises with the clock, so it also rises when Redis lost its data. Where the version alone was written, `changes`
-- does not lead up to it, so whoever sees it reads the whole registry. Where nobody could be told, beats tell the version.
local function commit(now, items)
  local prev = tonumber(redis.call('GET', KEYS[3]) or '0')
  local epoch = math.max(prev + 1, now)
  redis.call('SET', KEYS[3], whole(epoch))
  local message = cmsgpack.pack({ prev, epoch, items })
  local id = whole(epoch) .. '-0'
  local added = redis.pcall('XADD', KEYS[4], 'MAXLEN', '~', '1000', id, 'm', message)
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller', 1, true) then error(added.err, 0) end
    -- The epoch was lost while the stream was not, and the clock went back: start the stream anew.
    redis.call('DEL', KEYS[4])
    redis.call('XADD', KEYS[4], id, 'm', message)
  end
  return epoch, attempt(announce, now, prev, epoch, message) or 0
end

-- Tells what was held back for long enough. Returns the version that everyone was told.
local function tell_due(now)
  local epoch = tonumber(redis.call('GET', KEYS[3]) or '0')
  local told = read_told(epoch)
  if told.epoch == epoch or rests(told, now) then return told.epoch end
  tell(told, now, epoch)
  return epoch
end

-- Takes `paths` from an app's offer unless another replica serves them. Unregistered paths go at once, those of a replica
-- that stopped or died linger, and with them those that only replicas served which the registry does not know any more.
-- Returns what lingers as fields of the app, and the fields of replicas that are not known, which `delete_fields` takes away
-- when everyone was told. `counts` says of some replicas that they serve (true) or do not (false).
local function drop_paths(now, app, counts, paths, unregistered)
  local app_key = ARGV[5] .. app
  local fields, ids, over = {}, {}, {}
  local all = redis.call('HGETALL', app_key)
  for i = 1, #all, 2 do
    local kind, name = string.sub(all[i], 1, 2), string.sub(all[i], 3)
    fields[all[i]] = all[i + 1]
    if kind == 'n:' then
      ids[#ids + 1] = name
    elseif kind == 'e:' and (tonumber(all[i + 1]) or math.huge) <= now then
      over[#over + 1] = name
    end
  end

  local served, dropped, spent = {}, {}, {}
  for _, path in ipairs(paths) do dropped[path] = unregistered and 'unregistered' or 'left' end
  -- Lua passes no more than some thousand values at once.
  for start = 1, #ids, 1000 do
    local stop = math.min(start + 999, #ids)
    local scores = redis.call('ZMSCORE', KEYS[2], unpack(ids, start, stop))
    for i = start, stop do
      local serves = counts[ids[i]]
      if serves == nil and scores[i - start + 1] then serves = true end
      local is_orphan = serves == nil and not unregistered
      if is_orphan then spent[#spent + 1] = 'n:' .. ids[i] end
      for path in paths_of(fields['n:' .. ids[i]]) do
        if serves then served[path] = true elseif is_orphan then dropped[path] = 'left' end
      end
    end
  end

  for _, path in ipairs(over) do
    redis.call('HDEL', app_key, 's:' .. path, 't:' .. path, 'e:' .. path)
    fields['s:' .. path] = nil
  end
  local linger = tonumber(fields['linger'] or '0')
  local names, left = {}, { 'app', app }
  for path in pairs(dropped) do
    if not served[path] then names[#names + 1] = path end
  end
  -- Whatever order a table has, what is told has one.
  table.sort(names)
  for _, path in ipairs(names) do
    local descriptor, since = 's:' .. path, 't:' .. path
    if dropped[path] == 'unregistered' or linger == 0 then
      redis.call('HDEL', app_key, descriptor, since, 'e:' .. path)
    elseif fields[descriptor] then
      local ends = linger < 0 and 'inf' or whole(now + linger)
      redis.call('HSET', app_key, 'e:' .. path, ends)
      redis.call('ZADD', KEYS[6], 'GT', ends == 'inf' and '+inf' or ends, app)
      if linger < 0 then redis.call('PERSIST', app_key) end
      for _, value in ipairs({ descriptor, fields[descriptor], since, fields[since] or '', 'e:' .. path, ends }) do
        left[#left + 1] = value
      end
    end
  end
  return left, spent
end

-- Deletes these fields of an app.
local function delete_fields(app, fields)
  for start = 1, #fields, 1000 do
    redis.call('HDEL', ARGV[5] .. app, unpack(fields, start, math.min(start + 999, #fields)))
  end
end

-- Removes a node that left or died, but for what `finish` does when everyone was told. Returns the fields of its app that
-- linger. `removal` is what is removed together.
local function remove_node(now, id, removal)
  local app = redis.call('HGET', ARGV[4] .. id, 'app')
  local list = app and redis.call('HGET', ARGV[5] .. app, 'n:' .. id)
  local left, spent = {}, {}
  removal.counts[id] = false
  if list then
    local paths = {}
    for path in paths_of(list) do paths[#paths + 1] = path end
    left, spent = drop_paths(now, app, removal.counts, paths, false)
  end
  spent[#spent + 1] = 'n:' .. id
  removal.nodes[#removal.nodes + 1] = { id = id, app = app, spent = spent }
  return left
end

-- Deletes nodes that were removed. That they are in the index is what lets them be removed, so they leave it last.
local function finish(removal)
  for _, node in ipairs(removal.nodes) do
    if node.app then delete_fields(node.app, node.spent) end
    redis.call('DEL', ARGV[4] .. node.id)
    redis.call('ZREM', KEYS[2], node.id)
  end
end
