-- Whether a stage has rows to rescue: their lease has ended, or other software left them in Processing. Not those
-- that are set aside. A condition.
-- $2 float8  age in seconds after which the latter are; 0 for never
EXISTS (
    SELECT 1 FROM {table} AS item
    WHERE item.{stage}_lease IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.id = item.{stage}_lease AND lease.expires_at > now())
      AND {takes}
) OR ($2 > 0 AND EXISTS (
    SELECT 1 FROM {table} AS item
    WHERE item.{stage}_status = 'Processing' AND item.{stage}_lease IS NULL
      AND (item.{stage}_due_at IS NULL OR item.{stage}_due_at < now() - make_interval(secs => $2))
      AND {takes}
))
