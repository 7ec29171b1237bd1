-- Queues jobs at rest that have come due; never one in hand. The jobs of one site and priority are put behind those that wait
-- already, at the site's pace, so that thousands that come due together reach neither the site nor the head of the queue at
-- once. One that may not be crawled loses its date instead; it gets a new one when it may again.
-- $1 bigint  at most this many
-- $2 float8  seconds between two jobs of a site that says nothing itself
-- $3 float8  seconds' worth of jobs that are due at once
-- $4 bigint[]  of these only, NULL for any
-- Asked for: queued at the end of the line where is_wanted, with the job's own priority.
-- A job that waits for a time beyond all plans is in nobody's way, and no pace is slower than a day.
-- The next date is set here already: a job whose crawl ends without a result comes again all the same.
WITH due AS MATERIALIZED (
    {due} AND ($4::bigint[] IS NULL OR id = ANY ($4))
    ORDER BY next_run_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), judged AS MATERIALIZED (
    SELECT due.id, due.site_id, due.priority, page.is_active AND site.enabled AS is_wanted,
        least(coalesce(greatest(site.delay_seconds, 60.0 / site.rate_per_minute), $2), 86400) AS pace,
        row_number() OVER (PARTITION BY due.site_id, due.priority, page.is_active AND site.enabled ORDER BY due.next_run_at, due.id) AS place
    FROM due JOIN product_url AS page ON page.id = due.product_url_id JOIN site ON site.id = due.site_id
), line AS MATERIALIZED (
    SELECT site_id, priority, greatest(now() - make_interval(secs => $3), (
        SELECT max(waiting.crawl_due_at) FROM crawl_job AS waiting
        WHERE waiting.crawl_status = 'Queued' AND waiting.site_id = wanted.site_id AND waiting.crawl_priority = wanted.priority
            AND waiting.crawl_due_at < now() + interval '5 years')) AS ends_at
    FROM (SELECT DISTINCT site_id, priority FROM judged) AS wanted
), queued AS (
    UPDATE crawl_job AS item
    SET {set}, next_run_at = CASE WHEN is_wanted THEN now() + gleaner_spread(item.frequency) END
    FROM judged JOIN line USING (site_id, priority)
    WHERE item.id = judged.id
    RETURNING is_wanted
)
SELECT count(*) FILTER (WHERE is_wanted) AS queued, count(*) AS seen FROM queued
