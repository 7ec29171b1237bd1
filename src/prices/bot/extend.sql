-- Moves on the end of a bot's leases that have not ended, by the time each was given for; returns those that stand.
-- $1 bigint    the bot
-- $2 bigint[]  leases
UPDATE lease
SET expires_at = now() + (
    SELECT coalesce(bot.lock_ttl_seconds * interval '1 second', least(max(job.timeout), interval '1 day')) FROM bot, crawl_job AS job
    WHERE bot.id = $1 AND job.crawl_lease = lease.id GROUP BY bot.lock_ttl_seconds)
WHERE lease.bot_id = $1 AND lease.id = ANY ($2) AND lease.expires_at > now()
  AND EXISTS (SELECT 1 FROM crawl_job AS job WHERE job.crawl_lease = lease.id)
RETURNING id, expires_at
