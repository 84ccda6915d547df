-- An attempt whose process died, or whose lease ran out: first in line again to run alone, or its end.

local function stall(id, place, group, index, waits, flagged, alone, max_stalls, poison, committed)
  local job = prefix .. 'j:' .. id
  if flagged then
    finish(id, 'active', place, group, index, waits, 'cancelled', '', committed)
    return
  end
  -- Only deaths alone count: neighbours are not blamed.
  if alone and redis.call('HINCRBY', job, 'stalls', 1) >= max_stalls then
    redis.call('HSET', job, 'alone', 1)
    finish(id, 'active', place, group, index, waits, 'failed', poison, committed)
    return
  end
  redis.call('HSET', job, 'state', 'waiting', 'since', now, 'token', '', 'alone', 1)
  if committed then
    redis.call('HSET', job, 'committed', committed)
  end
  unleased[#unleased + 1] = id
  to_front(id, place)
  moved(line_of(place), 'active', 'waiting')
  say('t', group, id)
end
