-- Gives attempts back without blame: the attempt not counted, first in line again or delayed. Its run still counts, so
-- that no token is ever given out twice.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 ms until they wait again, -1 for at once, then job and token for each lease
-- Returns  nothing

local after = tonumber(ARGV[3])
for at = 4, #ARGV, 2 do
  local id = ARGV[at]
  local job = prefix .. 'j:' .. id
  local state, held, place, group, index, waits, attempt, flagged = unpack(redis.call('HMGET', job,
    'state', 'token', 'place', 'group', 'index', 'waits', 'attempt', 'cancelling'))
  if state == 'active' and held == ARGV[at + 1] then
    redis.call('HSET', job, 'attempt', attempt - 1)
    if flagged or cancels[group] then
      finish(id, state, place, group, index, waits, 'cancelled', '')
    else
      local to = after < 0 and 'waiting' or 'delayed'
      redis.call('HSET', job, 'state', to, 'since', now, 'token', '')
      unleased[#unleased + 1] = id
      moved(line_of(place), 'active', to)
      if after < 0 then
        to_front(id, place)
      else
        delay_until(id, place, now + after)
      end
      say('l', group, id)
    end
  end
end
commit()
