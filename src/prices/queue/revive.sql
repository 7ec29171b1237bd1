-- Queues results again that failed for good: after a delay that doubles with each time they did, and only so many times.
-- $1 float8    the first delay, in seconds
-- $2 smallint  how many times
-- $3 text      the stage, as the history of attempts names it
-- $4 bigint[]  of these only, NULL for any
-- Asked for: queued.
WITH dead AS MATERIALIZED (
    SELECT r.id
    FROM (SELECT id FROM crawl_result WHERE auto_record_status = 'Error' AND {takes} ORDER BY id LIMIT 10000) AS r
    CROSS JOIN LATERAL (
        SELECT count(*) AS times, max(settled_at) AS last_at FROM attempt a
        WHERE a.stage = $3 AND a.item_id = r.id AND a.outcome IN ('failed', 'quarantined')
    ) AS past
    WHERE past.times BETWEEN 1 AND $2 AND past.last_at < now() - make_interval(secs => least($1 * 2 ^ least(past.times - 1, 40), 1000000000))
)
UPDATE crawl_result AS item SET {set}
WHERE id = ANY (ARRAY(SELECT id FROM dead)) AND auto_record_status = 'Error' AND ($4::bigint[] IS NULL OR id = ANY ($4))
