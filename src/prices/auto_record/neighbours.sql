-- The rows of the history next to observations: for each the last one that began before it or with it, and the first after.
-- $1 bigint[]       the page of each
-- $2 timestamptz[]  its moment
-- $3 bigint         a result whose own row does not count (0 for none; rows of no result, of other software say, always do)
SELECT seen.url, row.id, row.price::text AS price, row.currency, row.availability, row.scraped_at AS since, row.last_confirmed_at AS until
FROM unnest($1::bigint[], $2::timestamptz[]) AS seen(url, at)
CROSS JOIN LATERAL (
    (SELECT * FROM price_history h WHERE h.product_url_id = seen.url AND h.scraped_at <= seen.at
        AND h.crawl_result_id IS DISTINCT FROM $3::bigint
     ORDER BY h.scraped_at DESC, h.id DESC LIMIT 1)
    UNION ALL
    (SELECT * FROM price_history h WHERE h.product_url_id = seen.url AND h.scraped_at > seen.at
        AND h.crawl_result_id IS DISTINCT FROM $3::bigint
     ORDER BY h.scraped_at, h.id LIMIT 1)
) AS row
