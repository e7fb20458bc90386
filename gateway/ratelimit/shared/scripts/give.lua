-- Settle, renew and seed: what needs no answer.
--
-- KEYS[i]   where rule i is counted
-- ARGV[1]   for each rule four words: what to do, period in ms, bucket, amount
-- ARGV[2]   name of the gateway
-- ARGV[3]   ms for which slots are held without being renewed
--
-- "w" "d" "m"  add to the bucket, a negative amount gives back; bucket -1 is the present one. What is over stays as it was
-- "s"          add to the slots of this gateway
-- "h"          this gateway holds so many slots at least; "e" exactly so many
-- "D" "M"      at least so much was used in the day or month, if it is the present one

local now = clock()
local me, hold = ARGV[2], tonumber(ARGV[3])
local words = {}
for word in string.gmatch(ARGV[1], '%S+') do words[#words + 1] = word end

for i, key in ipairs(KEYS) do
  local what, period = words[4 * i - 3], tonumber(words[4 * i - 2])
  local bucket, amount = tonumber(words[4 * i - 1]), tonumber(words[4 * i])
  if what == 'w' then
    local width = math.ceil(period / 60)
    local first = math.floor((now - period) / width)
    expire_buckets(key, first)
    if bucket == -1 then bucket = math.floor(now / width) end
    if bucket >= first and (amount > 0 or read(key, text(bucket))) then
      count(key, 'w', bucket, amount, period)
    end
  elseif what == 'd' or what == 'm' then
    local stretch = stretch_of(what, now)
    if bucket == -1 then bucket = stretch end
    if bucket >= stretch - 1 and (amount > 0 or read(key, text(bucket))) then
      count(key, what, bucket, amount, 0)
    end
  elseif what == 'D' or what == 'M' then
    local kind = string.lower(what)
    local stretch = stretch_of(kind, now)
    local used = tonumber(read(key, text(stretch))) or 0
    if used < amount and (bucket == -1 or bucket == stretch) then count(key, kind, stretch, amount - used, 0) end
  else
    local own = slots(key, me, now)
    if what == 's' then own = own + amount
    elseif what == 'e' then own = amount
    else own = math.max(own, amount) end
    if own > 0 then
      redis.call('HSET', key, me, text(own) .. ':' .. text(now + hold))
      redis.call('PEXPIRE', key, hold)
    else
      redis.call('HDEL', key, me)
    end
  end
end
return 1
