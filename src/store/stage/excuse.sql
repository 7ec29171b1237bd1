-- The holder of a lease that has ended lives after all, and says so: rows that the rescue has charged with a death meanwhile go
-- back into its hands, to be released. Only where nobody has touched them since: still queued by that rescue, or quarantined by
-- it. Of a row that somebody has taken since, the number of attempts is part of that one's fence and stays as it is; the history
-- says "excused" then, which used_up.sql heeds.
-- $1 bigint  the lease
WITH charged AS MATERIALIZED (
    SELECT item_id, attempt, outcome, settled_at FROM attempt
    WHERE lease = $1 AND stage = {name} AND outcome IN ('rescued', 'quarantined')
), untouched AS MATERIALIZED (
    SELECT item.{key} AS id FROM {table} AS item JOIN charged ON charged.item_id = item.{key}
    WHERE item.{stage}_lease IS NULL AND item.{stage}_attempts = charged.attempt AND charged.attempt > 0
      AND CASE charged.outcome WHEN 'quarantined' THEN item.{stage}_status = 'Error'
          -- One that is due later has been put off by somebody. Not by this transaction's clock: the rescue may have begun after it.
          ELSE item.{stage}_status = 'Queued' AND item.{stage}_due_at <= clock_timestamp() END
      AND NOT EXISTS (SELECT 1 FROM attempt AS later WHERE later.item_id = item.{key} AND later.stage = {name}
        AND later.settled_at > charged.settled_at)
    ORDER BY item.{key}
    FOR UPDATE OF item SKIP LOCKED
), regained AS (
    UPDATE {table} AS item
    SET {stage}_status = 'Processing', {stage}_lease = $1, {stage}_due_at = NULL,
        {stage}_error = CASE item.{stage}_status WHEN 'Error' THEN NULL ELSE item.{stage}_error END
    FROM untouched WHERE item.{key} = untouched.id
    RETURNING item.{key} AS id
), history AS (
    UPDATE attempt AS one
    SET outcome = CASE WHEN one.item_id IN (SELECT id FROM regained) THEN 'released' ELSE 'excused' END,
        message = 'its worker lives, and lost the lease for want of the database'
    WHERE one.lease = $1 AND one.stage = {name} AND one.outcome IN ('rescued', 'quarantined')
)
SELECT count(*) AS freed, 0::bigint AS quarantined, 0::bigint AS locked FROM regained
