-- Takes an answer in, and tells the node that waits for it.
-- $1 id, $2 the answer, $3 its digest
WITH known AS (
    SELECT id, node_id, digest, expires_at FROM callback WHERE id = $1 FOR UPDATE
), taken AS (
    UPDATE callback
       SET answer = $2, digest = $3, answered_at = now()
      FROM known
     WHERE callback.id = known.id
       AND known.digest IS NULL
       AND known.expires_at > now()
       -- What a process that is gone had in hand is somebody else's by now, or will be.
       AND EXISTS (SELECT FROM lease WHERE lease.node_id = known.node_id AND lease.expires_at > now() AND NOT lease.is_closed)
    RETURNING callback.node_id
), told AS (
    SELECT pg_notify('gleaner_callback', node_id::text) FROM taken
)
SELECT CASE
           WHEN (SELECT count(*) FROM told) > 0 THEN 'taken'
           WHEN known.digest = $3 THEN 'repeated'
           WHEN known.digest IS NOT NULL THEN 'another'
           ELSE 'over'
       END AS verdict
  FROM known
