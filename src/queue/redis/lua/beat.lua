-- Renews leases.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 lease in ms, then job and token for each lease
-- Returns  the jobs whose lease is lost

local lost, renewed = {}, {}
for at = 3, #ARGV, 2 do
  local state, held = unpack(redis.call('HMGET', prefix .. 'j:' .. ARGV[at], 'state', 'token'))
  if state == 'active' and held == ARGV[at + 1] then
    renewed[#renewed + 1] = now + ARGV[2]
    renewed[#renewed + 1] = ARGV[at]
  else
    lost[#lost + 1] = ARGV[at]
  end
end
if #renewed > 0 then
  redis.call('ZADD', prefix .. 'lease', unpack(renewed))
end
return lost
