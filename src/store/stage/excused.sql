-- How many of a row's attempts were nobody's fault and could not be given back: an expression on "item". Only as far back as the row's
-- last end.
SELECT count(*) FROM attempt AS excused
WHERE excused.item_id = item.{key} AND excused.stage = {name} AND excused.outcome = 'excused'
  AND excused.settled_at > coalesce((SELECT max(ended.settled_at) FROM attempt AS ended
    WHERE ended.item_id = item.{key} AND ended.stage = {name}
      AND ended.outcome IN ('completed', 'filtered', 'failed', 'quarantined')), '-infinity')
