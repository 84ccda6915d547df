-- Reserves an idempotency key for a group that is being received.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 key, 3 group, 4 ms for which it is reserved
-- Returns  { 'granted' } | { 'busy' } | { 'known', group, fingerprint }

local key = prefix .. 'i:' .. ARGV[2]
local owner, bound, fingerprint, lapses = unpack(redis.call('HMGET', key, 'group', 'bound', 'fingerprint', 'lapses'))
if owner and tonumber(lapses) > now then
  if bound then
    -- A group whose record was removed has left its key.
    if redis.call('EXISTS', prefix .. 'g:' .. owner) == 1 then
      return { 'known', owner, fingerprint }
    end
  elseif owner ~= ARGV[3] and tonumber(lapses) <= now + ARGV[4] then
    -- One that lapses later is from before the clock was set back.
    return { 'busy' }
  end
end
redis.call('DEL', key)
redis.call('HSET', key, 'group', ARGV[3], 'lapses', now + ARGV[4])
redis.call('PEXPIRE', key, ARGV[4])
return { 'granted' }
