-- Takes back jobs of a group whose later chunk was refused, as if they had never been enqueued: a worker that has
-- claimed one already finds its lease lost. Their ids stay in the waiting lists, where a claim skips them.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 group, then the jobs' ids; with none, the group itself goes
-- Returns  nothing

if #ARGV == 2 then
  redis.call('DEL', prefix .. 'g:' .. ARGV[2])
  return
end
for at = 3, #ARGV do
  local id = ARGV[at]
  local job = prefix .. 'j:' .. id
  local state, place, group = unpack(redis.call('HMGET', job, 'state', 'place', 'group'))
  if group == ARGV[2] then
    if state == 'delayed' then
      redis.call('ZREM', prefix .. 'delayed', id)
    elseif state == 'active' then
      redis.call('ZREM', prefix .. 'lease', id)
    end
    if state == 'waiting' or state == 'delayed' or state == 'active' then
      moved(line_of(place), state, nil)
    end
    redis.call('DEL', job)
  end
end
write_depths()
