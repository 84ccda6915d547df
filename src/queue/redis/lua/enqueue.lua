-- Enqueues one chunk of a group: all of it, or nothing where a queue's cap is reached. Refused by Redis itself,
-- before it starts, when memory is used up: it carries no `allow-oom`.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 group, 3 meta, 4 '1' to seal, 5 cap of a queue, then for each job:
--          id, index, queue, class, priority, kind, delay in ms or -1, most attempts, payload
-- Returns  { 'ok' } | { 'known' } for a sealed group | { 'full', queue, open jobs, jobs refused }

local FIRST, FIELDS = 6, 9
local group, meta, seal, cap = prefix .. 'g:' .. ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

if redis.call('HGET', group, 'sealed') == '1' then
  return { 'known' }
end

local names = {}
for at = FIRST, #ARGV, FIELDS do
  names[#names + 1] = prefix .. 'j:' .. ARGV[at]
end
local all_new = #names == 0 or redis.call('EXISTS', unpack(names)) == 0

local fresh, more = {}, {}
for at = FIRST, #ARGV, FIELDS do
  if all_new or redis.call('EXISTS', prefix .. 'j:' .. ARGV[at]) == 0 then
    fresh[#fresh + 1] = at
    more[ARGV[at + 2]] = (more[ARGV[at + 2]] or 0) + 1
  end
end

for queue, count in pairs(more) do
  local open = 0
  local fields = { ':cpu:waiting', ':cpu:delayed', ':io:waiting', ':io:delayed' }
  for i, field in ipairs(fields) do
    fields[i] = queue .. field
  end
  for _, depth in ipairs(redis.call('HMGET', prefix .. 'queues', unpack(fields))) do
    open = open + (tonumber(depth) or 0)
  end
  if open + count > cap then
    return { 'full', queue, open, count }
  end
end

if redis.call('EXISTS', group) == 0 then
  redis.call('HSET', group, 'total', 0, 'pending', 0, 'succeeded', 0, 'failed', 0, 'cancelled', 0, 'sealed', 0,
    'created', now, 'meta', meta)
end

local lists, lines = {}, {}
local earliest = first_score('delayed') or math.huge
for _, at in ipairs(fresh) do
  local id, line, delay = ARGV[at], ARGV[at + 2] .. ':' .. ARGV[at + 3], tonumber(ARGV[at + 6])
  local place = line .. ':' .. ARGV[at + 4]
  local state = delay < 0 and 'waiting' or 'delayed'
  redis.call('HSET', prefix .. 'j:' .. id, 'state', state, 'place', place, 'group', ARGV[2], 'index', ARGV[at + 1],
    'kind', ARGV[at + 5], 'most', ARGV[at + 7], 'created', now, 'payload', ARGV[at + 8])
  if state == 'delayed' then
    redis.call('ZADD', prefix .. 'delayed', now + delay, id)
    if now + delay < earliest then
      earliest = now + delay
      lines[line] = true
    end
  else
    local list = lists[place]
    if not list then
      list = {}
      lists[place] = list
    end
    list[#list + 1] = id
    lines[line] = true
  end
  moved(line, nil, state)
end
for place, list in pairs(lists) do
  redis.call('RPUSH', prefix .. 'q:' .. place, unpack(list))
end
write_depths()

redis.call('HINCRBY', group, 'total', #fresh)
local pending = redis.call('HINCRBY', group, 'pending', #fresh)
if seal == '1' then
  redis.call('HSET', group, 'sealed', 1)
  if pending == 0 then
    redis.call('HSET', group, 'finished', now)
  end
end
for line in pairs(lines) do
  post(line)
end
return { 'ok' }
