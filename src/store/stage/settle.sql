-- Records the verdicts of a batch, for those rows that are still ours: same lease, same attempt, lease not expired, status
-- not changed by somebody. Returns the rows that were. History goes in the same statement.
-- $1 bigint      the lease
-- $2 bigint[]    rows
-- $3 smallint[]  their attempts
-- $4 text[]      the status each is to have
-- $5 float8[]    seconds until due, for those to be queued again
-- $6 text[]      error or reason to keep on the row
-- $7 smallint[]  attempts to give back (0 or 1)
-- $8 text[]      outcome, for the history
-- $9 text[]      class, for the history
-- $10 int[]      milliseconds taken, for the history
-- The rows are looked up by their keys: "ANY (SELECT …)" hides the number of keys from the planner, which would read the whole
-- table for many, and coalesce keeps it off the index over held rows, where every row claimed before has left a trace.
-- A row that was asked for again meanwhile ({stage}_due_at set while Processing) is queued again, as if fresh.
WITH verdict AS (
    SELECT * FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::float8[], $6::text[], $7::smallint[], $8::text[], $9::text[], $10::int[])
        AS v(id, attempt, status, after, error, given_back, outcome, class, elapsed_ms)
), settled AS (
    UPDATE {table} AS item
    SET {stage}_status = CASE WHEN item.{stage}_due_at IS NULL THEN verdict.status ELSE 'Queued' END,
        {stage}_attempts = CASE WHEN item.{stage}_due_at IS NULL THEN item.{stage}_attempts - verdict.given_back ELSE 0 END,
        {stage}_due_at = CASE WHEN item.{stage}_due_at IS NOT NULL THEN item.{stage}_due_at
            WHEN verdict.status = 'Queued' THEN now() + make_interval(secs => verdict.after) END,
        {stage}_error = verdict.error, {stage}_lease = NULL{touch}
    FROM verdict
    WHERE item.{key} = verdict.id AND item.{key} = ANY ((SELECT $2::bigint[])::bigint[])
      AND coalesce(item.{stage}_lease, 0) = $1 AND item.{stage}_attempts = verdict.attempt
      AND coalesce(item.{stage}_status, '') = 'Processing' AND (SELECT expires_at > now() FROM lease WHERE lease.id = $1)
    RETURNING item.{key} AS id
), history AS (
    INSERT INTO attempt (item_id, elapsed_ms, attempt, stage, outcome, class, message)
    SELECT id, elapsed_ms, attempt, {name}, outcome, class, error FROM verdict JOIN settled USING (id)
)
SELECT id::bigint AS id FROM settled
