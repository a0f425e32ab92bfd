-- Give leases a new life, those that are still ours.
--
-- KEYS  the leases (strings)
-- ARGV  1 token, or the owner that begins it: "owner" renews "owner" and "owner:anything"  2 lease, ms
-- Gives how many were renewed.

local owner = ARGV[1] .. ':'
local renewed = 0
for _, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  if holder and (holder == ARGV[1] or string.sub(holder, 1, #owner) == owner) then
    renewed = renewed + redis.call('PEXPIRE', key, ARGV[2])
  end
end
return renewed
