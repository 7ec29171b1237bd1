-- Opens the flags that are due and closes those whose trouble is over.
--   pattern_low_confidence    of the last 50 results of a site that its active pattern was tried on, within two weeks and at
--                             least 10, less than 60 % came from it; failures of the network are not charged
--   fetch_failing_repeatedly  pages of a site have failed three times in a row, attempts used up each time
--   store_rate_limited        a site has answered 429 three times within a day
--   price_jump                a price has been held for an hour, and no second look has confirmed or denied it
--   pattern_generation_failed is opened by the workflow, and closed here when the site is read well again
-- Sites that are set aside are passed over.
-- $1 bigint[]  of these sites only, NULL for all
-- Asked for: a site that is read badly has its pattern learnt anew.
WITH tried AS (
    SELECT pattern.site_id, recent.attempts, recent.successes
    FROM extraction_pattern pattern CROSS JOIN LATERAL (
        SELECT count(*) AS attempts, count(*) FILTER (WHERE success AND 'pattern' = ANY (price_sources)) AS successes
        FROM (SELECT success, price_sources FROM crawl_result result
            WHERE result.site_id = pattern.site_id AND result.pattern_id = pattern.id AND result.crawled_at > now() - interval '14 days'
              AND (result.success OR result.error_class IN ('extraction', 'validation'))
            ORDER BY result.crawled_at DESC LIMIT 50) AS last
    ) AS recent
    WHERE pattern.status = 'active'
), failing AS (
    SELECT job.site_id, count(*) AS pages, max(url.crawl_error) AS example
    FROM crawl_job job JOIN product_url url ON url.id = job.product_url_id
    WHERE job.failure_count >= 3 AND url.is_active GROUP BY job.site_id
), limited AS (
    SELECT site_id, count(*) AS answers FROM crawl_result
    WHERE crawled_at > now() - interval '1 day' AND error_class = 'http' AND error LIKE '%answered 429%'
    GROUP BY site_id HAVING count(*) >= 3
), due AS (
    SELECT 'pattern_low_confidence' AS kind, site_id, NULL::bigint AS product_url_id,
        format('the pattern found the price on %s of the last %s pages', successes, attempts) AS message
    FROM tried WHERE attempts >= 10 AND successes < 0.6 * attempts
    UNION ALL
    SELECT 'fetch_failing_repeatedly', site_id, NULL, format('%s pages fail again and again, for example: %s', pages, coalesce(example, 'no reason given'))
    FROM failing
    UNION ALL
    SELECT 'store_rate_limited', site_id, NULL, format('answered 429 %s times within a day: lower its rate', answers) FROM limited
    UNION ALL
    SELECT 'price_jump', site_id, id, format('the price jumped from %s to %s %s and is held', coalesce(current_price::text, 'none'), held_price, coalesce(held_currency, ''))
    FROM product_url WHERE held_price IS NOT NULL AND held_at < now() - interval '1 hour' AND is_active
), opened AS (
    INSERT INTO flag (kind, site_id, product_url_id, message) SELECT kind, site_id, product_url_id, left(message, 500) FROM due
    WHERE ($1::bigint[] IS NULL OR site_id = ANY ($1)) AND coalesce(site_id, 0) <> ALL ({set_aside})
    ON CONFLICT (kind, coalesce(site_id, 0), coalesce(product_url_id, 0)) WHERE status IN ('pending', 'in_progress') DO NOTHING
    RETURNING id
), closed AS (
    UPDATE flag SET status = 'resolved', resolved_at = now(), resolved_by = 'gleaner'
    WHERE status IN ('pending', 'in_progress') AND ($1::bigint[] IS NULL OR site_id IS NULL OR site_id = ANY ($1))
      AND coalesce(site_id, 0) <> ALL ({set_aside}) AND (
        (kind IN ('fetch_failing_repeatedly', 'store_rate_limited', 'price_jump', 'pattern_low_confidence')
            AND NOT EXISTS (SELECT 1 FROM due WHERE due.kind = flag.kind AND due.site_id IS NOT DISTINCT FROM flag.site_id
                AND due.product_url_id IS NOT DISTINCT FROM flag.product_url_id)
            -- Too few results say nothing yet about a pattern that was bad.
            AND (kind <> 'pattern_low_confidence' OR NOT EXISTS (SELECT 1 FROM tried WHERE tried.site_id = flag.site_id AND attempts < 10)))
        OR (kind = 'pattern_generation_failed' AND EXISTS (SELECT 1 FROM site WHERE site.id = flag.site_id AND extraction_failures = 0)))
    RETURNING id
), repaired AS (
    UPDATE site AS item SET {set}
    WHERE coalesce(pattern_status, '') NOT IN ('Queued', 'Processing') AND enabled
      AND ($1::bigint[] IS NULL OR id = ANY ($1)) AND id <> ALL ({set_aside})
      AND (extraction_failures >= 3 OR id IN (SELECT site_id FROM due WHERE kind = 'pattern_low_confidence'))
    RETURNING id
)
SELECT (SELECT count(*) FROM opened) AS opened, (SELECT count(*) FROM closed) AS closed, (SELECT count(*) FROM repaired) AS repairs
