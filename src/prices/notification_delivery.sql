-- Notifications with all that is told of them. Amounts as exact text.
-- $1 bigint[] notifications
SELECT n.id, n.channel, n.kind, n.message, n.old_price::text AS old_price, n.new_price::text AS new_price, n.currency,
    to_char(n.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    s.subscriber, s.active AS is_active, s.webhook_url, s.email,
    u.id AS product_url_id, coalesce(u.url, u.raw_url) AS url, u.title, nullif(p.name, '') AS product
FROM notification n
JOIN subscription s ON s.id = n.subscription_id
JOIN product_url u ON u.id = n.product_url_id
LEFT JOIN product p ON p.id = u.product_id
WHERE n.id = ANY ($1)
