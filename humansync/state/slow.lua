-- The API asked for less: cut the rate that all hosts share. It recovers by itself, a little each second.
--
-- KEYS  1 budget (hash)
-- ARGV  1 what is left of the share in use  2 least share  3 recovery, share per second
--       4 quiet time, us: several refusals within it are one event, requests were under way
-- Gives the share now in use, in thousandths.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local state = redis.call('HMGET', KEYS[1], 'factor', 'slowed')
local slowed = tonumber(state[2])
local age = slowed and math.max(now - slowed, 0)
local factor = math.min((tonumber(state[1]) or 1) + (age or 0) / 1000000 * tonumber(ARGV[3]), 1)
if not age or age >= tonumber(ARGV[4]) then
  factor = math.max(factor * tonumber(ARGV[1]), tonumber(ARGV[2]))
  redis.call('HSET', KEYS[1], 'factor', factor, 'slowed', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], 86400000)
end
return math.floor(factor * 1000)
