-- Say that this gateway lives, or that it leaves. Answers "N RANK BORN": how many live, the place of this one
-- among them, and since when there has been a memory here.
--
-- KEYS[1]   who lives, with when they were last heard of
-- KEYS[2]   since when there has been a memory here
-- ARGV[1]   name of the gateway
-- ARGV[2]   ms after which one that is not heard of counts as gone
-- ARGV[3]   "1" to leave

local now = clock()
local late = tonumber(ARGV[2])
safely(KEYS[1], 'ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - late))
if ARGV[3] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], text(now), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], late)
end
if not read_number(KEYS[2]) then redis.call('SET', KEYS[2], text(now)) end
redis.call('PEXPIRE', KEYS[2], 2 * late)
local names = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(names)
local rank = 0
for n, name in ipairs(names) do
  if name == ARGV[1] then rank = n - 1 end
end
return #names .. ' ' .. rank .. ' ' .. (redis.call('GET', KEYS[2]) or '0')
