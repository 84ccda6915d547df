-- Brings what a former version wrote into the lists that it did not keep: groups; of the first version also finished
-- groups, and failed jobs.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 cursor through all keys, 3 the prefix as a pattern, 4 the former version
-- Returns  the cursor to go on from, '0' at the end

local wanted = ARGV[3] .. (ARGV[4] == '1' and '[gj]:*' or 'g:*')
local found = redis.call('SCAN', ARGV[2], 'MATCH', wanted, 'COUNT', 1000)
for _, key in ipairs(found[2]) do
  local id = string.sub(key, #prefix + 3)
  local created, finished, state = unpack(redis.call('HMGET', key, 'created', 'finished', 'state'))
  if string.sub(key, #prefix + 1, #prefix + 1) == 'g' then
    redis.call('ZADD', prefix .. 'groups', created or now, id)
    if finished then
      redis.call('ZADD', prefix .. 'finished', finished, id)
    end
  elseif finished and state == 'failed' then
    redis.call('ZADD', prefix .. 'dead', finished, id)
  end
end
return found[1]
