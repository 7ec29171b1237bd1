-- Decides how often and how urgently jobs run. Of the policies that match, the highest priority decides, then the most specific
-- (URL expression, tag, domain, domain expression, all), then the oldest; the keenest active subscription decides how often, if
-- that is more often. A job whose frequency changes is planned anew from its last result. Spans are kept within what the tables
-- allow, and dates are not taken from the future, whatever stands there: no row can be one that the others wait for.
-- $1 bigint[]  jobs, locked by the caller in a statement before: what is read here is then at least as new
-- $2 bigint    the generation that the decision is of
-- $3 float8 default frequency, $4 float8 high, $5 float8 normal, $6 float8 low, in seconds
-- Asked for: the new priority, where that changes.
WITH decided AS (
    SELECT job.id, policy.id AS policy_id, policy.max_retries, policy.retry_backoff, policy.timeout,
        greatest(least(coalesce(policy.frequency, make_interval(secs => $3)), keen.frequency, interval '3660 days'), interval '1 minute') AS frequency,
        coalesce(policy.frequency, make_interval(secs => $3)) <= coalesce(keen.frequency, '1000 years') AS is_by_policy,
        coalesce(greatest(policy.priority, keen.priority), 5)::smallint AS priority
    FROM crawl_job AS job
    JOIN product_url AS page ON page.id = job.product_url_id
    CROSS JOIN LATERAL (SELECT lower(substring(page.url FROM '^https?://([^/:?#]+)')) AS name) AS host
    LEFT JOIN LATERAL (
        SELECT * FROM crawl_policy
        WHERE enabled AND CASE selection
            WHEN 'all' THEN true
            WHEN 'domain' THEN host.name = target OR right(host.name, length(target) + 1) = '.' || target
            WHEN 'domain_regex' THEN host.name ~ target
            WHEN 'url_regex' THEN page.url ~ target
            WHEN 'tag' THEN target = ANY (page.tags) END
        ORDER BY priority DESC, array_position(ARRAY['url_regex', 'tag', 'domain', 'domain_regex', 'all'], selection), created_at, id
        LIMIT 1
    ) AS policy ON true
    CROSS JOIN LATERAL (
        SELECT min(make_interval(secs => CASE priority WHEN 'high' THEN $4 WHEN 'normal' THEN $5 ELSE $6 END)) AS frequency,
            max(CASE priority WHEN 'high' THEN 10 WHEN 'normal' THEN 5 ELSE 1 END) AS priority
        FROM subscription WHERE active AND (product_url_id = page.id OR product_id = page.product_id)
    ) AS keen
    WHERE job.id = ANY ($1)
)
UPDATE crawl_job AS item
SET plan = $2, frequency = decided.frequency, priority = decided.priority,
    policy_id = CASE WHEN is_by_policy THEN decided.policy_id END,
    max_retries = coalesce(decided.max_retries, 3),
    retry_backoff = greatest(least(coalesce(decided.retry_backoff, '5 minutes'), interval '366 days'), interval '1 millisecond'),
    timeout = greatest(least(coalesce(decided.timeout, '10 minutes'), interval '1 day'), interval '1 second'),
    {set},
    next_run_at = CASE WHEN item.frequency = decided.frequency OR item.last_result_at IS NULL OR item.next_run_at IS NULL THEN item.next_run_at
        ELSE greatest(now(), least(item.last_result_at, now()) + gleaner_spread(decided.frequency)) END
FROM decided WHERE item.id = decided.id
