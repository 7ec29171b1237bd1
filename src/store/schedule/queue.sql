-- Queues the next rows of a firing, in the order of the table's key. Rows that wait already stay as they are; the trigger has those that
-- a worker has in hand worked again afterwards.
-- $1 bigint  so many rows
-- $2 text[]  up to this key
-- $3 text[]  after this one, if it is not the first batch
WITH picked AS MATERIALIZED (
    SELECT {keys} FROM {table}
    WHERE {range} AND {stage}_status IS DISTINCT FROM 'Queued' AND (
{condition}
    )
    ORDER BY {keys} LIMIT $1 FOR NO KEY UPDATE
), queued AS (
    UPDATE {table} AS item SET {set} FROM picked WHERE {matching} RETURNING 1
)
SELECT (SELECT count(*) FROM picked) AS picked, (SELECT count(*) FROM queued) AS queued,
    (SELECT ARRAY[{texts}] FROM picked ORDER BY {descending} LIMIT 1) AS last
