-- Leaves a host alone for so long. Rests only get longer.
-- KEYS: the host's rest. ARGV: how long, in milliseconds.
local rest = tonumber(ARGV[1])
if rest > 0 and redis.call('PTTL', KEYS[1]) < rest then
  redis.call('SET', KEYS[1], '1', 'PX', rest)
  return 1
end
return 0
