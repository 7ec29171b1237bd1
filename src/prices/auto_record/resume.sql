-- Rows of the history that go on after something came in between. The result that saw the price again, and was taken for a
-- duplicate or has lost its row to relink.sql, has a row of its own now; where there is none (other software wrote the row before),
-- the row names none.
-- $1 bigint[]       page
-- $2 text[]         price
-- $3 text[]         currency
-- $4 text[]         availability
-- $5 timestamptz[]  when it was seen again
WITH again AS MATERIALIZED (
    SELECT fresh.*, r.id AS result, r.list_price, r.in_stock, r.confidence
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::timestamptz[]) AS fresh(url, price, currency, availability, at)
    LEFT JOIN LATERAL (
        SELECT id, list_price, in_stock, confidence FROM crawl_result
        WHERE product_url_id = fresh.url AND crawled_at = fresh.at
            AND (history_record_status = 'duplicate'
                OR history_record_status = 'recorded' AND NOT EXISTS (SELECT FROM price_history WHERE crawl_result_id = crawl_result.id))
        ORDER BY history_record_status DESC, id LIMIT 1
    ) AS r ON true
), resumed AS (
    INSERT INTO price_history (product_url_id, crawl_result_id, price, currency, original_price, availability, is_available, source,
        confidence, scraped_at, last_confirmed_at)
    SELECT url, result, price::numeric, currency, list_price, availability, in_stock, 'AUTO', confidence, at, at FROM again
    ON CONFLICT (crawl_result_id) DO NOTHING
)
UPDATE crawl_result SET history_record_status = 'recorded' WHERE id = ANY (ARRAY(SELECT result FROM again))
