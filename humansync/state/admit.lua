-- May a request be sent, when, and does this window belong to the one who asks? One round trip.
--
-- KEYS  1 budget (hash)  2 gaps (list)  3 holds (hash)  and, for a window:  4 lease (string)  5 issued (string)
-- ARGV  1 kind  2 lane: "live" or "backfill"  3 rate per second, 0 = no limit  4 longest wait, us
--       5 recovery of a slowed rate, share per second  and, for a window:  6 token  7 lease, ms
-- Gives {what, wait in us}: 1 granted, send after the wait; 0 come back after the wait, nothing is
--       held; -1 another holds the lease, which lapses after the wait. Where it is granted a third number says
--       whether a message for this window was waited for: 1 is the message that was sent last, 0 may be another.
--
-- Requests get instants that lie evenly, one interval apart, and never a burst: whatever second the
-- server looks at holds no more than the rate. While live requests are about, backfill leaves every
-- fifth instant free as a gap; a live request takes the first gap ahead instead of the end of the line.

local LIVE_FOR_US = 2000000    -- live requests are "about" this long after one asked
local RUN_LENGTH = 4           -- backfill requests between two gaps: four fifths of the rate
local DAY_MS = 86400000
local PROBE_US = 180000000     -- so long after everything was stopped windows may be parked that messages speak of

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local kind, lane, rate, longest = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local lease, token = KEYS[4], ARGV[6]

local function text(number)
  return string.format('%.0f', number)  -- tostring() would cut to 14 digits
end

local function refuse(wait)
  if lease and redis.call('GET', lease) == token then
    redis.call('DEL', lease)
  end
  return {0, math.ceil(wait)}
end

if lease then
  local holder = redis.call('GET', lease)
  if holder and holder ~= token then
    redis.call('DEL', KEYS[5])
    return {-1, math.max(redis.call('PTTL', lease), 0) * 1000}
  end
end

local holds = redis.call('HMGET', KEYS[3], '*', kind)
local held = math.max(tonumber(holds[1]) or 0, tonumber(holds[2]) or 0) - now
if held > 0 then
  return refuse(held)
end

local slot = now
if rate > 0 then
  local state = redis.call('HMGET', KEYS[1], 'next', 'run', 'live', 'factor', 'slowed')
  local recovered = math.max(now - (tonumber(state[5]) or now), 0) / 1000000 * tonumber(ARGV[5])
  local factor = math.min((tonumber(state[4]) or 1) + recovered, 1)
  local interval = 1000000 / (rate * factor)
  -- A clock that was set back must not stop everything until it has caught up.
  local ahead = tonumber(state[1]) or 0
  if ahead > now + 60000000 + 4 * interval then
    ahead = now
  end
  local line = math.max(now, ahead)
  local run = tonumber(state[2]) or 0
  local live = tonumber(state[3]) or 0
  local taken = nil
  slot = line
  if lane == 'live' then
    redis.call('HSET', KEYS[1], 'live', text(now))
    local gap = tonumber(redis.call('LINDEX', KEYS[2], 0))
    while gap and gap < now do
      redis.call('LPOP', KEYS[2])
      gap = tonumber(redis.call('LINDEX', KEYS[2], 0))
    end
    if gap and gap < line then
      slot, taken = gap, true
    end
  end
  if slot - now > longest then
    return refuse(slot - now)
  end
  if taken then
    redis.call('LPOP', KEYS[2])
  else
    local after = slot + interval
    if lane ~= 'live' then
      run = run + 1
      if run >= RUN_LENGTH then
        run = 0
        if now - live < LIVE_FOR_US then
          redis.call('RPUSH', KEYS[2], text(math.ceil(after)))
          redis.call('PEXPIRE', KEYS[2], DAY_MS)
          after = after + interval
        end
      end
    end
    redis.call('HSET', KEYS[1], 'next', text(math.ceil(after)), 'run', run)
    redis.call('PEXPIRE', KEYS[1], DAY_MS)
  end
end

local waited_for = 0
if lease then
  redis.call('SET', lease, token, 'PX', ARGV[7])
  waited_for = redis.call('DEL', KEYS[5])
  if now < (tonumber(holds[1]) or 0) + PROBE_US then
    waited_for = 0
  end
end
return {1, math.ceil(slot - now), waited_for}
