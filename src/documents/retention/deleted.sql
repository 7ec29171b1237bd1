-- Drops what is left of documents that their tenants deleted, but those whose attachments are still there, and those in hand.
-- $1 float8       how long ago, in seconds
-- $2 timestamptz  after this time,
-- $3 bigint       and this key
-- $4 bigint       examine at most so many
-- $5 boolean      false: only count
-- $6 text         the work under whose name rows are set aside
WITH examined AS MATERIALIZED (
    SELECT id, deleted_at AS at, process_lease FROM documents
    WHERE deleted_at IS NOT NULL AND deleted_at < now() - make_interval(secs => $1) AND (deleted_at, id) > ($2, $3)
    ORDER BY deleted_at, id
    LIMIT $4
), doomed AS MATERIALIZED (
    SELECT id FROM examined WHERE process_lease IS NULL
      AND NOT EXISTS (SELECT 1 FROM documents AS below WHERE below.parent_id = examined.id AND below.deleted_at IS NULL)
      AND id <> ALL (ARRAY(SELECT row_id FROM set_aside WHERE work = $6 AND table_name = 'documents' AND until > now()))
), gone AS (
    DELETE FROM documents WHERE $5 AND id = ANY (ARRAY(SELECT id FROM doomed))
)
SELECT (SELECT count(*) FROM doomed) AS gone, (SELECT count(*) FROM examined) AS examined, last.at AS last_at, last.id AS last_id
FROM (VALUES (0)) AS one LEFT JOIN LATERAL (SELECT at, id FROM examined ORDER BY at DESC, id DESC LIMIT 1) AS last ON true
