-- Stores sitemaps that are new to their domain, and to its registrable domain (whose sitemaps may list them).
-- $1 boolean  whether to queue them (Selected)
-- $2 text[] domain, $3 text[] registrable_domain, $4 text[] url, $5 text[] url_key, NULL for addresses without a query
-- One that is known under another spelling is taken by the one it has.
WITH stored AS (
    INSERT INTO sitemap_file AS known (domain_id, url, url_key, discovery_method, status)
    SELECT its.id, CASE WHEN given.url_key IS NULL THEN given.url ELSE coalesce(
            (SELECT own.url FROM sitemap_file AS own WHERE own.domain_id = its.id AND own.url_key = given.url_key),
            (SELECT own.url FROM sitemap_file AS own WHERE own.domain_id = its.id AND own.url = given.url_key), given.url) END, given.url_key, 'manual', CASE WHEN $1 THEN 'Selected' ELSE 'New' END
    FROM unnest($2, $3, $4, $5) AS given(host, registrable, url, url_key) JOIN domain AS its ON its.domain = given.host
    WHERE CASE WHEN given.registrable <> given.host THEN coalesce(
        (SELECT there.id FROM domain AS main JOIN sitemap_file AS there ON there.domain_id = main.id
            WHERE main.domain = given.registrable AND there.url_key = given.url_key),
        (SELECT there.id FROM domain AS main JOIN sitemap_file AS there ON there.domain_id = main.id
            WHERE main.domain = given.registrable AND there.url = coalesce(given.url_key, given.url))) END IS NULL
    ORDER BY its.id, given.url
    ON CONFLICT (domain_id, url) DO UPDATE SET status = 'Selected' WHERE $1 AND known.status = 'New'
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS stored, count(*) FILTER (WHERE $1) AS queued FROM stored
