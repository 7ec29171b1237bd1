-- Stores the pages that a sitemap lists, and tells how many are new. A page that is known keeps everything but what the sitemap
-- says of it.
-- $1 bigint  domain, $2 bigint  sitemap_file
-- $3 text[] url, $4 timestamptz[] lastmod, $5 text[] changefreq, $6 real[] priority
-- $7 text[] page_type, $8 text[] rule, $9 real[] confidence, $10 smallint[] path_depth, $11 text[] queue | keep | filter
-- $12 smallint  version of the rules, $13 boolean  whether pages of interest are Selected
-- $14 text[] url_key, NULL for addresses without a query
-- Asked for: pages of interest come first; what is to be filtered is, by the rule that says so.
-- A page that is known under another spelling is taken by the one it has.
WITH listed AS (
    SELECT given.*, CASE WHEN url_key IS NULL THEN given_url ELSE coalesce(
        (SELECT known.url FROM page AS known WHERE known.domain_id = $1 AND known.url_key = given.url_key),
        (SELECT known.url FROM page AS known WHERE known.domain_id = $1 AND known.url = given.url_key), given_url) END AS url
    FROM unnest($3, $14, $4, $5, $6, $7, $8, $9, $10, $11)
        AS given(given_url, url_key, lastmod, changefreq, priority, page_type, rule, confidence, path_depth, disposition)
), stored AS (
    INSERT INTO page AS known (domain_id, sitemap_file_id, url, url_key, last_modified, changefreq, sitemap_priority,
        page_type, page_rule, page_confidence, rules_version, path_depth, status, {columns})
    SELECT $1, $2, url, url_key, lastmod, changefreq, priority, page_type, rule, confidence, $12, path_depth,
        CASE WHEN disposition = 'queue' AND $13 THEN 'Selected' ELSE 'New' END,
        {values}
    FROM listed
    ON CONFLICT (domain_id, url) DO UPDATE
    SET last_modified = coalesce(excluded.last_modified, known.last_modified), changefreq = coalesce(excluded.changefreq, known.changefreq),
        sitemap_priority = coalesce(excluded.sitemap_priority, known.sitemap_priority)
    WHERE (coalesce(excluded.last_modified, known.last_modified), coalesce(excluded.changefreq, known.changefreq), coalesce(excluded.sitemap_priority, known.sitemap_priority))
        IS DISTINCT FROM (known.last_modified, known.changefreq, known.sitemap_priority)
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS stored FROM stored
