-- Locks those of the rows that nobody else has locked, and names the others. A row that is gone is not named.
-- $1 bigint[]  the rows
WITH free AS MATERIALIZED (
    SELECT id FROM {table}
    WHERE id = ANY ((SELECT $1::bigint[])::bigint[])
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id::bigint AS id FROM {table}
WHERE id = ANY ((SELECT $1::bigint[])::bigint[]) AND id NOT IN (SELECT id FROM free)
