-- Claims due rows of a stage for a lease that has not expired.
-- $1 bigint  the lease
-- $2 bigint  at most this many
-- The CTE is materialised so that LIMIT holds: the planner may run a sub-select again and update more rows than asked. It is
-- an array rather than a join so that the planner goes by the key: for a join of many rows it would read the whole table.
WITH due AS MATERIALIZED (
    SELECT {key} AS id FROM {table}
    WHERE {stage}_status = 'Queued'{given} AND {stage}_due_at <= now()
      AND (SELECT expires_at > now() FROM lease WHERE lease.id = $1)
    ORDER BY {stage}_priority DESC, {stage}_due_at, {key}
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE {table} AS item
SET {set}{touch}
WHERE item.{key} = ANY (ARRAY(SELECT id FROM due))
RETURNING item.{key}::bigint AS id, item.{stage}_attempts AS attempt
