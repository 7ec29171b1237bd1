-- Hands due jobs to a bot, in one statement: none goes to two. Highest priority first, then the longest due; only of shops that
-- are switched on and whose turn it is. All jobs of a hand-out that have the same time share a lease.
-- $1 bigint    the bot
-- $2 bigint    at most this many
-- $3 text      only this domain and what is below it; NULL for all
-- $4 text[]    only these shops; empty for all
-- $5 float8    seconds between two jobs of a shop that says nothing itself
-- $6 interval  how long the bot may keep a job, in place of the job's own; NULL for that
-- $7 boolean   whether this counts as a pull of the bot's
-- The bot's row is locked first, so that its pulls are counted one by one, on however many nodes they arrive. A shop that another
-- hand-out has in its hands at this moment is left to it: the shop's next turn is moved on by exactly what was handed out.
WITH gate AS MATERIALIZED (
    SELECT id, bot_id, greatest(window_started_at, now() - interval '1 minute') AS since,
        CASE WHEN window_started_at > now() - interval '1 minute' THEN window_pulls ELSE 0 END AS pulls, rate_limit_per_minute
    FROM bot WHERE id = $1 AND enabled FOR UPDATE
), door AS MATERIALIZED (
    SELECT NOT $7 OR pulls < rate_limit_per_minute AS is_open,
        extract(epoch FROM since + interval '1 minute' - now())::float8 AS opens_in FROM gate
), due AS MATERIALIZED (
    SELECT job.id, job.site_id, page.url, coalesce($6, job.timeout) AS ttl, job.crawl_priority, job.crawl_due_at, site.rate_per_minute,
        coalesce(greatest(site.delay_seconds, 60.0 / site.rate_per_minute), $5) AS pace
    FROM crawl_job AS job
    JOIN site ON site.id = job.site_id
    JOIN product_url AS page ON page.id = job.product_url_id
    WHERE job.crawl_status = 'Queued' AND job.crawl_due_at <= now() AND site.enabled AND site.next_pull_at <= now() AND page.is_active
      AND (cardinality($4) = 0 OR site.domain = ANY ($4))
      AND ($3 IS NULL OR site.domain = $3 OR (right($3, length(site.domain) + 1) = '.' || site.domain
          AND right('.' || substring(page.url FROM '^https?://([^/:?#]+)'), length($3) + 1) = '.' || $3))
      AND (SELECT is_open FROM door)
    ORDER BY job.crawl_priority DESC, job.crawl_due_at, job.id
    LIMIT $2
    FOR UPDATE OF job SKIP LOCKED
), ranked AS MATERIALIZED (
    SELECT due.*, row_number() OVER (PARTITION BY site_id ORDER BY crawl_priority DESC, crawl_due_at, id) AS place FROM due
), shop AS MATERIALIZED (
    SELECT id FROM site
    WHERE id = ANY (ARRAY(SELECT site_id FROM ranked WHERE pace > 0)) AND next_pull_at <= now()
    ORDER BY id FOR UPDATE SKIP LOCKED
), taken AS MATERIALIZED (
    SELECT * FROM ranked
    WHERE (pace = 0 OR site_id = ANY (ARRAY(SELECT id FROM shop))) AND place <= coalesce(rate_per_minute, place)
), paced AS (
    UPDATE site SET next_pull_at = now() + make_interval(secs => turn.seconds)
    FROM (SELECT site_id, sum(pace) AS seconds FROM taken WHERE pace > 0 GROUP BY site_id) AS turn
    WHERE site.id = turn.site_id
), opened AS (
    INSERT INTO lease (bot_id, workflow, expires_at)
    SELECT $1, 'price-fetch', now() + ttl FROM taken GROUP BY ttl
    RETURNING id, expires_at
), claimed AS (
    UPDATE crawl_job AS job
    SET crawl_status = 'Processing', crawl_attempts = least(job.crawl_attempts, 32000) + 1, crawl_lease = opened.id,
        crawl_due_at = NULL, locked_lease = opened.id, locked_by = (SELECT bot_id FROM gate), updated_at = now()
    FROM taken JOIN opened ON opened.expires_at = now() + taken.ttl
    WHERE job.id = taken.id
    RETURNING job.id, taken.url, job.priority, job.max_retries, job.crawl_attempts AS attempt, opened.id AS lease,
        opened.expires_at AS locked_until, extract(epoch FROM taken.ttl)::bigint AS timeout_seconds,
        taken.crawl_priority, taken.crawl_due_at
), counted AS (
    UPDATE bot SET window_started_at = CASE WHEN gate.pulls = 0 THEN now() ELSE bot.window_started_at END,
        window_pulls = gate.pulls + CASE WHEN $7 THEN 1 ELSE 0 END,
        jobs_pulled = bot.jobs_pulled + (SELECT count(*) FROM claimed), last_pull_at = now()
    FROM gate
    WHERE bot.id = gate.id AND (SELECT is_open FROM door) AND ($7 OR EXISTS (SELECT 1 FROM claimed))
)
SELECT door.is_open, door.opens_in, claimed.id, claimed.url, claimed.priority, claimed.max_retries, claimed.attempt, claimed.lease,
    claimed.locked_until, claimed.timeout_seconds
FROM door LEFT JOIN claimed ON true
ORDER BY claimed.crawl_priority DESC, claimed.crawl_due_at, claimed.id
