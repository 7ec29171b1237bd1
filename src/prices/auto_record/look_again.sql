-- Pages whose price is held are crawled again soon, and a person may look at them. Jobs that somebody has locked are at work.
-- $1 bigint[]  pages
-- $2 text[]    what happened
-- $3 float8    how soon, in seconds
WITH raised AS (
    INSERT INTO flag (kind, product_url_id, message)
    SELECT 'price_jump', url, message FROM unnest($1::bigint[], $2::text[]) AS jumped(url, message)
    ON CONFLICT DO NOTHING
), job AS MATERIALIZED (
    SELECT id FROM crawl_job
    WHERE product_url_id = ANY ((SELECT $1::bigint[])::bigint[]) AND next_run_at > now() + make_interval(secs => $3)
    ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE crawl_job SET next_run_at = now() + make_interval(secs => $3) WHERE id = ANY (ARRAY(SELECT id FROM job))
