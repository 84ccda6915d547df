-- Promotes what is due, recovers expired leases, then leases waiting jobs to a session: queues in the order given,
-- priorities from `first` to `last`, oldest first.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 lease in ms, 3 stalls until poison, 4 result of a poisoned job, 5 session, 6 sequence,
--          7 class, 8 first priority, 9 last priority, 10 most jobs, then the queues
-- Returns  { ms until something is due or -1, then for each job:
--          id, token, group, index, kind, attempt, most attempts, payload }

-- Jobs promoted or recovered, and dead entries skipped, by one call at the most: others wait meanwhile.
local SWEEP, SKIPS = 1000, 5000
local lease, max_stalls, poison = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local session, sequence, class = ARGV[5], tonumber(ARGV[6]), ARGV[7]
local first, last, limit = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
-- Lines where jobs have come to wait.
local fresh = {}

local due = redis.call('ZRANGE', prefix .. 'delayed', '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEEP)
for _, id in ipairs(due) do
  local job = prefix .. 'j:' .. id
  local place = redis.call('HGET', job, 'place')
  redis.call('HSET', job, 'state', 'waiting')
  redis.call('RPUSH', prefix .. 'q:' .. place, id)
  local line = line_of(place)
  moved(line, 'delayed', 'waiting')
  fresh[line] = true
end
if #due > 0 then
  redis.call('ZREM', prefix .. 'delayed', unpack(due))
end

local expired = redis.call('ZRANGE', prefix .. 'lease', '-inf', now, 'BYSCORE', 'LIMIT', 0, SWEEP)
-- The last one first: each goes to the front, so the one that expired first ends up first in line.
for i = #expired, 1, -1 do
  local id = expired[i]
  local job = prefix .. 'j:' .. id
  local place, stalls, group, index = unpack(redis.call('HMGET', job, 'place', 'stalls', 'group', 'index'))
  local line = line_of(place)
  stalls = (tonumber(stalls) or 0) + 1
  -- The token goes without being recorded as committed, or a zombie would believe that it won.
  if stalls >= max_stalls then
    redis.call('HSET', job, 'state', 'failed', 'stalls', stalls, 'token', '', 'finished', now)
    moved(line, 'active', nil)
    finish(group, index, id, 'failed', poison)
  else
    redis.call('HSET', job, 'state', 'waiting', 'stalls', stalls, 'token', '')
    redis.call('LPUSH', prefix .. 'q:' .. place, id)
    moved(line, 'active', 'waiting')
    fresh[line] = true
  end
end
if #expired > 0 then
  redis.call('ZREM', prefix .. 'lease', unpack(expired))
  write_groups()
end
if next(depths) then
  write_depths()
end

local answer = { -1 }
local function tell(id, token, group, index, kind, attempt, most, payload)
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3], answer[n + 4] = id, token, group, index
  answer[n + 5], answer[n + 6], answer[n + 7], answer[n + 8] = kind, attempt, most, payload
end

local said_key = prefix .. 'said:' .. session
local said, told = -1, ''
if limit > 0 then
  local kept = redis.call('HMGET', said_key, 'sequence', 'answer')
  said, told = tonumber(kept[1]) or -1, kept[2] or ''
end

if sequence == said then
  -- The same answer again, without the leases that it has lost or settled since.
  for id, token in string.gmatch(told, '(%S+) (%S+)') do
    local state, held, group, index, kind, attempt, most, payload = unpack(redis.call('HMGET', prefix .. 'j:' .. id,
      'state', 'token', 'group', 'index', 'kind', 'attempt', 'most', 'payload'))
    if state == 'active' and held == token then
      tell(id, token, group, index, kind, attempt, most, payload)
    end
  end
elseif sequence > said then
  local room, skips, leases, saying = limit, SKIPS, {}, {}
  for at = 11, #ARGV do
    local line = ARGV[at] .. ':' .. class
    fresh[line] = nil
    local left = tonumber(redis.call('HGET', prefix .. 'queues', line .. ':waiting')) or 0
    local priority = first
    while left > 0 and room > 0 and skips > 0 do
      local place = line .. ':' .. priority
      local popped = redis.call('LPOP', prefix .. 'q:' .. place, room) or {}
      for _, id in ipairs(popped) do
        local job = prefix .. 'j:' .. id
        local state, stands, group, index, kind, attempt, most, runs, payload = unpack(redis.call('HMGET', job,
          'state', 'place', 'group', 'index', 'kind', 'attempt', 'most', 'runs', 'payload'))
        if state == 'waiting' and stands == place then
          attempt, runs = (attempt or 0) + 1, (runs or 0) + 1
          local token = session .. ':' .. runs
          redis.call('HSET', job, 'state', 'active', 'attempt', attempt, 'runs', runs, 'token', token)
          leases[#leases + 1] = now + lease
          leases[#leases + 1] = id
          saying[#saying + 1] = id .. ' ' .. token
          tell(id, token, group, index, kind, attempt, most, payload)
          moved(line, 'waiting', 'active')
          room, left = room - 1, left - 1
        else
          -- Taken back, or standing elsewhere by now.
          skips = skips - 1
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
      post(line)
    end
  end
  if #leases > 0 then
    redis.call('ZADD', prefix .. 'lease', unpack(leases))
    write_depths()
  end
  if limit > 0 then
    redis.call('HSET', said_key, 'sequence', sequence, 'answer', table.concat(saying, ' '))
    redis.call('EXPIRE', said_key, 86400)
  end
end

for line in pairs(fresh) do
  post(line)
end
local next_due = math.min(first_score('delayed') or math.huge, first_score('lease') or math.huge)
if next_due < math.huge then
  answer[1] = math.max(0, next_due - now)
end
return answer
