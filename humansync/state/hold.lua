-- Let nobody send for a kind, or at all, for a while. The longer of two holds wins; none lifts it.
--
-- KEYS  1 holds (hash)
-- ARGV  1 kind, or * for all  2 how long, us; 0 lifts the hold

if tonumber(ARGV[2]) <= 0 then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
local clock = redis.call('TIME')
local till = clock[1] * 1000000 + clock[2] + tonumber(ARGV[2])
if till > (tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0) then
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', till))
  redis.call('PEXPIRE', KEYS[1], 86400000)
end
return 1
