-- Moves a cursor, and enqueues a group with it, or neither. The hash `cursors` holds `<ms of the last move> <value>`.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 cursor, 4 '1' if it must exist, 5 the value that it must have,
--          6 its next value, 7 ms since 1970 before which it does not move, 8 notes kept, 9 number of notes, the notes,
--          then the arguments of `enqueue`, if a group comes with it
-- Returns  { 'moved' } | { 'elsewhere', value, or nothing if there is no such cursor } | { 'early', ms }
--          | what `enqueue` refuses with

local cursor, base = ARGV[3], 9 + ARGV[9]
local stored = redis.call('HGET', prefix .. 'cursors', cursor)
local at = stored and string.match(stored, '^%S+ (.*)$') or nil
local expected = ARGV[4] == '1' and ARGV[5] or nil
if at ~= expected then
  return { 'elsewhere', at }
end
if now < tonumber(ARGV[7]) then
  return { 'early', ARGV[7] - now }
end
if #ARGV > base then
  local answer = enqueue(base)
  if answer[1] ~= 'ok' and answer[1] ~= 'known' then
    return answer
  end
end
redis.call('HSET', prefix .. 'cursors', cursor, string.format('%.0f ', now) .. ARGV[6])
for i = 10, base do
  redis.call('LPUSH', prefix .. 'notes:' .. cursor, ARGV[i])
end
redis.call('LTRIM', prefix .. 'notes:' .. cursor, 0, ARGV[8] - 1)
return { 'moved' }
