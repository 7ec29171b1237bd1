-- Stores sitemaps that are new to their domain, and to its registrable domain (whose sitemaps may list them).
-- $1 boolean  whether to queue them (Selected)
-- $2 text[] domain, $3 text[] registrable_domain, $4 text[] url
WITH stored AS (
    INSERT INTO sitemap_file AS known (domain_id, url, discovery_method, status)
    SELECT its.id, given.url, 'manual', CASE WHEN $1 THEN 'Selected' ELSE 'New' END
    FROM unnest($2, $3, $4) AS given(host, registrable, url) JOIN domain AS its ON its.domain = given.host
    WHERE NOT EXISTS (SELECT 1 FROM domain AS main JOIN sitemap_file ON sitemap_file.domain_id = main.id
        WHERE main.domain = given.registrable AND main.id <> its.id AND sitemap_file.url = given.url)
    ORDER BY its.id, given.url
    ON CONFLICT (domain_id, url) DO UPDATE SET status = 'Selected' WHERE $1 AND known.status = 'New'
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS stored, count(*) FILTER (WHERE $1) AS queued FROM stored
