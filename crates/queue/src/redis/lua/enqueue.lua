-- Enqueues one chunk of a group: all of it, or nothing where its key is taken or a queue's cap is reached. Scripts that call
-- it carry no `allow-oom`: Redis refuses them, before they start, when memory is used up.
-- ARGV after `base`: 1 group, 2 meta, 3 '1' to seal, 'open' for a part of a group that is added to later,
--          4 cap of a queue, 5 idempotency key or '', 6 its fingerprint, 7 ms for which it is bound, 8 labels, a line each,
--          9 the group that follows or '', 10 when it does, 11 to 22 the FIELDS of the job that follows,
--          then the FIELDS of each job
-- Returns  { 'ok' } | { 'known' } for a sealed group | { 'taken', group that the key is bound to }
--          | { 'full', queue, open jobs, jobs refused }

local function enqueue(base)
  local first = base + 11 + FIELDS
  local id, meta, seal, cap = ARGV[base + 1], ARGV[base + 2], ARGV[base + 3], tonumber(ARGV[base + 4])
  local group = prefix .. 'g:' .. id

  local bind
  if ARGV[base + 5] ~= '' then
    local owner, bound, lapses = unpack(redis.call('HMGET', prefix .. 'i:' .. ARGV[base + 5], 'group', 'bound', 'lapses'))
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
  for at = first, #ARGV, FIELDS do
    names[#names + 1] = prefix .. 'j:' .. ARGV[at]
  end
  local all_new = #names == 0 or redis.call('EXISTS', unpack(names)) == 0

  local fresh, ids, more = {}, {}, {}
  for at = first, #ARGV, FIELDS do
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
    label_group(id, ARGV[base + 8])
    if ARGV[base + 9] ~= '' then
      redis.call('HSET', group, 'then', ARGV[base + 9], 'on', ARGV[base + 10],
        'then_job', cmsgpack.pack({ unpack(ARGV, base + 11, first - 1) }))
    end
  end
  -- Not with an earlier chunk: a group that a later one's refusal cancels leaves its key free.
  if bind and seal ~= '0' then
    local key = prefix .. 'i:' .. ARGV[base + 5]
    redis.call('HSET', key, 'group', id, 'bound', 1, 'fingerprint', ARGV[base + 6], 'lapses', now + ARGV[base + 7])
    redis.call('PEXPIRE', key, ARGV[base + 7])
  end
  if unknown or #fresh > 0 then
    say('E', id)
  end
  for _, at in ipairs(fresh) do
    create(id, ARGV, at, cancelling)
  end
  count_in(id, ids)
  if #ARGV >= first then
    -- Results are read by index: ids that exist elsewhere leave holes.
    redis.call('HSET', group, 'length', ARGV[#ARGV - FIELDS + 2] + 1)
  end
  if seal == '1' then
    redis.call('HSET', group, 'sealed', 1)
    tally_of(id)
  end
  commit()
  return { 'ok' }
end
