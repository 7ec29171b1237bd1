-- Locks those of the rows that nobody else has locked, and names the others. A row that is gone is not named.
-- $1 bigint[]  the rows
WITH free AS MATERIALIZED (
    SELECT {key} AS id FROM {table}
    WHERE {key} = ANY ((SELECT $1::bigint[])::bigint[])
    ORDER BY {key}
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT {key}::bigint AS id FROM {table}
WHERE {key} = ANY ((SELECT $1::bigint[])::bigint[]) AND {key} NOT IN (SELECT id FROM free)
