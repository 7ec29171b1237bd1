-- Gives a request its turn at a host, a start now and a place among the requests in flight, or says how long to wait.
-- KEYS: the host's starts; its rest; its places; since when timetables are kept.
-- ARGV: ticket of the request; what it keeps free after its start; the delay after the last start if it is the next hop of a
-- redirect, else -; how many places there are; how long the request may take. Times in milliseconds.
-- Answers 0: go; n above 0: ask again in n ms; -1: all places are taken.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local spacing, delay = tonumber(ARGV[2]), tonumber(ARGV[3])

-- What stands there somebody else may have written: no number, or none of any time we know.
local function time_of(text)
  local number = tonumber(text)
  if number and number >= 0 and number < now + 31536000000 then return number end
end

local since = time_of(redis.call('GET', KEYS[4]))
if not since or since > now then
  -- New here, flushed or restarted empty: somebody may have asked the host a moment ago. Or the clock was set back.
  since = now
  redis.call('SET', KEYS[4], now, 'PX', 86400000)
end

local starts = redis.call('HMGET', KEYS[1], 'last', 'next')
local last, earliest = time_of(starts[1]), time_of(starts[2])
if not last or not earliest then last, earliest = nil, nil end
if last and last > now + 1 then
  -- The clock was set back, or is another server's after a failover.
  last, earliest = now, now + (earliest - last)
  redis.call('HSET', KEYS[1], 'last', last, 'next', earliest)
end
local due
if delay then
  due = (last or since) + delay
else
  due = earliest or (since + spacing)
end

local wait = math.max(due - now, redis.call('PTTL', KEYS[2]))
if wait > 0 then return wait end

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then return -1 end

local lease = tonumber(ARGV[5])
redis.call('ZADD', KEYS[3], now + lease, ARGV[1])
if redis.call('PTTL', KEYS[3]) < lease then redis.call('PEXPIRE', KEYS[3], lease) end
-- A start is noted a millisecond late: what was cut off above must not shorten a delay.
local free = math.max(earliest or 0, now + 1 + spacing)
redis.call('HSET', KEYS[1], 'last', now + 1, 'next', free)
redis.call('PEXPIRE', KEYS[1], free - now + 60000)
redis.call('PEXPIRE', KEYS[4], 86400000)
return 0
