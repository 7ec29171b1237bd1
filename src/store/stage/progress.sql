-- Writes how far rows in hand have come, and says which of them are still ours: same lease, same attempt, status not changed by
-- somebody. Those not named were cancelled, deleted or lost. What somebody else has locked is not waited for.
-- $1 bigint      the lease
-- $2 bigint[]    rows
-- $3 smallint[]  their attempts
-- $4 text[]      step
-- $5 int[]       parts done
-- $6 int[]       of so many, NULL while that is not known
-- $7 smallint[]  per cent
-- $8 boolean[]   whether anything of it is new
WITH told AS MATERIALIZED (
    SELECT * FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::int[], $6::int[], $7::smallint[], $8::boolean[])
        AS t(id, attempt, step, done, total, percent, is_new)
), ours AS MATERIALIZED (
    SELECT item.{key} AS id, told.is_new FROM told JOIN {table} AS item ON item.{key} = told.id
    WHERE item.{key} = ANY ((SELECT $2::bigint[])::bigint[]) AND coalesce(item.{stage}_lease, 0) = $1
      AND item.{stage}_attempts = told.attempt AND coalesce(item.{stage}_status, '') = 'Processing'
), free AS MATERIALIZED (
    SELECT item.{key} AS id FROM {table} AS item
    WHERE item.{key} = ANY (ARRAY(SELECT id FROM ours WHERE is_new))
      AND coalesce(item.{stage}_lease, 0) = $1 AND coalesce(item.{stage}_status, '') = 'Processing'
    ORDER BY item.{key}
    FOR NO KEY UPDATE SKIP LOCKED
), written AS (
    UPDATE {table} AS item SET {progress}{touch} FROM told
    WHERE item.{key} = told.id AND item.{key} = ANY (ARRAY(SELECT id FROM free)) AND item.{stage}_attempts = told.attempt
)
SELECT id::bigint AS id FROM ours
