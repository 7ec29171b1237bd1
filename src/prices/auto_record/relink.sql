-- Rows of the history that began earlier than their own result saw, and end now before it: what goes on later is that result's row.
-- They become the row of the result that saw the price when they begin, and was taken for a duplicate, or of none.
-- $1 bigint[]       page
-- $2 timestamptz[]  when the price was seen again
WITH split AS MATERIALIZED (
    SELECT h.id AS row, (
        SELECT id FROM crawl_result
        WHERE product_url_id = fresh.url AND crawled_at = h.scraped_at AND history_record_status = 'duplicate'
        ORDER BY id LIMIT 1
    ) AS result
    FROM unnest($1::bigint[], $2::timestamptz[]) AS fresh(url, at)
    JOIN crawl_result AS r ON r.product_url_id = fresh.url AND r.crawled_at = fresh.at AND r.history_record_status = 'recorded'
    JOIN price_history AS h ON h.crawl_result_id = r.id AND h.scraped_at < fresh.at
), linked AS (
    UPDATE price_history AS h SET crawl_result_id = split.result FROM split WHERE h.id = split.row
)
UPDATE crawl_result SET history_record_status = 'recorded' WHERE id = ANY (ARRAY(SELECT result FROM split))
