-- Orders a group's cancel, seals it where no more jobs come, and walks one chunk of its jobs. Called until nothing is
-- left to walk; where the caller does not come back, claims go on.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 group, 4 '1' to seal it
-- Returns  nothing for an unknown group, or { jobs ended, 1 where more is left to walk }

local id = ARGV[3]
local group = prefix .. 'g:' .. id
local total, finished, cancelling = unpack(redis.call('HMGET', group, 'total', 'finished', 'cancelling'))
if not total then
  return false
end
if finished then
  return { 0, 0 }
end
if not cancelling then
  redis.call('HSET', group, 'cancelling', 1)
  redis.call('HSET', prefix .. 'cancels', id, 1)
  cancels[id] = 1
end
if ARGV[4] == '1' then
  redis.call('HSET', group, 'sealed', 1)
  tally_of(id)
end
local more = cancels[id] and walk(id)
local ended = ended_so_far()
commit()
return { ended, more and 1 or 0 }
