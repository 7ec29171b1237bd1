-- Locks pages, in the order of their keys, so that their history is written by one batch at a time; what is held for them.
-- $1 bigint[]  their keys
SELECT id, held_price::text AS held_price, held_currency, held_at
FROM product_url
WHERE id = ANY ((SELECT $1::bigint[])::bigint[])
ORDER BY id
FOR NO KEY UPDATE
