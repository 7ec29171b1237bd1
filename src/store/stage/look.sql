-- Rows that wait although they lie before a frontier: queued with an earlier due time, or by a transaction that took long, or
-- passed over, because somebody had them locked or they may not be handed out. Reads what the claims no longer read, so it costs what
-- they save.
-- $1 int[], $2 timestamptz[], $3 bigint[]  up to where to look: of each priority, due time and key
-- $4 bigint  of each priority at most this many
-- $5 float8  but only up to so many seconds ago
-- Answers at least one row for each priority: up to where it has looked, without a key if there is none. Times from before 1970 are
-- told as 1970; see claim_past.sql.
SELECT edge.priority, edge.due_at AS reached_at, edge.id AS reached_id, stray.id, greatest(stray.due_at, 'epoch') AS due_at
FROM (
    SELECT priority, least(due_at, now() - make_interval(secs => $5)) AS due_at,
        CASE WHEN due_at < now() - make_interval(secs => $5) THEN id ELSE -9223372036854775808 END AS id
    FROM unnest($1, $2, $3) AS known(priority, due_at, id)
) AS edge
LEFT JOIN LATERAL (
    SELECT queued.{key}::bigint AS id, {stage}_due_at AS due_at FROM {table} AS queued
    WHERE {stage}_status = 'Queued'{given} AND {stage}_due_at <= now()
      AND {stage}_priority = edge.priority AND ({stage}_due_at, queued.{key}) <= (edge.due_at, edge.id)
    ORDER BY {stage}_due_at, queued.{key}
    LIMIT $4
) AS stray ON true
