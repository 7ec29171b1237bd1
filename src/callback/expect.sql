-- Answers are waited for from now on.
-- $1 ids, $2 this node, $3 workflow, $4 keys of the rows, $5 attempts, $6 for how long, in seconds
INSERT INTO callback (id, node_id, workflow, item, attempt, expires_at)
SELECT each.id, $2, $3, each.item, each.attempt, now() + make_interval(secs => each.seconds)
  FROM unnest($1, $4, $5, $6) AS each(id, item, attempt, seconds)
