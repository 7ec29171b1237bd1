-- Drops old firings.
-- $1 float8       how old, in seconds
-- $2 timestamptz  after this time,
-- $3 bigint       and this key
-- $4 bigint       examine at most so many
-- $5 boolean      false: only count
-- $6 text         the work under whose name rows are set aside
WITH examined AS MATERIALIZED (
    SELECT id, started_at AS at FROM schedule_firing
    WHERE started_at < now() - make_interval(secs => $1) AND (started_at, id) > ($2, $3)
    ORDER BY started_at, id
    LIMIT $4
), doomed AS MATERIALIZED (
    SELECT id FROM examined
    WHERE id <> ALL (ARRAY(SELECT row_id FROM set_aside WHERE work = $6 AND table_name = 'schedule_firing' AND until > now()))
), gone AS (
    DELETE FROM schedule_firing WHERE $5 AND id = ANY (ARRAY(SELECT id FROM doomed))
)
SELECT (SELECT count(*) FROM doomed) AS gone, (SELECT count(*) FROM examined) AS examined, last.at AS last_at, last.id AS last_id
FROM (VALUES (0)) AS one LEFT JOIN LATERAL (SELECT at, id FROM examined ORDER BY at DESC, id DESC LIMIT 1) AS last ON true
