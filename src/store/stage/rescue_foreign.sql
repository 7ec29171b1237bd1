-- Queues rows again that other software set to Processing, without any lease, longer ago than it can still be at work.
-- The trigger stamped {stage}_due_at at that moment; a row from before the trigger is stamped here and waits from now on.
-- $1 float8  age in seconds
-- $2 bigint  at most this many
-- $3 bigint[]  of these only, NULL for any
WITH stuck AS MATERIALIZED (
    SELECT {key} AS id, {stage}_due_at AS since FROM {table} AS item
    WHERE {stage}_status = 'Processing' AND {stage}_lease IS NULL
      AND ({stage}_due_at IS NULL OR {stage}_due_at < now() - make_interval(secs => $1))
      AND {takes} AND ($3::bigint[] IS NULL OR item.{key} = ANY ($3))
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE {table} AS item
    SET {stage}_status = CASE WHEN stuck.since IS NULL THEN 'Processing' ELSE 'Queued' END, {stage}_due_at = now()
    FROM stuck WHERE item.{key} = stuck.id
    RETURNING item.{key} AS id, item.{stage}_status AS status
), history AS (
    INSERT INTO attempt (item_id, attempt, stage, outcome, message)
    SELECT id, 0, {name}, 'rescued', 'left in Processing by other software' FROM freed WHERE status = 'Queued'
)
SELECT count(*) FILTER (WHERE status = 'Queued') AS freed, 0::bigint AS quarantined, 0::bigint AS locked FROM freed
