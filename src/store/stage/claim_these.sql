-- Claims, of the rows named, those that are due, for a lease that has not expired. Rows locked by others are passed over.
-- $1 bigint    the lease
-- $2 bigint[]  the rows
-- They are looked up by their keys; see settle.sql.
WITH due AS MATERIALIZED (
    SELECT {key} AS id FROM {table}
    WHERE {key} = ANY ((SELECT $2::bigint[])::bigint[])
      AND coalesce({stage}_status, '') = 'Queued' AND {stage}_due_at <= now()
      AND (SELECT expires_at > now() FROM lease WHERE lease.id = $1)
    ORDER BY {key}
    FOR UPDATE SKIP LOCKED
)
UPDATE {table} AS item
SET {set}{touch}
WHERE item.{key} = ANY (ARRAY(SELECT id FROM due))
RETURNING item.{key}::bigint AS id, item.{stage}_attempts AS attempt
