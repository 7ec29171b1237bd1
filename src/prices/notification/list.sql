-- Notifications, the newest first.
-- $1 text      how far the delivery is, in lower case, none where there is nothing to deliver; NULL for any
-- $2 text      kind, NULL for any
-- $3 text      channel, NULL for any
-- $4 text      subscriber, NULL for any
-- $5 bigint[]  numbers, empty for any
-- $6 bigint    only older ones than this, NULL for all
-- $7 bigint    at most so many
SELECT notice.id, kind, channel, lower(coalesce(delivery_status, 'none')) AS status, delivery_attempts AS attempts,
    delivery_error AS error, subscriber, coalesce(page.url, page.raw_url) AS url, message, old_price::text, new_price::text, currency,
    to_char(notice.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    to_char(delivered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS delivered_at,
    to_char(read_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS read_at
FROM notification AS notice JOIN subscription ON subscription.id = notice.subscription_id
JOIN product_url AS page ON page.id = notice.product_url_id
WHERE ($1 IS NULL OR lower(coalesce(delivery_status, 'none')) = $1) AND ($2 IS NULL OR kind = $2) AND ($3 IS NULL OR channel = $3)
  AND ($4 IS NULL OR subscriber = $4) AND (cardinality($5) = 0 OR notice.id = ANY ($5)) AND ($6 IS NULL OR notice.id < $6)
ORDER BY notice.id DESC LIMIT $7
