-- Groups whose cancel has not reached each of their jobs yet: group -> first chunk of members to walk. Nearly always
-- none, so that no job pays for a look at its group. The walk flags what runs, and then the jobs speak for themselves.

local cancels = {}
do
  local walks = redis.call('HGETALL', prefix .. 'cancels')
  for i = 1, #walks, 2 do
    cancels[walks[i]] = tonumber(walks[i + 1])
  end
end
