-- Whether a stage has rows to rescue: their lease has ended, or other software left them in Processing. Not those
-- that are set aside. A condition.
-- $2 float8  age in seconds after which the latter are; 0 for never
-- `gap` has what lies between the leases that stand. Rows are looked for there alone: while row versions are pinned, the index over
-- held rows has an entry under its lease of every row that was ever claimed.
EXISTS (
    SELECT 1 FROM gap, LATERAL (
        SELECT 1 FROM {table} AS item WHERE item.{stage}_lease > gap.above AND item.{stage}_lease < gap.below AND {takes} LIMIT 1
    ) AS lost
) OR ($2 > 0 AND EXISTS (
    SELECT 1 FROM {table} AS item
    WHERE item.{stage}_status = 'Processing' AND item.{stage}_lease IS NULL
      AND (item.{stage}_due_at IS NULL OR item.{stage}_due_at < now() - make_interval(secs => $2))
      AND {takes}
))
