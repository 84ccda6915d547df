-- Cancels jobs, whatever they do at present.

-- Answers the job's state from then on, and whether it ended now.
local function cancel(id)
  local job = prefix .. 'j:' .. id
  local state, place, group, index, waits = unpack(redis.call('HMGET', job,
    'state', 'place', 'group', 'index', 'waits'))
  if state == 'waiting' or state == 'delayed' then
    finish(id, state, place, group, index, waits, 'cancelled', '')
    return 'cancelled', true
  end
  if state == 'active' then
    redis.call('HSET', job, 'cancelling', 1)
  end
  return state, false
end

-- Jobs that have ended in this transition and are not written yet.
local function ended_so_far()
  local count = 0
  for _, tally in pairs(tallies) do
    count = count + tally.count
  end
  return count
end

-- Cancels the next chunk of a group in `cancels`; answers whether more is left to walk. Where the members are not known
-- (the former version kept no list), claims end those that they meet, until the group has finished.
local function walk(group)
  local key, at = prefix .. 'g:' .. group, cancels[group]
  local members, chunks = unpack(redis.call('HMGET', key, 'm:' .. at, 'chunks'))
  if not chunks then
    return false
  end
  for id in string.gmatch(members or '', '%S+') do
    cancel(id)
  end
  if at < tonumber(chunks) then
    cancels[group] = at + 1
    redis.call('HSET', prefix .. 'cancels', group, at + 1)
    return true
  end
  cancels[group] = nil
  redis.call('HDEL', prefix .. 'cancels', group)
  return false
end
