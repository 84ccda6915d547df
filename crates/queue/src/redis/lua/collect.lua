-- Takes all letters out of a mailbox. The same collecting again gets the same letters again.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 mailbox, 3 number of the collecting, new for each, 4 ms for which letters are kept
-- Returns  the letters, the oldest first, each as `<ms when it was posted> <letter>`

local mail, taken = prefix .. 'mail:' .. ARGV[2], prefix .. 'taken:' .. ARGV[3]
if redis.call('EXISTS', taken) == 0 then
  redis.call('DEL', prefix .. 'bell:' .. ARGV[2])
  local last = redis.call('LINDEX', mail, -1)
  if not last then
    return {}
  elseif string.match(last, '^%d+') + ARGV[4] <= now then
    redis.call('DEL', mail)
    return {}
  end
  redis.call('RENAME', mail, taken)
  redis.call('PEXPIRE', taken, ARGV[4])
end
return redis.call('LRANGE', taken, 0, -1)
