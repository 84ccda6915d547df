-- Cancels a chunk of what waits or is delayed in a queue since before the purge began.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 queue, 4 when the purge began or '', 5 cursor through the delayed jobs,
--          '' to begin, 'waiting' when they are done
-- Returns  { jobs ended, when the purge began, the cursor to go on from, or 'done' }

local CHUNK = 1000
local queue, began, cursor = ARGV[3], tonumber(ARGV[4]) or now, ARGV[5]
local prior = queue .. ':'
-- What follows the jobs that end here is younger than the purge, also within its millisecond.
now = math.max(now, began + 1)

-- Whether it stood in the queue when the purge began; ids of removed jobs count as if they had.
local function stood(id)
  local place, created = unpack(redis.call('HMGET', prefix .. 'j:' .. id, 'place', 'created'))
  return not place or string.sub(place, 1, #prior) == prior and tonumber(created) <= began
end

if cursor ~= 'waiting' then
  local found = redis.call('ZSCAN', prefix .. 'delayed', cursor == '' and 0 or cursor, 'COUNT', CHUNK)
  for i = 1, #found[2], 2 do
    if stood(found[2][i]) then
      cancel(found[2][i])
    end
  end
  cursor = found[1] == '0' and 'waiting' or found[1]
else
  cursor = 'done'
  local room = CHUNK
  for _, class in ipairs({ 'cpu', 'io' }) do
    for priority = 10, 1, -1 do
      local list = prefix .. 'q:' .. prior .. class .. ':' .. priority
      local popped = room > 0 and redis.call('LPOP', list, room) or {}
      local kept = {}
      for _, id in ipairs(popped) do
        if stood(id) then
          cancel(id)
        else
          table.insert(kept, 1, id)
        end
      end
      in_parts('LPUSH', list, kept)
      room = room - #popped
      -- What stands behind a job that came later came later still.
      if #kept == 0 and redis.call('EXISTS', list) == 1 then
        cursor = 'waiting'
      end
    end
  end
end
local ended = ended_so_far()
commit()
return { ended, began, cursor }
