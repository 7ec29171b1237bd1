-- Gives rows whose lease has ended, and which nobody took since, back into the hands they fell from, under a lease that stands: what
-- those hands still bring counts like any result.
-- $1 bigint      the lease
-- $2 bigint[]    rows, locked and judged by the caller
-- $3 smallint[]  the attempts that are reported
UPDATE {table} AS item
SET {stage}_status = 'Processing', {stage}_lease = $1, {stage}_attempts = late.attempt, {stage}_due_at = NULL
FROM unnest($2, $3) AS late(id, attempt)
WHERE item.{key} = late.id
