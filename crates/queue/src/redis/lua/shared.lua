-- What every script begins with: the names of the keys and the broker's time.
-- KEYS[1]  the prefix of every key, with its hash tag: one slot for all of them
-- ARGV[1]  milliseconds added to the broker's time; zero outside tests

local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
