-- Rows of the history that were seen again, or turned out to have begun earlier.
-- $1 bigint[]       their keys
-- $2 timestamptz[]  first seen
-- $3 timestamptz[]  last seen
UPDATE price_history AS h SET scraped_at = fresh.since, last_confirmed_at = fresh.until
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS fresh(id, since, until)
WHERE h.id = fresh.id AND h.id = ANY ((SELECT $1::bigint[])::bigint[])
