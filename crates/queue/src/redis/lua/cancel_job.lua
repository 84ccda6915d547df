-- Cancels a job, with those that wait for it; one that runs is asked to stop.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 job
-- Returns  its state from then on, or nothing where it is unknown

local state = cancel(ARGV[3])
commit()
return state
