-- Adds a note to a cursor, unless it equals the newest one: its reply may have been lost.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 cursor, 3 notes kept, 4 note
-- Returns  nothing

local notes = prefix .. 'notes:' .. ARGV[2]
if redis.call('LINDEX', notes, 0) ~= ARGV[4] then
  redis.call('LPUSH', notes, ARGV[4])
  redis.call('LTRIM', notes, 0, ARGV[3] - 1)
end
