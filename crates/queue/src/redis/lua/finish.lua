-- Jobs that end, and what follows from it: for the jobs that wait for them, for their groups, and what those are
-- followed by. Results are `<s, f or c><job id><result>` by index.

-- Fields of a job in the arguments: id, index, queue, class, priority, kind, delay in ms or -1, most attempts,
-- payload, the job that it waits for, the job that it is a copy of, ms until it expires or -1.
local FIELDS = 12
local LETTERS = { succeeded = 'o', failed = 'f', cancelled = 'c' }

-- Group id -> count by state, and the fields of its results; and the groups in order.
local tallies, groups = {}, {}
local deaths, revived = {}, {}

local function tally_of(group)
  local tally = tallies[group]
  if not tally then
    tally = { count = 0, states = {}, results = {} }
    tallies[group] = tally
    groups[#groups + 1] = group
  end
  return tally
end

local function close(id, from, place, group, index, state, result, committed)
  local job = prefix .. 'j:' .. id
  if committed then
    redis.call('HSET', job, 'state', state, 'token', '', 'committed', committed, 'finished', now)
  else
    redis.call('HSET', job, 'state', state, 'token', '', 'finished', now)
  end
  local line = line_of(place)
  moved(line, from, nil)
  if from == 'active' then
    unleased[#unleased + 1] = id
  elseif from == 'delayed' then
    undelayed[#undelayed + 1] = id
  else
    stale[line] = true
  end
  if state == 'failed' then
    deaths[#deaths + 1] = now
    deaths[#deaths + 1] = id
  end
  local tally = tally_of(group)
  tally.count = tally.count + 1
  tally.states[state] = (tally.states[state] or 0) + 1
  local results = tally.results
  results[#results + 1] = 'r:' .. index
  results[#results + 1] = string.sub(state, 1, 1) .. id .. result
  say(LETTERS[state], group, id)
end

-- Begins the delay of a job that another one's success has freed.
local function free(id)
  local job = prefix .. 'j:' .. id
  local state, place, delay = unpack(redis.call('HMGET', job, 'state', 'place', 'delay'))
  if state ~= 'delayed' then
    return
  end
  if delay then
    delay_until(id, place, now + delay)
  else
    redis.call('HSET', job, 'state', 'waiting', 'since', now)
    undelayed[#undelayed + 1] = id
    to_back(id, place)
    moved(line_of(place), 'delayed', 'waiting')
  end
end

-- Ends a job, and with it those that wait for it: `waits` are their ids, `committed` the tokens that count from now on.
local function finish(id, from, place, group, index, waits, state, result, committed)
  close(id, from, place, group, index, state, result, committed)
  if not waits then
    return
  end
  local chain = {}
  for next_id in string.gmatch(waits, '%S+') do
    chain[#chain + 1] = next_id
  end
  if state == 'succeeded' then
    for _, next_id in ipairs(chain) do
      free(next_id)
    end
    return
  end
  local at = 1
  while chain[at] do
    local next_id = chain[at]
    local stands, where, of, place_in, further = unpack(redis.call('HMGET', prefix .. 'j:' .. next_id,
      'state', 'place', 'group', 'index', 'waits'))
    if stands == 'delayed' then
      close(next_id, 'delayed', where, of, place_in, 'cancelled', '')
      for furthest in string.gmatch(further or '', '%S+') do
        chain[#chain + 1] = furthest
      end
    end
    at = at + 1
  end
end

-- A job of `group`, from FIELDS values that begin at `at`. One that comes `cancelled` ends at once.
local function create(group, values, at, cancelled)
  local id, index, queue, class, priority, kind, delay, most, payload, after, retry_of, expires =
    unpack(values, at, at + FIELDS - 1)
  local job, line = prefix .. 'j:' .. id, queue .. ':' .. class
  local place = line .. ':' .. priority
  delay = tonumber(delay)
  local due, ended = delay >= 0 and now + delay or nil, cancelled
  if after ~= '' then
    local other = prefix .. 'j:' .. after
    local stands, waits = unpack(redis.call('HMGET', other, 'state', 'waits'))
    if stands == 'waiting' or stands == 'delayed' or stands == 'active' then
      redis.call('HSET', other, 'waits', waits and waits .. ' ' .. id or id)
      due = math.huge
    else
      ended = ended or stands ~= 'succeeded'
    end
    redis.call('HSET', job, 'after', after)
    if delay >= 0 then
      redis.call('HSET', job, 'delay', delay)
    end
  end
  if retry_of ~= '' then
    redis.call('HSET', job, 'retry_of', retry_of)
    revived[#revived + 1] = retry_of
  end
  -- Follow-ups of former versions have one field less.
  expires = tonumber(expires or -1)
  if expires >= 0 then
    redis.call('HSET', job, 'expires', now + expires)
    redis.call('ZADD', prefix .. 'expiring', now + expires, id)
  end
  local state = (due or ended) and 'delayed' or 'waiting'
  redis.call('HSET', job, 'state', state, 'place', place, 'group', group, 'index', index, 'kind', kind, 'most', most,
    'created', now, 'payload', payload)
  moved(line, nil, state)
  if ended then
    close(id, state, place, group, index, 'cancelled', '')
  elseif due then
    delay_until(id, place, due)
  else
    to_back(id, place)
  end
end

local function create_group(group, meta)
  redis.call('HSET', prefix .. 'g:' .. group, 'total', 0, 'pending', 0, 'succeeded', 0, 'failed', 0, 'cancelled', 0,
    'sealed', 0, 'created', now, 'meta', meta)
  redis.call('ZADD', prefix .. 'groups', now, group)
end

-- Lists a group under its labels, a line each.
local function label_group(group, labels)
  if labels == '' then
    return
  end
  redis.call('HSET', prefix .. 'g:' .. group, 'labels', labels)
  for label in string.gmatch(labels, '[^\n]+') do
    redis.call('ZADD', prefix .. 'l:' .. label, now, group)
  end
end

-- Counts jobs into a group. Their ids are kept by chunk: a cancel walks them.
local function count_in(group, ids)
  if #ids == 0 then
    return
  end
  local key = prefix .. 'g:' .. group
  redis.call('HINCRBY', key, 'total', #ids)
  redis.call('HINCRBY', key, 'pending', #ids)
  redis.call('HSET', key, 'm:' .. redis.call('HINCRBY', key, 'chunks', 1), table.concat(ids, ' '))
end

local function follow_up(group, then_group, job)
  if redis.call('EXISTS', prefix .. 'g:' .. then_group) == 1 then
    return
  end
  create_group(then_group, '')
  say('E', then_group)
  local ids = {}
  if redis.call('EXISTS', prefix .. 'j:' .. job[1]) == 0 then
    ids[1] = job[1]
    create(then_group, job, 1)
  end
  count_in(then_group, ids)
  redis.call('HSET', prefix .. 'g:' .. then_group, 'sealed', 1)
  -- Taken up by the loop that this is called from.
  tally_of(then_group)
end

local function finish_group(group)
  local key = prefix .. 'g:' .. group
  redis.call('HSET', key, 'finished', now)
  redis.call('ZADD', prefix .. 'finished', now, group)
  if cancels[group] then
    redis.call('HDEL', prefix .. 'cancels', group)
    cancels[group] = nil
  end
  say('F', group)
  local total, succeeded, then_group, on, job = unpack(redis.call('HMGET', key,
    'total', 'succeeded', 'then', 'on', 'then_job'))
  if then_group and (on == 'always' or succeeded == total) then
    redis.call('HSET', key, 'fired', 1)
    say('T', group)
    follow_up(group, then_group, cmsgpack.unpack(job))
  end
end

-- Writes what the transition has come to; nothing is gathered any more then.
local function commit()
  local at = 1
  while groups[at] do
    local group = groups[at]
    local tally, key = tallies[group], prefix .. 'g:' .. group
    in_parts('HSET', key, tally.results)
    for state, count in pairs(tally.states) do
      redis.call('HINCRBY', key, state, count)
    end
    -- Subtracted, as Lua writes the negative of nothing as `-0`.
    if redis.call('HINCRBY', key, 'pending', 0 - tally.count) == 0 and redis.call('HGET', key, 'sealed') == '1' then
      finish_group(group)
    end
    at = at + 1
  end
  in_parts('ZADD', prefix .. 'dead', deaths)
  in_parts('ZREM', prefix .. 'dead', revived)
  tallies, groups, deaths, revived = {}, {}, {}, {}
  write_moves()
end
