-- Enqueues one chunk of a group: all of it, or nothing where its key is taken or a queue's cap is reached. Refused by
-- Redis itself, before it starts, when memory is used up: it carries no `allow-oom`.
-- KEYS[1]  prefix
-- ARGV     1 time offset, 2 events kept, 3 group, 4 meta, 5 '1' to seal, 'open' for a part of a group
--          that is added to later, 6 cap of a queue, 7 idempotency key or '',
--          8 its fingerprint, 9 ms for which it is bound, 10 the group that follows or '', 11 when it does,
--          12 to 22 the FIELDS of the job that follows, then the FIELDS of each job
-- Returns  { 'ok' } | { 'known' } for a sealed group | { 'taken', group that the key is bound to }
--          | { 'full', queue, open jobs, jobs refused }

local FIRST = 12 + FIELDS
local id, meta, seal, cap = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local group = prefix .. 'g:' .. id

local bind
if ARGV[7] ~= '' then
  local owner, bound, lapses = unpack(redis.call('HMGET', prefix .. 'i:' .. ARGV[7], 'group', 'bound', 'lapses'))
  if not bound or tonumber(lapses) <= now or redis.call('EXISTS', prefix .. 'g:' .. owner) == 0 then
    bind = true
  elseif owner ~= id then
    return { 'taken', owner }
  end
end

local sealed, cancelling = unpack(redis.call('HMGET', group, 'sealed', 'cancelling'))
if sealed == '1' then
  return { 'known' }
end

local names = {}
for at = FIRST, #ARGV, FIELDS do
  names[#names + 1] = prefix .. 'j:' .. ARGV[at]
end
local all_new = #names == 0 or redis.call('EXISTS', unpack(names)) == 0

local fresh, ids, more = {}, {}, {}
for at = FIRST, #ARGV, FIELDS do
  if all_new or redis.call('EXISTS', prefix .. 'j:' .. ARGV[at]) == 0 then
    fresh[#fresh + 1] = at
    ids[#ids + 1] = ARGV[at]
    -- What comes to a group that is being cancelled ends at once, and takes no room in a queue.
    if not cancelling then
      more[ARGV[at + 2]] = (more[ARGV[at + 2]] or 0) + 1
    end
  end
end

for queue, count in pairs(more) do
  local open = 0
  local fields = { ':cpu:waiting', ':cpu:delayed', ':io:waiting', ':io:delayed' }
  for i, field in ipairs(fields) do
    fields[i] = queue .. field
  end
  for _, depth in ipairs(redis.call('HMGET', prefix .. 'queues', unpack(fields))) do
    open = open + (tonumber(depth) or 0)
  end
  if open + count > cap then
    return { 'full', queue, open, count }
  end
end

local unknown = redis.call('EXISTS', group) == 0
if unknown then
  create_group(id, meta)
  if ARGV[10] ~= '' then
    redis.call('HSET', group, 'then', ARGV[10], 'on', ARGV[11],
      'then_job', cmsgpack.pack({ unpack(ARGV, 12, FIRST - 1) }))
  end
end
-- Not with an earlier chunk: a group that a later one's refusal cancels leaves its key free.
if bind and seal ~= '0' then
  local key = prefix .. 'i:' .. ARGV[7]
  redis.call('HSET', key, 'group', id, 'bound', 1, 'fingerprint', ARGV[8], 'lapses', now + ARGV[9])
  redis.call('PEXPIRE', key, ARGV[9])
end
if unknown or #fresh > 0 then
  say('E', id)
end
for _, at in ipairs(fresh) do
  create(id, ARGV, at, cancelling)
end
count_in(id, ids)
if #ARGV >= FIRST then
  -- Results are read by index: ids that exist elsewhere leave holes.
  redis.call('HSET', group, 'length', ARGV[#ARGV - FIELDS + 2] + 1)
end
if seal == '1' then
  redis.call('HSET', group, 'sealed', 1)
  tally_of(id)
end
commit()
return { 'ok' }
