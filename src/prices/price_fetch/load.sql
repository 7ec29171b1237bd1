-- What jobs are crawled from.
-- $1 bigint[] jobs
-- $2 float8   pages stored longer ago than this, in seconds, are stored again
SELECT job.id, job.crawl_attempts AS attempt, job.max_retries,
    extract(epoch FROM job.retry_backoff)::float8 AS backoff_seconds,
    url.url, url.title, url.current_price::text AS price, url.current_availability AS availability,
    url.is_active AND site.enabled AS is_wanted, url.product_id IS NOT NULL AS has_product,
    page.product_url_id IS NULL OR page.fetched_at < now() - make_interval(secs => $2) AS wants_page,
    site.domain, site.render, site.render_post, site.render_hosts, site.currency, pattern.id AS pattern_id, pattern.pattern::text AS pattern
FROM crawl_job job
JOIN product_url url ON url.id = job.product_url_id AND url.url IS NOT NULL
JOIN site ON site.id = job.site_id
LEFT JOIN extraction_pattern pattern ON pattern.site_id = site.id AND pattern.status = 'active'
LEFT JOIN product_page page ON page.product_url_id = url.id
WHERE job.id = ANY ($1)
