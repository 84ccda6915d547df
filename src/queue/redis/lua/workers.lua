-- Tells of the workers that live, and forgets the others.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 ms for which a worker that says nothing is listed
-- Returns  for each: session, `<ms when it was seen> <report>`

local found, living = redis.call('HGETALL', prefix .. 'workers'), {}
for i = 1, #found, 2 do
  if string.match(found[i + 1], '^%d+') + ARGV[2] > now then
    living[#living + 1] = found[i]
    living[#living + 1] = found[i + 1]
  else
    redis.call('HDEL', prefix .. 'workers', found[i])
  end
end
return living
