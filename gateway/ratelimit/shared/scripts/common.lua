-- What all scripts begin with; `clock` is put before it. Keys that hold something else than ours are emptied: they are
-- nobody else's by their name, and a count that cannot be read must not refuse everybody for ever.

local function text(value)
  return string.format('%.0f', value)
end

local function safely(key, ...)
  local found = redis.pcall(...)
  if type(found) == 'table' and found.err then
    redis.call('DEL', key)
    found = redis.call(...)
  end
  return found
end

local function read(key, field)
  return safely(key, 'HGET', key, field)
end

local function read_number(key)
  return tonumber(safely(key, 'GET', key) or nil)
end

-- Slots of this gateway and of all others that are not overdue.
local function slots(key, me, now)
  local all = safely(key, 'HGETALL', key)
  local own, others = 0, 0
  for n = 1, #all, 2 do
    local held, ends = string.match(all[n + 1], '^(%d+):(%d+)$')
    if not held or tonumber(ends) <= now then
      redis.call('HDEL', key, all[n])
    elseif all[n] == me then
      own = tonumber(held)
    else
      others = others + tonumber(held)
    end
  end
  return own, others
end

-- Forget the buckets before `first`; gives the sum of the others.
local function expire_buckets(key, first)
  local head = safely(key, 'HMGET', key, 'f', 's')
  local from, sum = tonumber(string.match(head[1] or '', '^%d+$')), tonumber(string.match(head[2] or '', '^%d+$'))
  if not from or not sum then
    redis.call('DEL', key)
    return 0
  end
  if from >= first then return sum end
  if first - from > 128 then
    redis.call('DEL', key)
    return 0
  end
  local names = {}
  for bucket = from, first - 1 do names[#names + 1] = text(bucket) end
  for _, value in ipairs(redis.call('HMGET', key, unpack(names))) do
    sum = sum - (tonumber(value) or 0)
  end
  redis.call('HDEL', key, unpack(names))
  redis.call('HSET', key, 'f', text(first), 's', text(sum))
  return sum
end

-- Milliseconds until `excess` has left the window.
local function until_room(key, period, parts, excess, now)
  local width = math.ceil(period / parts)
  local first = math.floor((now - period) / width)
  local last = first + parts + 12 -- stock reaches a little into the future
  local names = {}
  for bucket = first, last do names[#names + 1] = text(bucket) end
  for n, value in ipairs(redis.call('HMGET', key, unpack(names))) do
    excess = excess - (tonumber(value) or 0)
    if excess <= 0 then return (first + n) * width + period - now end
  end
  return period
end

-- The day or month (UTC) of `now`: its number, and when it ends. Days to months: the year is taken to begin in March, so
-- that the day that comes and goes is its last (C. H. Hinnant, "chrono-compatible low-level date algorithms").
local function month_of(days)
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5)
  return (yoe + era * 400) * 12 + mp + 2, day
end

local function stretch_of(kind, now)
  local days = math.floor(now / 86400000)
  if kind == 'd' then return days, (days + 1) * 86400000 end
  local month, day = month_of(days)
  local next_days = days - day + 28
  while month_of(next_days) == month do next_days = next_days + 1 end
  return month, next_days * 86400000
end

local function add(key, field, amount)
  local value = redis.pcall('HINCRBY', key, field, text(amount))
  if type(value) == 'table' then -- somebody wrote there what is no number
    redis.call('HSET', key, field, text(amount))
    return amount
  end
  return value
end

-- Add to a bucket or stretch; less than nothing is never left in one.
local function count(key, kind, bucket, amount, period)
  local field = text(bucket)
  local value = add(key, field, amount)
  local is_new = value == amount
  if value < 0 then
    redis.call('HSET', key, field, '0')
    amount = amount - value
  end
  if kind == 'w' then
    add(key, 's', amount)
    if is_new then
      local first = tonumber(redis.call('HGET', key, 'f'))
      if not first or bucket < first then redis.call('HSET', key, 'f', field) end
      redis.call('PEXPIRE', key, text(period * 2 + 1000))
    end
  elseif is_new then
    redis.call('PEXPIRE', key, text(40 * 86400000))
    for _, name in ipairs(redis.call('HKEYS', key)) do
      if (tonumber(name) or 0) < bucket - 1 then redis.call('HDEL', key, name) end
    end
  end
end
