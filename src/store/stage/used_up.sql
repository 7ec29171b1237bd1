-- Whether a row has used up its attempts, other than those that were nobody's fault and could not be given back. A condition on
-- "item"; the history is looked at only when the number alone says so, and only as far back as the row's last end.
item.{stage}_attempts >= {limit} AND item.{stage}_attempts - (
    SELECT count(*) FROM attempt AS excused
    WHERE excused.item_id = item.id AND excused.stage = '{table}/{stage}' AND excused.outcome = 'excused'
      AND excused.settled_at > coalesce((SELECT max(ended.settled_at) FROM attempt AS ended
        WHERE ended.item_id = item.id AND ended.stage = '{table}/{stage}'
          AND ended.outcome IN ('completed', 'filtered', 'failed', 'quarantined')), '-infinity')) >= {limit}
