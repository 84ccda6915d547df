-- Pauses a queue, or resumes it and wakes its workers.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 queue, 4 '1' to pause
-- Returns  nothing

local queue = ARGV[3]
for _, class in ipairs({ 'cpu', 'io' }) do
  local line = queue .. ':' .. class
  if ARGV[4] == '1' then
    -- Nobody is woken for what no claim takes.
    redis.call('DEL', prefix .. 'wake:' .. line)
  else
    woken[line] = true
  end
end
if ARGV[4] == '1' then
  redis.call('HSET', prefix .. 'queues', queue .. '::paused', 1)
else
  redis.call('HDEL', prefix .. 'queues', queue .. '::paused')
end
write_moves()
