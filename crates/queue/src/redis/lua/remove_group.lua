-- Removes a chunk of the jobs of a finished group; the group's own record when none is left.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 group, 3 first index of the chunk
-- Returns  the first index of the next chunk, -1 when the group is removed, -2 where it is unknown, -3 where unfinished

local CHUNK = 1000
local id, from = ARGV[2], tonumber(ARGV[3])
local group = prefix .. 'g:' .. id
local total, length, finished = unpack(redis.call('HMGET', group, 'total', 'length', 'finished'))
if not total then
  return -2
elseif not finished then
  return -3
elseif from >= tonumber(length or total) then
  redis.call('ZREM', prefix .. 'finished', id)
  redis.call('ZREM', prefix .. 'groups', id)
  for label in string.gmatch(redis.call('HGET', group, 'labels') or '', '[^\n]+') do
    redis.call('ZREM', prefix .. 'l:' .. label, id)
  end
  redis.call('UNLINK', group)
  return -1
end

local fields, ids, jobs = {}, {}, {}
for index = from, from + CHUNK - 1 do
  fields[#fields + 1] = 'r:' .. index
end
for _, result in ipairs(redis.call('HMGET', group, unpack(fields))) do
  if result then
    ids[#ids + 1] = string.sub(result, 2, 37)
    jobs[#jobs + 1] = prefix .. 'j:' .. ids[#ids]
  end
end
if #ids > 0 then
  redis.call('UNLINK', unpack(jobs))
  redis.call('ZREM', prefix .. 'dead', unpack(ids))
end
return from + CHUNK
