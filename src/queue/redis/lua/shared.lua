-- What every transition begins with: the names of the keys, the broker's time and the counters.
-- KEYS[1]  the prefix of every key, with its hash tag: one slot for all of them
-- ARGV[1]  milliseconds added to the broker's time; zero outside tests

local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]

-- Changes to the depths of queues, gathered and written once: `<queue>:<class>:<state>` -> change.
local depths = {}

local function moved(line, from, to)
  if from then
    local left = line .. ':' .. from
    depths[left] = (depths[left] or 0) - 1
  end
  if to then
    local entered = line .. ':' .. to
    depths[entered] = (depths[entered] or 0) + 1
  end
end

local function write_depths()
  for field, change in pairs(depths) do
    if change ~= 0 then
      redis.call('HINCRBY', prefix .. 'queues', field, change)
    end
  end
  depths = {}
end

-- `<queue>:<class>` of `<queue>:<class>:<priority>`.
local function line_of(place)
  return string.match(place, '^(.*):%d+$')
end

-- At most one token: it says that there may be work, and the next claim posts it again where work is left.
local function post(line)
  local wake = prefix .. 'wake:' .. line
  if redis.call('EXISTS', wake) == 0 then
    redis.call('RPUSH', wake, 1)
  end
end

local function first_score(zset)
  return tonumber(redis.call('ZRANGE', prefix .. zset, 0, 0, 'WITHSCORES')[2])
end
