-- What is held for pages.
-- $1 bigint[]       pages
-- $2 text[]         price, NULL for nothing
-- $3 text[]         currency
-- $4 timestamptz[]  when it was observed
UPDATE product_url AS u
SET held_price = fresh.price::numeric, held_currency = fresh.currency, held_at = fresh.at, updated_at = now()
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::timestamptz[]) AS fresh(url, price, currency, at)
WHERE u.id = fresh.url AND u.id = ANY ((SELECT $1::bigint[])::bigint[])
