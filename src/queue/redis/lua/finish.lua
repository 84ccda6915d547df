-- Jobs that end, and what becomes of their groups. Results are `<s, f or c><job id><result>` by index.

-- Group id -> count by state, and the fields of its results.
local ended = {}

local function finish(group, index, job, state, result)
  local tally = ended[group]
  if not tally then
    tally = { count = 0, states = {}, results = {} }
    ended[group] = tally
  end
  tally.count = tally.count + 1
  tally.states[state] = (tally.states[state] or 0) + 1
  local results = tally.results
  results[#results + 1] = 'r:' .. index
  results[#results + 1] = string.sub(state, 1, 1) .. job .. result
end

local function write_groups()
  for id, tally in pairs(ended) do
    local group = prefix .. 'g:' .. id
    redis.call('HSET', group, unpack(tally.results))
    for state, count in pairs(tally.states) do
      redis.call('HINCRBY', group, state, count)
    end
    local pending = redis.call('HINCRBY', group, 'pending', -tally.count)
    if pending == 0 and redis.call('HGET', group, 'sealed') == '1' then
      redis.call('HSET', group, 'finished', now)
    end
  end
end
