-- Lists jobs, the newest group's first, of a group the last one first. They are found through the members of their
-- groups, so none of a group whose members are not known (the first version kept no list).
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 state or '', 3 queue or '', 4 kind or '', 5 group or '', 6 ms of the earliest group,
--          the place that they stand below: 7 ms, 8 group, 9 index; 10 most jobs, 11 most groups and jobs to look at,
--          12 label of the group or ''
-- Returns  { 1 where there may be more, the place to go on below: ms, group, index, then the jobs' ids }

local PAGE = 100
local state, queue, kind, only, floor = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local created, group, below = tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
local most, looks = tonumber(ARGV[10]), tonumber(ARGV[11])
local label, list = ARGV[12], list_of(ARGV[12])
local found = {}

local function is_labelled(id)
  return label == '' or redis.call('ZSCORE', list, id)
end

local function wanted(stands, place, is)
  return (state == '' or stands == state) and (kind == '' or is == kind)
    and (queue == '' or place and string.sub(place, 1, #queue + 1) == queue .. ':')
end

-- Whether a group has a job in the state.
local function is_of_use(id)
  if state == '' then
    return true
  end
  local ended = state == 'succeeded' or state == 'failed' or state == 'cancelled'
  return redis.call('HGET', prefix .. 'g:' .. id, ended and state or 'pending') ~= '0'
end

-- The last of a group's chunks that holds a job of an index below `index`, as indexes rise from chunk to chunk.
local function chunk_below(key, index)
  local first, last = 1, tonumber(redis.call('HGET', key, 'chunks')) or 0
  while first < last and index < math.huge do
    local middle = math.ceil((first + last) / 2)
    local members = redis.call('HGET', key, 'm:' .. middle)
    local job = members and string.match(members, '%S+')
    local at = job and tonumber(redis.call('HGET', prefix .. 'j:' .. job, 'index'))
    if (at or 0) < index then
      first = middle
    else
      last = middle - 1
    end
  end
  return last
end

-- Looks at the jobs of the group `id` below `index`. Answers whether it came to the end of them.
local function look_through(id, at, index)
  local key = prefix .. 'g:' .. id
  for chunk = chunk_below(key, index), 1, -1 do
    local members = {}
    for job in string.gmatch(redis.call('HGET', key, 'm:' .. chunk) or '', '%S+') do
      members[#members + 1] = job
    end
    for i = #members, 1, -1 do
      local stands, place, is, of, number = unpack(redis.call('HMGET', prefix .. 'j:' .. members[i],
        'state', 'place', 'kind', 'group', 'index'))
      number = tonumber(number)
      if of == id and number < index then
        if looks <= 0 or #found >= most then
          return false
        end
        looks = looks - 1
        created, group, below = at, id, number
        if wanted(stands, place, is) then
          found[#found + 1] = members[i]
        end
      end
    end
  end
  return true
end

-- Answers whether there may be more.
local function look()
  if below > 0 and created >= floor and (only == '' or only == group) and is_labelled(group)
    and not look_through(group, created, below) then
    return true
  elseif only == group then
    return false
  elseif only ~= '' then
    local at = tonumber(redis.call('HGET', prefix .. 'g:' .. only, 'created')) or -math.huge
    local stands_below = at >= floor and (at < created or at == created and only < group)
    return stands_below and is_labelled(only) and not look_through(only, at, math.huge)
  end
  repeat
    local page = groups_below(list, created, group, floor, PAGE)
    for i = 1, #page, 2 do
      local id, at = page[i], page[i + 1]
      if looks <= 0 or #found >= most then
        return true
      end
      looks = looks - 1
      if is_of_use(id) and not look_through(id, at, math.huge) then
        return true
      end
      created, group, below = at, id, 0
    end
  until #page < 2 * PAGE
  return false
end

local more = look()
local answer = { more and 1 or 0, created, group, below }
for _, id in ipairs(found) do
  answer[#answer + 1] = id
end
return answer
