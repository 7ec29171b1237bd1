-- Records a firing that is over, and moves its schedule on.
-- $1 text          the schedule
-- $2 timestamptz   the time that it was for
-- $3 text          due, or asked
-- $4 timestamptz   when it started
-- $5 text          its outcome
-- $6 bigint        rows
-- $7 bigint        times that were not fired for
-- $8 text          its error
-- $9 bigint        the node
-- $10 text         the rule by which it was due,
-- $11 timestamptz  from this time that nobody had seen to
-- $12 timestamptz  to this; NULL for one that was asked for
-- The rule may have been changed meanwhile; then it has begun anew, and stays where it is.
WITH firing AS (
    INSERT INTO schedule_firing (schedule, due_at, cause, started_at, ended_at, outcome, rows, missed, error, fired_by)
    VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, $7, $8, $9)
    RETURNING started_at, ended_at
)
UPDATE schedule
SET next_at = CASE WHEN $12 IS NOT NULL AND rule = $10 AND least(greatest(next_at, '1970-01-01Z'), '9999-12-31Z') = $11
        THEN $12 ELSE next_at END,
    run_answered_at = CASE WHEN $3 = 'asked' THEN $2 ELSE run_answered_at END,
    fired_at = firing.started_at, fired_by = $9, last_due_at = $2, last_outcome = $5, last_error = $8, last_rows = $6,
    last_elapsed_ms = (extract(epoch FROM firing.ended_at - firing.started_at) * 1000)::bigint,
    succeeded_at = CASE WHEN $5 = 'completed' THEN firing.ended_at ELSE succeeded_at END,
    missed = missed + $7, progress = NULL
FROM firing WHERE name = $1
RETURNING last_elapsed_ms AS elapsed_ms
