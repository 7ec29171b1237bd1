-- Takes values out of the way that are not of the type that is kept under their keys.
-- KEYS: the keys. ARGV: the type of each, as TYPE names it; then what comes behind the name under which such a value is kept, or
-- nothing: it is deleted. Answers the keys of those that were.
local kept_as = ARGV[#KEYS + 1]
local cleared = {}
for at, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= ARGV[at] then
    if kept_as == '' then
      redis.call('DEL', key)
    else
      redis.call('RENAME', key, key .. kept_as)
    end
    cleared[#cleared + 1] = key
  end
end
return cleared
