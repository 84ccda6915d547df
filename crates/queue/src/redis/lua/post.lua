-- Puts a letter into a mailbox, once: `<ms when it was posted> <letter>`.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 mailbox, 3 number of the posting, new for each, 4 ms for which letters are kept, 5 letter
-- Returns  nothing

local MOST = 1000
local mail, bell = prefix .. 'mail:' .. ARGV[2], prefix .. 'bell:' .. ARGV[2]
if redis.call('SET', prefix .. 'posted:' .. ARGV[3], 1, 'NX', 'PX', ARGV[4]) then
  redis.call('RPUSH', mail, string.format('%.0f ', now) .. ARGV[5])
  redis.call('LTRIM', mail, -MOST, -1)
  redis.call('PEXPIRE', mail, ARGV[4])
  redis.call('DEL', bell)
  redis.call('RPUSH', bell, 1)
  redis.call('PEXPIRE', bell, ARGV[4])
end
