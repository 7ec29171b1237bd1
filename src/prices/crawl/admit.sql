-- Admits product URLs: their site, normalised URL and the hash of its key; the table's trigger gives each its job. A page that is there
-- already is rejected, naming the row that has it. The rows are locked by the caller, who is the only one to admit.
-- $1 bigint[]  product_url
-- $2 text[]    normalised URL
-- $3 text[]    the domain of its site
-- $4 text[]    by what it is told from others
WITH given AS MATERIALIZED (
    SELECT id, url, domain, encode(sha256(convert_to(key, 'UTF8')), 'hex') AS url_hash
    FROM unnest($1, $2, $3, $4) AS given(id, url, domain, key)
), added AS (
    INSERT INTO site (domain) SELECT DISTINCT domain FROM given ORDER BY domain ON CONFLICT (domain) DO NOTHING RETURNING id, domain
), owner AS (
    SELECT id, domain FROM added UNION ALL SELECT id, domain FROM site WHERE domain IN (SELECT domain FROM given)
), judged AS MATERIALIZED (
    SELECT given.*, owner.id AS site_id, coalesce(
        (SELECT known.id FROM product_url AS known WHERE known.url_hash = given.url_hash),
        nullif(min(given.id) OVER (PARTITION BY given.url_hash), given.id)) AS same
    FROM given JOIN owner ON owner.domain = given.domain
)
UPDATE product_url AS page
SET url = CASE WHEN same IS NULL THEN judged.url END, url_hash = CASE WHEN same IS NULL THEN judged.url_hash END,
    site_id = CASE WHEN same IS NULL THEN judged.site_id END,
    rejected = CASE WHEN same IS NOT NULL THEN 'the same page as product_url ' || same END
FROM judged WHERE page.id = judged.id
RETURNING page.id::bigint AS id, judged.same::bigint AS same
