-- Stores a URL to be tracked, or adds product and tags to the row that has it: admitted, or waiting under the same text.
-- $1 text    URL as given
-- $2 text    the same, normalised
-- $5 text    by what it is told from others
-- $3 text    name of the product, NULL for none
-- $4 text[]  tags
WITH known_product AS MATERIALIZED (
    SELECT id FROM product WHERE name = $3 ORDER BY id LIMIT 1
), new_product AS (
    INSERT INTO product (name) SELECT $3 WHERE $3 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM known_product) RETURNING id
), product_of AS (
    SELECT id FROM known_product UNION ALL SELECT id FROM new_product
), known AS MATERIALIZED (
    SELECT id FROM product_url
    WHERE url_hash = encode(sha256(convert_to($5, 'UTF8')), 'hex')
       OR (url IS NULL AND rejected IS NULL AND raw_url IN ($1, $2))
    ORDER BY id LIMIT 1 FOR UPDATE
), changed AS (
    UPDATE product_url AS page
    SET product_id = coalesce((SELECT id FROM product_of), page.product_id), is_active = true,
        tags = (SELECT coalesce(array_agg(DISTINCT tag ORDER BY tag), '{}') FROM unnest(page.tags || $4) AS tag)
    FROM known WHERE page.id = known.id
    RETURNING page.id
), stored AS (
    INSERT INTO product_url (raw_url, product_id, tags)
    SELECT $1, (SELECT id FROM product_of), $4 WHERE NOT EXISTS (SELECT 1 FROM known)
    RETURNING id
)
SELECT id::bigint AS id FROM changed UNION ALL SELECT id::bigint FROM stored
