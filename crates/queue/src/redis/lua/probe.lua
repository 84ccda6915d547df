-- Writes something that lapses by itself: whoever cannot enqueue learns it here.
-- KEYS[1]  prefix
-- ARGV     1 time offset
-- Returns  nothing

redis.call('SET', prefix .. 'probe', string.format('%.0f', now), 'PX', 60000)
