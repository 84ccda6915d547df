-- Gives a group's reservation of an idempotency key back; a bound key stays.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 key, 3 group
-- Returns  nothing

local key = prefix .. 'i:' .. ARGV[2]
local owner, bound = unpack(redis.call('HMGET', key, 'group', 'bound'))
if owner == ARGV[3] and not bound then
  redis.call('DEL', key)
end
