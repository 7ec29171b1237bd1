-- The row that the next batch of a firing begins with. Parameters as queue.sql.
SELECT ARRAY[{texts}] AS next FROM {table}
WHERE {range} AND {stage}_status IS DISTINCT FROM 'Queued' AND (
{condition}
)
ORDER BY {keys} LIMIT $1
