-- The price of pages as of now; nothing is held for them any more.
-- $1 bigint[]       pages
-- $2 text[]         price
-- $3 text[]         currency
-- $4 text[]         availability
-- $5 timestamptz[]  when that was first observed
UPDATE product_url AS u
SET current_price = fresh.price::numeric, current_currency = fresh.currency, current_availability = fresh.availability,
    current_at = fresh.since, held_price = NULL, held_currency = NULL, held_at = NULL, updated_at = now()
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS fresh(url, price, currency, availability, since)
WHERE u.id = fresh.url AND u.id = ANY ((SELECT $1::bigint[])::bigint[])
