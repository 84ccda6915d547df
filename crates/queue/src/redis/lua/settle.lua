-- Ends attempts, each only for the token that holds its lease.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 stalls until poison, 4 result of a poisoned job, then for each settlement:
--          job, token, 'succeeded' | 'failed' | 'retried' | 'cancelled' | 'crashed' | 'continued',
--          ms until the retry, 1 for a crash alone or '<queue>:<class> <kind>' of the next stage,
--          result, reason or the next stage's payload
-- Returns  for each settlement 1 where it counts, also for a token that committed before, or 0 where the lease is lost

local answers = {}
for at = 5, #ARGV, 5 do
  local id, token, verdict, after, result = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local job = prefix .. 'j:' .. id
  local stands, held, place, group, index, waits, committed, flagged = unpack(redis.call('HMGET', job,
    'state', 'token', 'place', 'group', 'index', 'waits', 'committed', 'cancelling'))
  committed = committed or ' '
  if stands == 'active' and held == token then
    committed = committed .. token .. ' '
    flagged = flagged or cancels[group]
    if verdict == 'succeeded' or verdict == 'failed' then
      finish(id, stands, place, group, index, waits, verdict, result, committed)
    elseif verdict == 'crashed' then
      stall(id, place, group, index, waits, flagged, after == '1', tonumber(ARGV[3]), ARGV[4], committed)
    elseif flagged or verdict == 'cancelled' then
      finish(id, stands, place, group, index, waits, 'cancelled', '', committed)
    elseif verdict == 'continued' then
      local line, kind = string.match(after, '^(%S+) (.*)$')
      local to = line .. string.match(place, ':%d+$')
      redis.call('HSET', job, 'state', 'waiting', 'since', now, 'token', '', 'committed', committed, 'place', to,
        'kind', kind, 'payload', result, 'attempt', 0)
      unleased[#unleased + 1] = id
      to_back(id, to)
      moved(line_of(place), 'active', nil)
      moved(line, nil, 'waiting')
      say('l', group, id)
    else
      redis.call('HSET', job, 'state', 'delayed', 'token', '', 'committed', committed, 'reason', result)
      unleased[#unleased + 1] = id
      delay_until(id, place, now + after)
      moved(line_of(place), 'active', 'delayed')
      say('r', group, id)
    end
    answers[#answers + 1] = 1
  elseif token ~= '' and string.find(committed, ' ' .. token .. ' ', 1, true) then
    answers[#answers + 1] = 1
  else
    answers[#answers + 1] = 0
  end
end
commit()
return answers
