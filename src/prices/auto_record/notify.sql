-- Notifications, each once per event and channel; those for a channel with a receiver are queued for delivery.
-- $1 bigint[]  subscription
-- $2 bigint[]  page
-- $3 bigint[]  row of the history
-- $4 text[]    channel
-- $5 text[]    kind
-- $6 text[]    message
-- $7 text[]    price before, NULL for none
-- $8 text[]    price now
-- $9 text[]    their currency
-- Asked for: queued, but for the channel "list".
INSERT INTO notification (subscription_id, product_url_id, price_history_id, channel, kind, message, old_price, new_price, currency, {columns})
SELECT subscription, url, history, channel, kind, message, old_price::numeric, new_price::numeric, currency,
       {values}
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
    AS told(subscription, url, history, channel, kind, message, old_price, new_price, currency)
ON CONFLICT (price_history_id, subscription_id, kind, channel) DO NOTHING
