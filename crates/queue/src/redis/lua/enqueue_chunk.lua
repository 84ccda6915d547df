-- Enqueues one chunk of a group.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, then the arguments of `enqueue`
-- Returns  what `enqueue` returns

return enqueue(2)
