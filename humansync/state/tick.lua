-- A task went round in this worker just now.
--
-- KEYS  1 ticks (sorted set)
-- ARGV  1 worker
-- Workers not heard of for a day are forgotten.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 86400000)
redis.call('PEXPIRE', KEYS[1], 86400000)
return 1
