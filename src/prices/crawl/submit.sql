-- Records crawls: one row each, and what follows from it for its job, its URL and its site. A crawl that is recorded already
-- (the same job, lease and attempt) changes nothing; one without a lease is always new. In the transaction of the settle, after it: whether the job is to be
-- tried again stands in its row then.
-- $1 json  array of submissions; place counts them from 0
-- Rows shared with others are locked in the order of their keys. A failure of the network says nothing about how a site's
-- pages are read; only those of extraction and validation are counted, from the last success on.
WITH fresh AS MATERIALIZED (
    SELECT DISTINCT ON (submission.job, submission.lease, submission.attempt) submission.*, job.product_url_id, job.site_id
    FROM json_to_recordset($1) AS submission(place integer, job bigint, lease bigint, attempt smallint, bot bigint, pattern bigint,
        success boolean, price numeric, currency text, list_price numeric, availability text, in_stock boolean, title text,
        confidence real, price_sources text[], parsed_data jsonb, error_class text, error text, duration_ms integer)
    JOIN crawl_job AS job ON job.id = submission.job
    ORDER BY submission.job, submission.lease, submission.attempt, submission.place
), stored AS (
    INSERT INTO crawl_result (job_id, product_url_id, site_id, bot_id, pattern_id, lease, attempt, success, price, currency,
        list_price, availability, in_stock, title, confidence, price_sources, parsed_data, error_class, error, duration_ms)
    SELECT job, product_url_id, site_id, bot, pattern, lease, attempt, success, price, currency,
        list_price, availability, in_stock, title, confidence, price_sources, coalesce(parsed_data, '{}'), error_class, error, duration_ms
    FROM fresh ORDER BY place
    ON CONFLICT (job_id, lease, attempt) DO NOTHING
    RETURNING id, job_id, lease, attempt
), news AS MATERIALIZED (
    SELECT stored.id, fresh.* FROM stored
    JOIN fresh ON fresh.job = stored.job_id AND fresh.lease IS NOT DISTINCT FROM stored.lease AND fresh.attempt = stored.attempt
), url AS MATERIALIZED (
    SELECT id FROM product_url WHERE id IN (SELECT product_url_id FROM news) ORDER BY id FOR UPDATE
), seen AS (
    UPDATE product_url AS known
    SET last_crawled_at = now(), crawl_error = CASE WHEN NOT last.success THEN coalesce(last.error, last.error_class) END,
        title = coalesce(nullif(last.title, ''), known.title),
        canonical_url = coalesce(left(CASE WHEN last.success THEN last.parsed_data->>'canonical_url' END, 2048), known.canonical_url)
    FROM url, (SELECT DISTINCT ON (product_url_id) * FROM news ORDER BY product_url_id, place DESC) AS last
    WHERE known.id = url.id AND last.product_url_id = url.id
), planned AS (
    UPDATE crawl_job AS job
    SET last_result_at = now(),
        next_run_at = CASE WHEN last.success OR job.crawl_status IS DISTINCT FROM 'Queued' THEN now() + gleaner_spread(job.frequency) ELSE job.next_run_at END,
        failure_count = CASE WHEN last.success THEN 0 WHEN job.crawl_status IS DISTINCT FROM 'Queued' THEN least(job.failure_count, 999999999) + 1 ELSE job.failure_count END
    FROM (SELECT DISTINCT ON (job) * FROM news ORDER BY job, place DESC) AS last
    WHERE job.id = last.job
), judged AS (
    SELECT site_id, success, NOT success AND error_class IN ('extraction', 'validation') AS is_charged,
        place > coalesce(max(place) FILTER (WHERE success) OVER (PARTITION BY site_id), -1) AS is_after_success
    FROM news
), tally AS MATERIALIZED (
    SELECT site_id, bool_or(success) AS had_success, count(*) FILTER (WHERE is_charged AND is_after_success) AS failures
    FROM judged GROUP BY site_id
), locked AS MATERIALIZED (
    SELECT site.id, tally.had_success, tally.failures FROM site JOIN tally ON tally.site_id = site.id
    WHERE tally.failures > 0 OR (tally.had_success AND site.extraction_failures > 0)
    ORDER BY site.id FOR UPDATE OF site
), counted AS (
    UPDATE site SET extraction_failures = least(CASE WHEN locked.had_success THEN 0 ELSE site.extraction_failures END + locked.failures, 1000000000)
    FROM locked WHERE site.id = locked.id
)
SELECT job, result, is_new FROM (
    SELECT place, job, id AS result, true AS is_new FROM news
    UNION ALL
    SELECT fresh.place, fresh.job, known.id, false FROM fresh
    JOIN crawl_result AS known ON known.job_id = fresh.job AND known.lease = fresh.lease AND known.attempt = fresh.attempt
) AS recorded ORDER BY place, is_new DESC
