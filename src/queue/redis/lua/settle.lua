-- Ends attempts, each only for the token that holds its lease.
-- KEYS[1]  prefix
-- ARGV     1 time offset, then for each settlement:
--          job, token, 'succeeded' | 'failed' | 'delayed', ms until the retry, result or reason
-- Returns  for each settlement 1 where it counts, also for a token that committed before, or 0 where the lease is lost

local answers, released = {}, {}
for at = 2, #ARGV, 5 do
  local id, token, state, after, result = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local job = prefix .. 'j:' .. id
  local stands, held, place, group, index, committed = unpack(redis.call('HMGET', job,
    'state', 'token', 'place', 'group', 'index', 'committed'))
  committed = committed or ' '
  if stands == 'active' and held == token then
    local line = line_of(place)
    released[#released + 1] = id
    committed = committed .. token .. ' '
    if state == 'delayed' then
      local due = now + after
      redis.call('HSET', job, 'state', state, 'token', '', 'committed', committed, 'reason', result)
      if due < (first_score('delayed') or math.huge) then
        post(line)
      end
      -- At once, so that the next one is compared with it.
      redis.call('ZADD', prefix .. 'delayed', due, id)
      moved(line, 'active', 'delayed')
    else
      redis.call('HSET', job, 'state', state, 'token', '', 'committed', committed, 'finished', now)
      finish(group, index, id, state, result)
      moved(line, 'active', nil)
    end
    answers[#answers + 1] = 1
  elseif token ~= '' and string.find(committed, ' ' .. token .. ' ', 1, true) then
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
if #released > 0 then
  redis.call('ZREM', prefix .. 'lease', unpack(released))
  write_groups()
  write_depths()
end
return answers
