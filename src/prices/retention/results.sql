-- Drops old good results, but those that wait to be judged and those that a page's latest price was recorded from.
-- $1 float8       how old, in seconds
-- $2 timestamptz  after this time,
-- $3 bigint       and this key
-- $4 bigint       examine at most so many
-- $5 boolean      false: only count
-- $6 text         the work under whose name rows are set aside
WITH examined AS MATERIALIZED (
    SELECT id, created_at AS at, success, auto_record_status FROM crawl_result
    WHERE created_at < now() - make_interval(secs => $1) AND (created_at, id) > ($2, $3)
    ORDER BY created_at, id
    LIMIT $4
), doomed AS MATERIALIZED (
    SELECT id FROM examined
    WHERE success AND coalesce(auto_record_status, '') NOT IN ('Queued', 'Processing')
      AND id <> ALL (ARRAY(SELECT row_id FROM set_aside WHERE work = $6 AND table_name = 'crawl_result' AND until > now()))
      AND NOT EXISTS (
          SELECT 1 FROM price_history h WHERE h.crawl_result_id = examined.id
          AND NOT EXISTS (SELECT 1 FROM price_history later WHERE later.product_url_id = h.product_url_id
              AND (later.scraped_at, later.id) > (h.scraped_at, h.id)))
), gone AS (
    DELETE FROM crawl_result WHERE $5 AND id = ANY (ARRAY(SELECT id FROM doomed))
)
SELECT (SELECT count(*) FROM doomed) AS gone, (SELECT count(*) FROM examined) AS examined, last.at AS last_at, last.id AS last_id
FROM (VALUES (0)) AS one LEFT JOIN LATERAL (SELECT at, id FROM examined ORDER BY at DESC, id DESC LIMIT 1) AS last ON true
