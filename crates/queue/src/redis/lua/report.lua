-- Keeps what a worker says of itself.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 session, 3 report
-- Returns  nothing

redis.call('HSET', prefix .. 'workers', ARGV[2], string.format('%.0f ', now) .. ARGV[3])
