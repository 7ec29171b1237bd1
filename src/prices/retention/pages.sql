-- Drops stored pages of URLs that are not crawled any more.
-- $1 float8       fetched so long ago, in seconds
-- $2 timestamptz  unused: the walk is by key
-- $3 bigint       after this URL
-- $4 bigint       examine at most so many
-- $5 boolean      false: only count
-- $6 text         the work under whose name rows are set aside
WITH examined AS MATERIALIZED (
    SELECT product_url_id AS id, fetched_at FROM product_page
    WHERE product_url_id > $3 AND $2 IS NOT NULL
    ORDER BY product_url_id
    LIMIT $4
), doomed AS MATERIALIZED (
    SELECT examined.id FROM examined JOIN product_url u ON u.id = examined.id
    WHERE NOT u.is_active AND examined.fetched_at < now() - make_interval(secs => $1)
      AND examined.id <> ALL (ARRAY(SELECT row_id FROM set_aside WHERE work = $6 AND table_name = 'product_page' AND until > now()))
), gone AS (
    DELETE FROM product_page WHERE $5 AND product_url_id = ANY (ARRAY(SELECT id FROM doomed))
)
SELECT (SELECT count(*) FROM doomed) AS gone, (SELECT count(*) FROM examined) AS examined,
    NULL::timestamptz AS last_at, (SELECT max(id) FROM examined) AS last_id
