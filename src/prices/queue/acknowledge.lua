-- Entries whose work has come to an end leave the processing set; those that failed for good enter the failed set, all
-- others leave it. Answers how many entries wait in the list.
-- KEYS: list, processing set, leases, failed set. ARGV: how many of the entries failed; these, then the others.
local last = #ARGV
local failed = 1 + ARGV[1]
-- In portions: unpack() takes no more than a few thousand.
local function each(command, key, from, to)
  for at = from, to, 1000 do
    redis.call(command, key, unpack(ARGV, at, math.min(at + 999, to)))
  end
end
each('SREM', KEYS[2], 2, last)
each('ZREM', KEYS[3], 2, last)
each('SADD', KEYS[4], 2, failed)
each('SREM', KEYS[4], failed + 1, last)
-- What has failed for good does not come back by an entry that was there before, unless looking for it would take long.
local waiting = redis.call('LLEN', KEYS[1])
if (failed - 1) * waiting <= 5000000 then
  for at = 2, failed do
    waiting = waiting - redis.call('LREM', KEYS[1], 0, ARGV[at])
  end
end
return waiting
