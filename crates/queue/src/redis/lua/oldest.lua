-- How long the oldest waiting job of each queue has waited.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 jobs that are looked at in each line
-- Returns  for each queue in which jobs wait: its name, ms

local oldest = {}
local depths = redis.call('HGETALL', prefix .. 'queues')
for at = 1, #depths, 2 do
  local line, queue = string.match(depths[at], '^(([^:]*):[^:]+):waiting$')
  if line and tonumber(depths[at + 1]) > 0 then
    for priority = 1, 10 do
      local place = line .. ':' .. priority
      for _, id in ipairs(redis.call('LRANGE', prefix .. 'q:' .. place, 0, ARGV[2] - 1)) do
        local state, stands, since, created = unpack(redis.call('HMGET', prefix .. 'j:' .. id,
          'state', 'place', 'since', 'created'))
        if state == 'waiting' and stands == place then
          oldest[queue] = math.max(oldest[queue] or 0, now - (since or created))
        end
      end
    end
  end
end

local answer = {}
for queue, ms in pairs(oldest) do
  answer[#answer + 1] = queue
  answer[#answer + 1] = ms
end
return answer
