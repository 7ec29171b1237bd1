-- Thins old prices to the changes and each day's lowest and highest.
-- $1 float8       how old, in seconds
-- $2 timestamptz  unused: the walk is by key
-- $3 bigint       after this URL
-- $4 bigint       at most so many URLs
-- $5 boolean      false: only count
-- $6 text         the work under whose name URLs are set aside
-- The last of a URL's old prices stays, whatever follows it. A price that stays takes over when those after it, which go, were
-- last confirmed.
WITH examined AS MATERIALIZED (
    SELECT id FROM product_url WHERE id > $3 AND $2 IS NOT NULL ORDER BY id LIMIT $4
), seen AS (
    SELECT h.id, h.product_url_id, h.scraped_at, h.last_confirmed_at, h.source,
        h.price = lag(h.price) OVER course AND h.currency = lag(h.currency) OVER course
            AND h.availability IS NOT DISTINCT FROM lag(h.availability) OVER course
            AND h.is_available IS NOT DISTINCT FROM lag(h.is_available) OVER course AS is_same,
        lead(h.id) OVER course IS NULL AS is_last,
        h.price IN (min(h.price) OVER day, max(h.price) OVER day)
            AND row_number() OVER (PARTITION BY h.product_url_id, (h.scraped_at AT TIME ZONE 'UTC')::date, h.price
                ORDER BY h.scraped_at, h.id) = 1 AS is_extreme
    FROM price_history h
    WHERE h.product_url_id = ANY (ARRAY(SELECT id FROM examined)) AND h.scraped_at < now() - make_interval(secs => $1)
      AND h.product_url_id <> ALL (ARRAY(SELECT row_id FROM set_aside WHERE work = $6 AND table_name = 'product_url' AND until > now()))
    WINDOW course AS (PARTITION BY h.product_url_id ORDER BY h.scraped_at, h.id),
        day AS (PARTITION BY h.product_url_id, (h.scraped_at AT TIME ZONE 'UTC')::date)
), marked AS (
    SELECT id, product_url_id, scraped_at, last_confirmed_at,
        coalesce(is_same, false) AND NOT is_last AND NOT is_extreme AND source <> 'MANUAL' AS is_doomed
    FROM seen
), run AS MATERIALIZED (
    SELECT *, count(*) FILTER (WHERE NOT is_doomed) OVER (PARTITION BY product_url_id ORDER BY scraped_at, id) AS run FROM marked
), doomed AS MATERIALIZED (
    SELECT id FROM run WHERE is_doomed
), extended AS (
    UPDATE price_history kept SET last_confirmed_at = greatest(kept.last_confirmed_at, whole.confirmed_at)
    FROM (SELECT min(id) FILTER (WHERE NOT is_doomed) AS id, max(last_confirmed_at) AS confirmed_at
          FROM run GROUP BY product_url_id, run HAVING bool_or(is_doomed)) AS whole
    WHERE $5 AND kept.id = whole.id
), gone AS (
    DELETE FROM price_history WHERE $5 AND id = ANY (ARRAY(SELECT id FROM doomed))
)
SELECT (SELECT count(*) FROM doomed) AS gone, (SELECT count(*) FROM examined) AS examined,
    NULL::timestamptz AS last_at, (SELECT max(id) FROM examined) AS last_id
