-- Takes entries off the head of the list and notes them as in work, until a time. An entry longer than any key goes to the
-- failed set whole, and is answered cut, one byte too long.
-- KEYS: list, processing set, leases, failed set. ARGV: at most so many; lease in seconds; longest entry in bytes.
local taken = redis.call('LPOP', KEYS[1], ARGV[1])
if not taken then return {} end
local ends = redis.call('TIME')[1] + ARGV[2]
local longest = tonumber(ARGV[3])
for at, entry in ipairs(taken) do
  if #entry > longest then
    redis.call('SADD', KEYS[4], entry)
    taken[at] = string.sub(entry, 1, longest + 1)
  else
    redis.call('SADD', KEYS[2], entry)
    redis.call('ZADD', KEYS[3], ends, entry)
  end
end
return taken
