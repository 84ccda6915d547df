-- A clock that is set back, or a server that takes over and whose clock is behind. The key `seen` is the latest instant of a
-- claim or a heartbeat, to the second; where the clock says less, all that was to come so long after something that happened
-- comes so much earlier: leases and retries. Without that a dead worker would hold its jobs until the clock is where it was.

do
  local SLACK = 1000
  local back = tonumber(redis.call('GET', prefix .. 'seen') or 0) - now
  if back > SLACK then
    for _, list in ipairs({ 'lease', 'delayed' }) do
      local found, earlier = redis.call('ZRANGE', prefix .. list, '-inf', '(+inf', 'BYSCORE', 'WITHSCORES'), {}
      for i = 1, #found, 2 do
        -- The first start of a job that waits for nothing has a time of its own, which stays.
        local runs, delay = unpack(redis.call('HMGET', prefix .. 'j:' .. found[i], 'runs', 'delay'))
        if runs or delay then
          earlier[#earlier + 1] = found[i + 1] - back
          earlier[#earlier + 1] = found[i]
        end
      end
      in_parts('ZADD', prefix .. list, earlier)
    end
  end
  if math.abs(back) >= SLACK then
    redis.call('SET', prefix .. 'seen', string.format('%.0f', now))
  end
end
