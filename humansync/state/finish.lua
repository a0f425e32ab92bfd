-- Move a cursor, only forward, and give a lease or a lock back, only our own: each where it is asked for.
--
-- KEYS  1 cursors (hash)  2 lease or lock (string), if one is given back
-- ARGV  1 kind  2 the cursor's new instant, us since 1970, or empty  3 token

if ARGV[2] ~= '' and tonumber(ARGV[2]) > (tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
if KEYS[2] and redis.call('GET', KEYS[2]) == ARGV[3] then
  redis.call('DEL', KEYS[2])
end
return 1
