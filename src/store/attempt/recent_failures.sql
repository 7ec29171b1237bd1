-- The newest failures by stage and class. The inner query walks attempt_failure_idx backwards and stops at the limit.
SELECT stage, coalesce(class, outcome) AS class, count(*) AS failures,
       count(*) FILTER (WHERE outcome <> 'retried') AS given_up,
       extract(epoch FROM now() - max(least(settled_at, now())))::float8 AS seconds_ago,
       (array_agg(item_id ORDER BY settled_at DESC, item_id DESC))[1] AS item,
       (array_agg(item_id::text ORDER BY settled_at DESC, item_id DESC))[1] AS key,
       (array_agg(left(coalesce(message, ''), 300) ORDER BY settled_at DESC, item_id DESC))[1] AS message
FROM (SELECT settled_at, item_id, stage, outcome, class, message FROM attempt
      WHERE outcome IN ('retried', 'failed', 'quarantined') AND settled_at > now() - interval '1 hour'
      ORDER BY settled_at DESC LIMIT 1000) AS newest
GROUP BY stage, coalesce(class, outcome)
ORDER BY failures DESC, stage, class
LIMIT 30
