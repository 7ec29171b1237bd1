-- The rows of a batch that a statement works: nothing is given of them.
-- $1 bigint[]  the rows
-- $2 bigint    not used: as where something is
SELECT item.{handle}::bigint AS handle, item.{stage}_attempts AS attempt, to_json(item.{handle})::text AS key, 2::bigint AS bytes,
    CASE WHEN $2::bigint > 0 THEN '{}'::text END AS columns
FROM {table} AS item WHERE item.{handle} = ANY ($1)
