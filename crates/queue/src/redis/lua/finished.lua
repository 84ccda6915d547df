-- Groups that finished long ago, the oldest first.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 age in ms, 3 groups to skip, 4 most groups
-- Returns  their ids

return redis.call('ZRANGE', prefix .. 'finished', '-inf', now - ARGV[2], 'BYSCORE', 'LIMIT', ARGV[3], ARGV[4])
