-- Raises what has waited too long: one step of priority for each so many seconds, so that nothing waits for ever behind what is
-- more urgent. Never above 100, and never below what somebody gave it.
-- $1 bigint  at most this many
-- $2 float8  seconds per step
-- $3 bigint[]  of these only, NULL for any
-- Asked for: the priority raised so.
WITH stale AS MATERIALIZED (
    {stale} AND ($3::bigint[] IS NULL OR id = ANY ($3))
    ORDER BY crawl_due_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE crawl_job AS item SET {set} FROM stale WHERE item.id = stale.id
