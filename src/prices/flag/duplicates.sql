-- Opens duplicate_products where active pages or their products look the same, and closes it where they no longer do. One flag per
-- group, about its oldest page; the surest reason is told:
--   1. products with the same GTIN, in whatever of its lengths
--   2. products with the same article number and brand on one site, unless their GTINs differ
--   3. pages that their site knows by the same address
-- What a person wants left as it is stays closed while the group is the same. The numbers of at most ten are told. The groups are found
-- by their keys alone, which takes no sorting, and only then looked at. Sites that are set aside are passed over.
-- $1 bigint[]  of these sites only, NULL for all
WITH page AS MATERIALIZED (
    SELECT url.id, url.site_id, url.product_id, url.canonical_url,
        nullif(ltrim(translate(product.gtin, ' -', ''), '0'), '') AS gtin,
        nullif(lower(btrim(product.brand)), '') AS brand, nullif(lower(btrim(product.sku)), '') AS sku
    FROM product_url url LEFT JOIN product ON product.id = url.product_id
    WHERE url.is_active AND url.site_id IS NOT NULL
), alike AS (
    SELECT 1 AS place, min(id) AS page, 'products' AS what, array_agg(DISTINCT product_id) AS numbers,
        format('the same GTIN %s', gtin) AS why
    FROM page WHERE gtin IN (SELECT gtin FROM page GROUP BY gtin HAVING min(product_id) <> max(product_id))
    GROUP BY gtin
    UNION ALL
    SELECT 2, min(id), 'products', array_agg(DISTINCT product_id), format('the same article number %s of %s', sku, brand)
    FROM page WHERE (site_id, brand, sku) IN (SELECT site_id, brand, sku FROM page GROUP BY site_id, brand, sku
        HAVING min(product_id) <> max(product_id) AND min(gtin) IS NOT DISTINCT FROM max(gtin))
    GROUP BY site_id, brand, sku
    UNION ALL
    SELECT 3, min(id), 'pages', array_agg(id ORDER BY id), format('the same address %s', canonical_url)
    FROM page WHERE (site_id, canonical_url) IN (SELECT site_id, canonical_url FROM page GROUP BY site_id, canonical_url HAVING count(*) > 1)
    GROUP BY site_id, canonical_url
), due AS MATERIALIZED (
    SELECT DISTINCT ON (alike.page) alike.page, page.site_id, left(format('%s %s%s have %s', what, array_to_string(numbers[1:10], ', '),
        CASE WHEN cardinality(numbers) > 10 THEN format(' and %s more', cardinality(numbers) - 10) END, why), 500) AS message
    FROM alike JOIN page ON page.id = alike.page
    WHERE ($1::bigint[] IS NULL OR page.site_id = ANY ($1)) AND page.site_id <> ALL ({set_aside})
    ORDER BY alike.page, place
), opened AS (
    INSERT INTO flag (kind, site_id, product_url_id, message)
    SELECT 'duplicate_products', site_id, page, message FROM due
    WHERE NOT EXISTS (SELECT 1 FROM flag AS left_so WHERE left_so.kind = 'duplicate_products' AND left_so.status = 'wont_fix'
        AND left_so.product_url_id = due.page AND left_so.message = due.message)
    ON CONFLICT (kind, coalesce(site_id, 0), coalesce(product_url_id, 0)) WHERE status IN ('pending', 'in_progress')
    DO UPDATE SET message = excluded.message WHERE flag.message <> excluded.message
    RETURNING xmax = 0 AS is_new
), closed AS (
    UPDATE flag SET status = 'resolved', resolved_at = now(), resolved_by = 'gleaner'
    WHERE kind = 'duplicate_products' AND status IN ('pending', 'in_progress')
      AND ($1::bigint[] IS NULL OR site_id IS NULL OR site_id = ANY ($1)) AND coalesce(site_id, 0) <> ALL ({set_aside})
      AND NOT EXISTS (SELECT 1 FROM due WHERE due.page = flag.product_url_id AND due.site_id = flag.site_id)
    RETURNING id
)
SELECT (SELECT count(*) FROM opened WHERE is_new) AS opened, (SELECT count(*) FROM closed) AS closed, 0::bigint AS repairs
