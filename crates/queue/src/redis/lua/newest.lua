-- Groups by the time they were enqueued, the newest first; those of one millisecond by their ids, the last one first.

-- The sorted set of the groups with a label, or of all groups for ''.
local function list_of(label)
  return label == '' and prefix .. 'groups' or prefix .. 'l:' .. label
end

-- Groups of `list` below the one that was enqueued at `created` and has the id `id`, none of before `floor`, at most `most`: id
-- and time of each.
local function groups_below(list, created, id, floor, most)
  local found, skip = {}, 0
  if most == 0 then
    return found
  end
  repeat
    local page = redis.call('ZRANGE', list, created, floor, 'BYSCORE', 'REV',
      'LIMIT', skip, most, 'WITHSCORES')
    for i = 1, #page, 2 do
      local at = tonumber(page[i + 1])
      if #found < 2 * most and (at < created or page[i] < id) then
        found[#found + 1] = page[i]
        found[#found + 1] = at
      end
    end
    skip = skip + most
  until #found == 2 * most or #page < 2 * most
  return found
end
