-- Results whose price was held, and is confirmed or dropped now; the flags raised for them close.
-- $1 bigint[]       pages
-- $2 timestamptz[]  when the held price was observed
-- $3 boolean[]      whether it was confirmed
-- $4 bigint[]       pages for which nothing is held any more
WITH closed AS (
    UPDATE flag SET status = 'resolved', resolved_at = now(), resolved_by = 'gleaner'
    WHERE kind = 'price_jump' AND product_url_id = ANY ($4) AND status IN ('pending', 'in_progress')
)
UPDATE crawl_result AS r
SET history_record_status = CASE WHEN past.is_confirmed THEN 'duplicate' ELSE 'none' END, history_recorded = past.is_confirmed,
    history_recorded_at = now()
FROM unnest($1::bigint[], $2::timestamptz[], $3::boolean[]) AS past(url, at, is_confirmed)
WHERE r.product_url_id = past.url AND r.crawled_at = past.at AND r.history_record_status = 'held'
