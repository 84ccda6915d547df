-- Where jobs stand: depths, lines, due times, leases, wake tokens and events. Moves are gathered and written once, by
-- `write_moves`; only the job's own hash is the caller's to write, at once.
-- ARGV[2]  events kept

-- As many values as Lua's stack surely holds go in one command.
local function in_parts(command, key, values)
  for from = 1, #values, 4000 do
    redis.call(command, key, unpack(values, from, math.min(from + 3999, #values)))
  end
end

-- `<queue>:<class>:<state>` -> change.
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

-- `<queue>:<class>` of `<queue>:<class>:<priority>`.
local lines = {}
local function line_of(place)
  local line = lines[place]
  if not line then
    line = string.match(place, '^(.*):%d+$')
    lines[place] = line
  end
  return line
end

local function first_score(zset)
  return tonumber(redis.call('ZRANGE', prefix .. zset, 0, 0, 'WITHSCORES')[2]) or math.huge
end

-- Place -> ids in order.
local fronts, backs = {}, {}
local delays, undelayed, unleased = {}, {}, {}
-- Lines whose workers have something to look at, and lines whose lists may hold ids that wait no more.
local woken, stale = {}, {}
local earliest

local function add(lists, place, id)
  local list = lists[place]
  if not list then
    list = {}
    lists[place] = list
  end
  list[#list + 1] = id
end

local function to_back(id, place)
  add(backs, place, id)
  woken[line_of(place)] = true
end

local function to_front(id, place)
  add(fronts, place, id)
  woken[line_of(place)] = true
end

-- Workers sleep until the first job is due, so an earlier one wakes them. Never due: held until another job succeeds.
local function delay_until(id, place, due)
  earliest = earliest or first_score('delayed')
  if due < earliest then
    earliest = due
    woken[line_of(place)] = true
  end
  delays[#delays + 1] = due == math.huge and '+inf' or due
  delays[#delays + 1] = id
end

-- At most one token: it says that there may be work, and the next claim posts it again where work is left.
local function post(line)
  local wake = prefix .. 'wake:' .. line
  if redis.call('EXISTS', wake) == 0
    and redis.call('HEXISTS', prefix .. 'queues', string.match(line, '^[^:]*') .. '::paused') == 0 then
    redis.call('RPUSH', wake, 1)
  end
end

-- One entry of the stream holds all events of a transition: `@` and a group, then what happened to it: a letter and
-- the job, or a capital letter for the group as a whole.
local news, told, subject = {}, 0, nil

local function say(letter, group, job)
  if group ~= subject then
    news[#news + 1] = '@'
    news[#news + 1] = group
    subject = group
  end
  news[#news + 1] = letter
  news[#news + 1] = job
  told = told + 1
end

local function write_events()
  if told == 0 then
    return
  end
  local last = redis.call('INCRBY', prefix .. 'told', told)
  if last == told then
    -- The numbers of a broker that lost its records go on above those that it gave out before.
    last = redis.call('INCRBY', prefix .. 'told', string.format('%.0f', now * 1000))
  end
  -- An entry is named by its last event's number, so that trimming counts events.
  redis.call('XADD', prefix .. 'events', 'MINID', '~', string.format('%.0f', math.max(0, last - ARGV[2])),
    string.format('%.0f', last), 'at', now, 'news', table.concat(news))
  news, told, subject = {}, 0, nil
end

local function write_moves()
  for place, ids in pairs(backs) do
    in_parts('RPUSH', prefix .. 'q:' .. place, ids)
  end
  for place, ids in pairs(fronts) do
    -- The last one first, so that the first of them ends up first in line.
    local reversed = {}
    for i = #ids, 1, -1 do
      reversed[#reversed + 1] = ids[i]
    end
    in_parts('LPUSH', prefix .. 'q:' .. place, reversed)
  end
  in_parts('ZADD', prefix .. 'delayed', delays)
  in_parts('ZREM', prefix .. 'delayed', undelayed)
  in_parts('ZREM', prefix .. 'lease', unleased)
  for field, change in pairs(depths) do
    if change ~= 0 then
      redis.call('HINCRBY', prefix .. 'queues', field, change)
    end
  end
  for line in pairs(stale) do
    if (tonumber(redis.call('HGET', prefix .. 'queues', line .. ':waiting')) or 0) == 0 then
      for priority = 1, 10 do
        redis.call('UNLINK', prefix .. 'q:' .. line .. ':' .. priority)
      end
    end
  end
  for line in pairs(woken) do
    post(line)
  end
  write_events()
  depths, fronts, backs, delays, undelayed, unleased, woken, stale = {}, {}, {}, {}, {}, {}, {}, {}
end
