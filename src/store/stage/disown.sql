-- Lets go of rows whose status somebody changed while we had them in hand (cancelled, finished by hand): their wish stands,
-- our result was dropped, and now the row is free. One that was asked for again since the settle looked at it, and so stands
-- in Processing without anybody working it, is queued. A lease that has ended is the rescue's to see to.
-- $1 bigint      the lease
-- $2 bigint[]    rows
-- $3 smallint[]  their attempts
UPDATE {table} AS item
SET {stage}_status = CASE item.{stage}_status WHEN 'Processing' THEN 'Queued' ELSE item.{stage}_status END,
    {stage}_attempts = CASE item.{stage}_status WHEN 'Processing' THEN 0 ELSE item.{stage}_attempts END,
    {stage}_due_at = CASE item.{stage}_status WHEN 'Processing' THEN coalesce(item.{stage}_due_at, now()) END,
    {stage}_lease = NULL
FROM unnest($2, $3) AS dropped(id, attempt)
WHERE item.{key} = dropped.id AND item.{stage}_lease = $1 AND item.{stage}_attempts = dropped.attempt
  AND (SELECT expires_at > now() FROM lease WHERE lease.id = $1)
