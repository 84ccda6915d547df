-- Renews leases.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 lease in ms, then job and token for each lease
-- Returns  { the jobs whose lease is lost, those that are being cancelled }

local lost, cancelled, renewed = {}, {}, {}
for at = 3, #ARGV, 2 do
  local id = ARGV[at]
  local state, held, group, flagged = unpack(redis.call('HMGET', prefix .. 'j:' .. id,
    'state', 'token', 'group', 'cancelling'))
  if state == 'active' and held == ARGV[at + 1] then
    renewed[#renewed + 1] = now + ARGV[2]
    renewed[#renewed + 1] = id
    if flagged or cancels[group] then
      cancelled[#cancelled + 1] = id
    end
  else
    lost[#lost + 1] = id
  end
end
if #renewed > 0 then
  redis.call('ZADD', prefix .. 'lease', unpack(renewed))
end
return { lost, cancelled }
