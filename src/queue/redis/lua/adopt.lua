-- Brings what the former version wrote into the lists that it did not keep: finished groups, and failed jobs.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 cursor through all keys, 3 the prefix as a pattern
-- Returns  the cursor to go on from, '0' at the end

local found = redis.call('SCAN', ARGV[2], 'MATCH', ARGV[3] .. '[gj]:*', 'COUNT', 1000)
for _, key in ipairs(found[2]) do
  local id, finished = string.sub(key, #prefix + 3), tonumber(redis.call('HGET', key, 'finished') or '')
  if finished and string.sub(key, #prefix + 1, #prefix + 1) == 'g' then
    redis.call('ZADD', prefix .. 'finished', finished, id)
  elseif finished and redis.call('HGET', key, 'state') == 'failed' then
    redis.call('ZADD', prefix .. 'dead', finished, id)
  end
end
return found[1]
