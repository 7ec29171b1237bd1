-- Who wants to know about pages: by the page, or by its product on all sites. A target may be any number: what is more exact or
-- higher than a price can be says the same to the last price below it.
-- $1 bigint[]  pages
WITH page AS MATERIALIZED (
    SELECT u.id, u.product_id, left(coalesce(nullif(p.name, ''), u.title, u.raw_url), 200) AS name
    FROM product_url u LEFT JOIN product p ON p.id = u.product_id
    WHERE u.id = ANY ((SELECT $1::bigint[])::bigint[])
), wanted AS (
    SELECT page.id AS url, page.name, s.* FROM page JOIN subscription s ON s.product_url_id = page.id WHERE s.active
    UNION ALL
    SELECT page.id AS url, page.name, s.* FROM page JOIN subscription s ON s.product_id = page.product_id WHERE s.active
)
SELECT url, name, id, target_currency, notify_drop, min_drop_percent::float8 AS min_drop_percent, notify_target, notify_restock,
       webhook_url IS NOT NULL AS has_webhook, email IS NOT NULL AS has_email,
       (CASE WHEN target_price < 1e12 THEN trunc(target_price, least(scale(target_price), 4))
             WHEN target_price IS NOT NULL THEN 1e12 END)::text AS target
FROM wanted
