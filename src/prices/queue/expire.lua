-- Forgets entries whose lease has ended: whoever had them is dead. An entry that stands in the processing set without a
-- lease (put there by other software) gets one now.
-- KEYS: processing set, leases. ARGV: lease in seconds; at most so many.
local now = redis.call('TIME')[1]
local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, entry in ipairs(ended) do
  redis.call('SREM', KEYS[1], entry)
  redis.call('ZREM', KEYS[2], entry)
end
for _, entry in ipairs(redis.call('SRANDMEMBER', KEYS[1], ARGV[2])) do
  redis.call('ZADD', KEYS[2], 'NX', now + ARGV[1], entry)
end
return #ended
