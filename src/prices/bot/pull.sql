-- Hands due jobs to bots, for several pulls in one statement: none goes to two. Highest priority first, then the longest due;
-- only of sites that are switched on and whose turn it is. The pulls are served in their order: the first gets the most urgent.
-- All jobs of a pull that have the same time share a lease, and no two pulls do.
-- $1 bigint[]  the bots, one for each pull; one bot may be among them more than once
-- $2 bigint[]  at most this many jobs for each, and no more than its bot may have
-- $3 boolean[] whether it counts as a pull of its bot's
-- $4 bigint    $2 together
-- $5 text      only this domain and what is below it; NULL for all
-- $6 text[]    only these sites; empty for all
-- $7 float8    seconds between two jobs of a site that says nothing itself
-- $8 text      the workflow whose place the bots take, for their leases
-- The bots' rows are locked first, so that their pulls are counted one by one, on however many nodes they arrive. A bot whose row
-- somebody else has locked, or that is gone, is missing from the answer; the others do not wait for it. A site that another
-- hand-out has in its hands at this moment is left to it: the site's next turn is moved on by exactly what was handed out.
-- A job is taken under opening.lease, as by a claim; see Group::claim_under.
-- From where the jobs are read, and in what order, is filled in: the table, or what of it lies past the frontier, which takes $9 and on.
WITH gate AS MATERIALIZED (
    SELECT id, bot_id, max_jobs_per_pull, lock_ttl_seconds * interval '1 second' AS own_ttl, rate_limit_per_minute,
        least(greatest(window_started_at, now() - interval '1 minute'), now()) AS since,
        CASE WHEN window_started_at > now() - interval '1 minute' THEN window_pulls ELSE 0 END AS pulls
    FROM bot WHERE id = ANY ($1) AND enabled FOR UPDATE SKIP LOCKED
), asked AS MATERIALIZED (
    SELECT ask.pull, ask.counts, gate.id AS bot, gate.bot_id, gate.own_ttl, least(ask.jobs, gate.max_jobs_per_pull) AS jobs,
        NOT ask.counts OR gate.pulls + count(*) FILTER (WHERE ask.counts) OVER (PARTITION BY gate.id ORDER BY ask.pull)
            <= gate.rate_limit_per_minute AS is_open,
        extract(epoch FROM gate.since + interval '1 minute' - now())::float8 AS opens_in
    FROM unnest($1, $2, $3) WITH ORDINALITY AS ask(bot, jobs, counts, pull) JOIN gate ON gate.id = ask.bot
), share AS MATERIALIZED (
    SELECT pull, bot, bot_id, own_ttl, sum(jobs) OVER (ORDER BY pull) - jobs AS after, sum(jobs) OVER (ORDER BY pull) AS upto
    FROM asked WHERE is_open
), due AS MATERIALIZED (
    SELECT job.id, job.site_id, page.url, job.timeout, job.crawl_priority, job.crawl_due_at, site.rate_per_minute,
        least(coalesce(greatest(site.delay_seconds, 60.0 / site.rate_per_minute), $7), 86400) AS pace
    FROM {queue} JOIN site ON site.id = job.site_id
    JOIN product_url AS page ON page.id = job.product_url_id
    WHERE job.crawl_status = 'Queued' AND job.crawl_due_at <= now() AND site.enabled AND site.next_pull_at <= now() AND page.is_active
      AND (cardinality($6) = 0 OR site.domain = ANY ($6))
      AND ($5 IS NULL OR site.domain = $5 OR (right($5, length(site.domain) + 1) = '.' || site.domain
          AND right('.' || substring(page.url FROM '^https?://([^/:?#]+)'), length($5) + 1) = '.' || $5))
      AND (SELECT count(*) FROM share) > 0
    ORDER BY {order}
    LIMIT $4
    FOR UPDATE OF job SKIP LOCKED
), ranked AS MATERIALIZED (
    SELECT due.*, row_number() OVER (PARTITION BY site_id ORDER BY crawl_priority DESC, crawl_due_at, id) AS place FROM due
), locked AS MATERIALIZED (
    SELECT id FROM site
    WHERE id = ANY (ARRAY(SELECT site_id FROM ranked WHERE pace > 0)) AND next_pull_at <= now()
    ORDER BY id FOR UPDATE SKIP LOCKED
), free AS MATERIALIZED (
    SELECT ranked.*, row_number() OVER (ORDER BY crawl_priority DESC, crawl_due_at, id) AS turn FROM ranked
    WHERE (pace = 0 OR site_id = ANY (ARRAY(SELECT id FROM locked))) AND place <= coalesce(rate_per_minute, place)
), taken AS MATERIALIZED (
    SELECT free.*, share.pull, share.bot, share.bot_id, coalesce(share.own_ttl, least(greatest(free.timeout, interval '1 second'), interval '1 day')) AS ttl
    FROM free JOIN share ON free.turn > share.after AND free.turn <= share.upto
), paced AS (
    UPDATE site SET next_pull_at = now() + make_interval(secs => turn.seconds)
    FROM (SELECT site_id, sum(pace) AS seconds FROM taken WHERE pace > 0 GROUP BY site_id) AS turn
    WHERE site.id = turn.site_id
), opening AS MATERIALIZED (
    SELECT pull, bot, ttl, nextval(pg_get_serial_sequence('lease', 'id')) AS lease
    FROM (SELECT DISTINCT pull, bot, ttl FROM taken) AS term
), opened AS (
    INSERT INTO lease (id, bot_id, workflow, expires_at) OVERRIDING SYSTEM VALUE
    SELECT lease, bot, $8, now() + ttl FROM opening
), claimed AS (
    UPDATE crawl_job AS item
    SET {set}, locked_lease = opening.lease, locked_by = taken.bot_id, updated_at = now()
    FROM taken JOIN opening USING (pull, ttl)
    WHERE item.id = taken.id
    RETURNING taken.pull, taken.turn, item.id, taken.url, taken.crawl_priority, greatest(taken.crawl_due_at, 'epoch') AS crawl_due_at, item.priority, item.max_retries, item.crawl_attempts AS attempt, opening.lease,
        now() + taken.ttl AS locked_until, extract(epoch FROM taken.ttl)::bigint AS timeout_seconds
), counted AS (
    UPDATE bot SET window_started_at = CASE WHEN gate.pulls = 0 THEN now() ELSE bot.window_started_at END,
        window_pulls = gate.pulls + own.pulls, jobs_pulled = least(bot.jobs_pulled, 1000000000000000000) + own.jobs, last_pull_at = now()
    FROM gate JOIN (
        SELECT asked.bot, count(*) FILTER (WHERE asked.counts) AS pulls, (SELECT count(*) FROM taken WHERE taken.bot = asked.bot) AS jobs
        FROM asked WHERE asked.is_open GROUP BY asked.bot
    ) AS own ON own.bot = gate.id
    WHERE bot.id = gate.id AND (own.pulls > 0 OR own.jobs > 0)
)
SELECT asked.pull, asked.is_open, asked.opens_in, claimed.id, claimed.url, claimed.crawl_priority, claimed.crawl_due_at, claimed.priority, claimed.max_retries, claimed.attempt,
    claimed.lease, claimed.locked_until, claimed.timeout_seconds
FROM asked LEFT JOIN claimed ON claimed.pull = asked.pull
ORDER BY asked.pull, claimed.turn
