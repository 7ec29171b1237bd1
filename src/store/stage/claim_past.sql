-- Claims due rows as claim.sql does, reading only what lies past a frontier: what lies before it has been claimed, and while
-- somebody's transaction is open the index still has an entry of each such row, which every claim would read again.
-- $1 bigint         the lease
-- $2 bigint         at most this many
-- The ranges to read, in the order of the queue; see frontier.rs:
-- $3 int[], $4 int[]  priorities: above the one, up to the other
-- $5 smallint[]     0: all rows of these priorities; 1: those of $8 that have the priority $4; 2: those of the priority $4 past a place
-- $6 timestamptz[], $7 bigint[]  that place: due time and key
-- $8 bigint[]       rows before the frontier that were seen waiting
-- $9 float8         seconds that the frontier stays behind the present
-- The order of the ranges is that of the array, so nothing is sorted across them, and what is not needed is not read. Each part
-- has a condition on its range alone, by which it is left out before its first row is looked for.
-- Answers at least one row: up to when all has been read, NULL under a lease that has ended; without a key if nothing was claimed.
-- Times from before 1970, -infinity among them, are told as 1970: they are places to go on from, and a look finds what lies before.
WITH due AS MATERIALIZED (
    SELECT head.id, head.priority, head.due_at
    FROM unnest($3, $4, $5, $6, $7) WITH ORDINALITY AS range(above, upto, kind, due_at, id, place),
    LATERAL (
        SELECT * FROM (
            SELECT queued.{key} AS id, {stage}_priority AS priority, {stage}_due_at AS due_at FROM {table} AS queued
            WHERE range.kind = 0 AND {stage}_status = 'Queued'{given} AND {stage}_due_at <= now()
              AND {stage}_priority > range.above AND {stage}_priority <= range.upto
            ORDER BY {stage}_priority DESC, {stage}_due_at, queued.{key}
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ) AS unknown
        UNION ALL
        SELECT * FROM (
            SELECT queued.{key} AS id, {stage}_priority AS priority, {stage}_due_at AS due_at FROM {table} AS queued
            WHERE range.kind = 1 AND queued.{key} = ANY ((SELECT $8::bigint[])::bigint[])
              AND coalesce({stage}_status, '') = 'Queued' AND {stage}_due_at <= now() AND {stage}_priority = range.upto
            ORDER BY {stage}_due_at, queued.{key}
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ) AS stray
        UNION ALL
        SELECT * FROM (
            SELECT queued.{key} AS id, {stage}_priority AS priority, {stage}_due_at AS due_at FROM {table} AS queued
            WHERE range.kind = 2 AND {stage}_status = 'Queued'{given} AND {stage}_due_at <= now()
              AND {stage}_priority = range.upto AND ({stage}_due_at, queued.{key}) > (range.due_at, range.id)
            ORDER BY {stage}_due_at, queued.{key}
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        ) AS ahead
    ) AS head
    WHERE (SELECT expires_at > now() FROM lease WHERE lease.id = $1)
    ORDER BY range.place
    LIMIT $2
), taken AS (
    UPDATE {table} AS item
    SET {set}{touch}
    WHERE item.{key} = ANY (ARRAY(SELECT id FROM due))
    RETURNING item.{key} AS id, item.{stage}_attempts AS attempt
)
SELECT row.*, (SELECT now() - make_interval(secs => $9) FROM lease WHERE lease.id = $1 AND expires_at > now()) AS read_until
FROM (SELECT) AS answer
LEFT JOIN (
    SELECT taken.id::bigint AS id, taken.attempt, due.priority, greatest(due.due_at, 'epoch') AS due_at FROM taken JOIN due USING (id)
) AS row ON true
