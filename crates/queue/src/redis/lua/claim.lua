-- Cancels what has expired, promotes what is due, recovers expired leases and goes on with broken-off cancels, then leases waiting jobs to a
-- session: queues in the order given, priorities from `first` to `last`, oldest first.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 lease in ms, 4 stalls until poison, 5 result of a poisoned job, 6 session,
--          7 sequence, 8 class, 9 first priority, 10 last priority, 11 most jobs, 12 result of a job that has expired,
--          then the queues
-- Returns  { ms until something is due or -1, then for each job:
--          id, token, group, index, kind, attempt, most attempts, 1 to run alone, ms that it waited or -1, payload }

-- Jobs promoted or recovered, and dead entries skipped, by one call at the most: others wait meanwhile.
local SWEEP, SKIPS = 1000, 5000
local lease, max_stalls, poison = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local session, sequence, class = ARGV[6], tonumber(ARGV[7]), ARGV[8]
local first, last, limit = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])

-- A job stays in the set until it expires, although a worker has claimed it or it has ended.
local lapsed = redis.call('ZRANGE', prefix .. 'expiring', '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEEP)
for _, id in ipairs(lapsed) do
  local state, place, group, index, waits, runs = unpack(redis.call('HMGET', prefix .. 'j:' .. id,
    'state', 'place', 'group', 'index', 'waits', 'runs'))
  if (state == 'waiting' or state == 'delayed') and not runs then
    finish(id, state, place, group, index, waits, 'cancelled', ARGV[12])
  end
end
if #lapsed > 0 then
  in_parts('ZREM', prefix .. 'expiring', lapsed)
  commit()
end

-- Somebody may have deleted a job's record, or Redis evicted it: that job is lost, but no other one stops for it.
local due = redis.call('ZRANGE', prefix .. 'delayed', '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEEP)
for _, id in ipairs(due) do
  local job = prefix .. 'j:' .. id
  local place = redis.call('HGET', job, 'place')
  undelayed[#undelayed + 1] = id
  if place then
    redis.call('HSET', job, 'state', 'waiting', 'since', now)
    to_back(id, place)
    moved(line_of(place), 'delayed', 'waiting')
  end
end

local expired = redis.call('ZRANGE', prefix .. 'lease', '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEEP)
for _, id in ipairs(expired) do
  local place, group, index, waits, flagged, alone = unpack(redis.call('HMGET', prefix .. 'j:' .. id,
    'place', 'group', 'index', 'waits', 'cancelling', 'alone'))
  if place then
    -- The token goes without being recorded as committed, or a zombie would believe that it won.
    stall(id, place, group, index, waits, flagged or cancels[group], alone, max_stalls, poison)
  else
    unleased[#unleased + 1] = id
  end
end

local walking = false
for group in pairs(cancels) do
  if walk(group) then
    walking = true
    break
  end
end

-- Lines where jobs have come to wait; this claim looks at its own.
local fresh = woken
woken = {}
commit()

local answer = { -1 }
local function tell(id, token, group, index, kind, attempt, most, alone, waited, payload)
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = id, token, group, index
  answer[n + 5], answer[n + 6], answer[n + 7], answer[n + 8] = kind, attempt, most, alone or 0
  answer[n + 9], answer[n + 10] = waited, payload
end

local said_key = prefix .. 'said:' .. session
local said, repeated = -1, ''
if limit > 0 then
  local kept = redis.call('HMGET', said_key, 'sequence', 'answer')
  said, repeated = tonumber(kept[1]) or -1, kept[2] or ''
end

if sequence == said then
  -- The same answer again, without the leases that it has lost or settled since.
  for id, token in string.gmatch(repeated, '(%S+) (%S+)') do
    local state, held, group, index, kind, attempt, most, alone, payload = unpack(redis.call('HMGET',
      prefix .. 'j:' .. id, 'state', 'token', 'group', 'index', 'kind', 'attempt', 'most', 'alone', 'payload'))
    if state == 'active' and held == token then
      tell(id, token, group, index, kind, attempt, most, alone, -1, payload)
    end
  end
elseif sequence > said then
  local room, skips, leases, saying = limit, SKIPS, {}, {}
  for at = 13, #ARGV do
    local line = ARGV[at] .. ':' .. class
    fresh[line] = nil
    local left, paused = unpack(redis.call('HMGET', prefix .. 'queues', line .. ':waiting', ARGV[at] .. '::paused'))
    left = paused and 0 or tonumber(left) or 0
    local priority = first
    while left > 0 and room > 0 and skips > 0 do
      local place = line .. ':' .. priority
      local popped = redis.call('LPOP', prefix .. 'q:' .. place, room) or {}
      for _, id in ipairs(popped) do
        local job = prefix .. 'j:' .. id
        local state, stands, group, index, kind, attempt, most, runs, alone, since, created, payload = unpack(
          redis.call('HMGET', job, 'state', 'place', 'group', 'index', 'kind', 'attempt', 'most', 'runs', 'alone',
            'since', 'created', 'payload'))
        if state ~= 'waiting' or stands ~= place then
          -- Cancelled while it stood here.
          skips = skips - 1
        elseif cancels[group] then
          finish(id, state, place, group, index, redis.call('HGET', job, 'waits'), 'cancelled', '')
          left, skips = left - 1, skips - 1
        else
          attempt, runs = (attempt or 0) + 1, (runs or 0) + 1
          -- The sequence is the session's own: the count comes again where this Redis goes back in time.
          local token = session .. ':' .. ARGV[7] .. ':' .. runs
          redis.call('HSET', job, 'state', 'active', 'attempt', attempt, 'runs', runs, 'token', token)
          leases[#leases + 1] = now + lease
          leases[#leases + 1] = id
          saying[#saying + 1] = id .. ' ' .. token
          tell(id, token, group, index, kind, attempt, most, alone, math.max(0, now - (since or created)), payload)
          moved(line, 'waiting', 'active')
          say('b', group, id)
          room, left = room - 1, left - 1
        end
      end
      if #popped == 0 or room > 0 and skips > 0 and redis.call('EXISTS', prefix .. 'q:' .. place) == 0 then
        if priority == last then
          break
        end
        priority = priority + (first < last and 1 or -1)
      end
    end
    if left > 0 and (room == 0 or skips <= 0) then
      woken[line] = true
    end
  end
  in_parts('ZADD', prefix .. 'lease', leases)
  if limit > 0 then
    redis.call('HSET', said_key, 'sequence', sequence, 'answer', table.concat(saying, ' '))
    redis.call('EXPIRE', said_key, 86400)
  end
end

for line in pairs(fresh) do
  woken[line] = true
end
commit()
local next_due = walking and now or math.min(first_score('delayed'), first_score('lease'), first_score('expiring'))
if next_due < math.huge then
  answer[1] = math.max(0, next_due - now)
end
return answer
