-- Says which schemas a replica of an app has, or that it still has them, so that these outlive it by no more than a while.
-- All replicas with the same schemas have one manifest, of which one replica at a time takes care.
-- KEYS: 1 schemas of the app, 2... the schemas that the manifest names.
-- ARGV: 1 id of the manifest, 2 their time to live in ms, 3 for how long (ms) after a renewal another one is in vain,
-- 4 the manifest, or nothing to renew the one that is there.
-- Returns the numbers of the schemas that are missing, the first being 1, and 0 for a missing manifest. A manifest is not
-- kept before what it names.
--
-- Fields of KEYS[1]: `m:ID` (a manifest), `s:ID` (since when it is there, and when it was renewed last, ms).

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local id, manifest = ARGV[1], ARGV[4]
local function moments(text)
  local since, renewed = string.match(text or '', '^(%d+) (%d+)$')
  return tonumber(since), tonumber(renewed)
end

-- A write that takes no memory: after that, Redis lets a script finish though its memory is full.
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local since, renewed = moments(redis.call('HGET', KEYS[1], 's:' .. id))
if manifest == '' and renewed and renewed <= now and now - renewed < tonumber(ARGV[3]) then return {} end

local missing = {}
if manifest == '' and not since then missing[1] = 0 end
for i = 2, #KEYS do
  if redis.call('PEXPIRE', KEYS[i], ARGV[2]) == 0 then missing[#missing + 1] = i - 1 end
end
if #missing > 0 then return missing end

-- Manifests that no replica has renewed for so long that their schemas have gone.
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local other = string.match(field, '^[ms]:(.+)$')
  if other and other ~= id then
    local _, last = moments(redis.call('HGET', KEYS[1], 's:' .. other))
    if not last or now - last > tonumber(ARGV[2]) then redis.call('HDEL', KEYS[1], 'm:' .. other, 's:' .. other) end
  end
end
if manifest ~= '' then redis.call('HSET', KEYS[1], 'm:' .. id, manifest) end
redis.call('HSET', KEYS[1], 's:' .. id, string.format('%.0f %.0f', since or now, now))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return missing
