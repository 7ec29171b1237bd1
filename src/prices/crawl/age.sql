-- Raises what has waited too long: one step of priority for each so many seconds, so that nothing waits for ever behind what is
-- more urgent. Never above 100, and never below what somebody gave it.
-- $1 bigint  at most this many
-- $2 float8  seconds per step
-- Asked for: the priority raised so.
WITH stale AS MATERIALIZED (
    SELECT id FROM crawl_job
    WHERE crawl_status = 'Queued' AND crawl_due_at < now() - make_interval(secs => $2)
      AND crawl_priority < least(100, priority + floor(extract(epoch FROM now() - crawl_due_at) / $2))
    ORDER BY crawl_due_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE crawl_job AS item SET {set} FROM stale WHERE item.id = stale.id
