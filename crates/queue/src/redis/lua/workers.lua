-- Tells of the workers that live, and forgets the others.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 ms for which a worker that says nothing is listed
-- Returns  for each: session, `<ms when it was seen> <report>`

-- One that was seen in the future has not been heard of since the clock was set back.
local SLACK = 1000
local found, living = redis.call('HGETALL', prefix .. 'workers'), {}
for i = 1, #found, 2 do
  local seen = tonumber(string.match(found[i + 1], '^%d+'))
  if seen + ARGV[2] > now and seen <= now + SLACK then
    living[#living + 1] = found[i]
    living[#living + 1] = found[i + 1]
  else
    redis.call('HDEL', prefix .. 'workers', found[i])
  end
end
return living
