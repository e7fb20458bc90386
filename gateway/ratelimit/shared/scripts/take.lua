-- Take of all rules or of none.
--
-- KEYS[i]   where rule i is counted; the last: since when there has been a memory here
-- ARGV[1]   the rules, four words each: kind ("w" window, "d" day, "m" month, "s" slots), limit, period in ms, shadow
-- ARGV[2]   for each rule: amount (-1: none is needed, whatever the room), stock wanted beside it, slots that this
--           gateway holds already, its share of them
-- ARGV[3]   name of the gateway
-- ARGV[4]   the part of the room that stock may be, as its divisor
-- ARGV[5]   ms for which stock is good
-- ARGV[6]   ms for which slots are held without being renewed
-- ARGV[7]   ms in which every gateway has said what it holds
--
-- Answers one line of numbers. Taken: 1, then for each rule: left, bucket (-1: a shadow rule without room), stock.
-- Refused: 0, the rule from 0, ms until it has room.
--
-- A window is a hash of buckets, 1/60 of the period each. What is taken in a bucket counts until the period is over after
-- the bucket's end: a little too long, never too short. Stock is counted in the bucket in which it ends, since it may be
-- used until then. Fields: "f" the first bucket that counts, "s" the sum of all, and the buckets by number.

local BUCKETS, HOLD_MS = 60, tonumber(ARGV[6])
local now = clock()
local lease = tonumber(ARGV[5])
local divisor = tonumber(ARGV[4])
local me = ARGV[3]

local function number(value)
  return tonumber(value) or 0
end

-- A server that forgot everything does not know yet who holds slots: until all have said so nobody gets more than a share.
local born = read_number(KEYS[#KEYS])
local settling = not born or now - born < tonumber(ARGV[7])

local rules, amounts = {}, {}
for word in string.gmatch(ARGV[1], '%S+') do rules[#rules + 1] = word end
for word in string.gmatch(ARGV[2], '%S+') do amounts[#amounts + 1] = number(word) end

local used, buckets, fresh = {}, {}, {}
local refused, wait, shadowed = nil, -1, {}

for i = 1, #KEYS - 1 do
  local key = KEYS[i]
  local kind, limit, period = rules[4 * i - 3], number(rules[4 * i - 2]), number(rules[4 * i - 1])
  local amount, stock = amounts[4 * i - 3], amounts[4 * i - 2]
  local after, room = 1000, limit
  if kind == 's' then
    local own, others = slots(key, me, now)
    own = math.max(own, amounts[4 * i - 1])
    used[i], fresh[i] = own + others, own
    if settling then
      room = math.min(limit, others + amounts[4 * i])
      amounts[4 * i - 2] = 0
    end
  elseif kind == 'w' then
    local width = math.ceil(period / BUCKETS)
    local first = math.floor((now - period) / width)
    used[i] = expire_buckets(key, first)
    local ahead = stock > 0 and math.min(lease, math.floor(period / 8)) or 0
    buckets[i] = math.floor((now + ahead) / width)
  else
    local stretch, ends = stretch_of(kind, now)
    used[i] = number(read(key, stretch))
    buckets[i] = stretch
    after = ends - now
    if now + lease >= ends then amounts[4 * i - 2] = 0 end
  end
  if amount >= 0 and used[i] + amount > room then
    if rules[4 * i] == '1' then
      shadowed[i] = true
    else
      if kind == 'w' then after = until_room(key, period, BUCKETS, used[i] + amount - limit, now) end
      if after > wait then refused, wait = i, after end
    end
  end
end

if refused then
  return '0 ' .. (refused - 1) .. ' ' .. text(math.max(wait, 1))
end

local out = { '1' }
for i = 1, #KEYS - 1 do
  local key = KEYS[i]
  local kind, limit, period = rules[4 * i - 3], number(rules[4 * i - 2]), number(rules[4 * i - 1])
  local amount, stock = amounts[4 * i - 3], amounts[4 * i - 2]
  local left = limit - used[i]
  amount = math.max(amount, 0)
  if shadowed[i] then
    out[#out + 1] = text(left) .. ' -1 0'
  else
    left = left - amount
    stock = math.max(0, math.min(stock, math.floor(left / divisor)))
    local all = amount + stock
    if kind == 's' then
      if all > 0 or fresh[i] > 0 then
        redis.call('HSET', key, me, text(fresh[i] + all) .. ':' .. text(now + HOLD_MS))
        redis.call('PEXPIRE', key, HOLD_MS)
      end
    elseif all > 0 then
      count(key, kind, buckets[i], all, period)
    end
    out[#out + 1] = text(left) .. ' ' .. text(buckets[i] or 0) .. ' ' .. text(stock)
  end
end
return table.concat(out, ' ')
