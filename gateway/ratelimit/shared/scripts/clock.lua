-- Milliseconds since 1970 by the server's clock: one clock for all gateways, whatever their own say.
local function clock()
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end
