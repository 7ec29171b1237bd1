-- The jobs that a bot reports on, locked in the order of their keys, with what decides whether its report counts.
-- $1 bigint[] jobs, $2 bigint[] leases, $3 smallint[] attempts: both NULL for a report without a token, which is taken for the
-- last hand-out of the job to any bot
-- $4 bigint the bot
WITH held AS MATERIALIZED (
    SELECT id FROM crawl_job WHERE id = ANY ($1) ORDER BY id FOR UPDATE
)
SELECT job.id, report.place::bigint AS place, job.crawl_status AS status, job.crawl_lease AS lease, job.crawl_attempts AS attempts,
    job.locked_lease AS last_lease, (bot.bot_id = job.locked_by) IS TRUE AS was_mine,
    job.max_retries, extract(epoch FROM job.retry_backoff)::float8 AS backoff_seconds, page.is_active AND site.enabled AS is_wanted,
    coalesce(report.lease, job.locked_lease) AS token_lease, coalesce(report.attempt, job.crawl_attempts) AS token_attempt,
    CASE WHEN coalesce(report.attempt, job.crawl_attempts) >= job.max_retries
        THEN (SELECT {excused} FROM (SELECT job.id) AS item) ELSE 0 END::smallint AS excused,
    coalesce(holder.expires_at > now(), false) AS is_alive,
    known.id AS result, known.success AS result_success, known.price::text AS result_price, known.currency AS result_currency,
    known.error AS result_error
FROM unnest($1, $2, $3) WITH ORDINALITY AS report(job, lease, attempt, place)
JOIN held ON held.id = report.job
JOIN crawl_job AS job ON job.id = held.id
JOIN product_url AS page ON page.id = job.product_url_id
JOIN site ON site.id = job.site_id
JOIN bot ON bot.id = $4
LEFT JOIN lease AS holder ON holder.id = job.crawl_lease
LEFT JOIN crawl_result AS known ON known.job_id = job.id AND known.bot_id = $4
    AND known.lease = coalesce(report.lease, job.locked_lease) AND known.attempt = coalesce(report.attempt, job.crawl_attempts)
ORDER BY report.place
