-- Lists groups, the newest first.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 ms of the earliest, the place that they stand below: 3 ms, 4 group; 5 most groups,
--          6 label or ''
-- Returns  their ids, each followed by its time

return groups_below(list_of(ARGV[6]), tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[2]), tonumber(ARGV[5]))
