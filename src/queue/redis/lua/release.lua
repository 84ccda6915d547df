-- Gives attempts back without blame: first in line again, the attempt not counted. Its run still counts, so that no
-- token is ever given out twice.
-- KEYS[1]  prefix
-- ARGV     1 time offset, then job and token for each lease
-- Returns  nothing

local lines = {}
-- Backwards, so that the first of them ends up first in line.
for at = #ARGV - 1, 2, -2 do
  local id = ARGV[at]
  local job = prefix .. 'j:' .. id
  local state, held, place, attempt = unpack(redis.call('HMGET', job, 'state', 'token', 'place', 'attempt'))
  if state == 'active' and held == ARGV[at + 1] then
    redis.call('HSET', job, 'state', 'waiting', 'token', '', 'attempt', attempt - 1)
    redis.call('ZREM', prefix .. 'lease', id)
    redis.call('LPUSH', prefix .. 'q:' .. place, id)
    local line = line_of(place)
    moved(line, 'active', 'waiting')
    lines[line] = true
  end
end
write_depths()
for line in pairs(lines) do
  post(line)
end
