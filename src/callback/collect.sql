-- Answers that have come for this node. Their texts are wanted no more.
-- $1 node, $2 most
WITH next AS (
    SELECT id, answer FROM callback
     WHERE node_id = $1 AND answer IS NOT NULL
     LIMIT $2
       FOR UPDATE SKIP LOCKED
)
UPDATE callback SET answer = NULL FROM next WHERE callback.id = next.id
RETURNING next.id, next.answer
