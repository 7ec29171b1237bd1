-- Stores pages that are new to their domain, and to its registrable domain (whose sitemaps may list them). Whoever imports a page
-- wants it: none is filtered by its category.
-- $1 boolean  whether to queue them (Selected)
-- $2 text[] domain, $3 text[] registrable_domain, $4 text[] url
-- $5 text[] page_type, $6 text[] rule, $7 real[] confidence, $8 smallint[] path_depth, $9 smallint[] priority
-- $10 smallint[] version of the rules, $11 text[] url_key, NULL for addresses without a query
-- Asked for: the priority of the curation.
-- One that is known under another spelling is taken by the one it has.
WITH stored AS (
    INSERT INTO page AS known (domain_id, url, url_key, page_type, page_rule, page_confidence, path_depth, {columns},
        rules_version, status)
    SELECT its.id, CASE WHEN given.url_key IS NULL THEN given.url ELSE coalesce(
            (SELECT own.url FROM page AS own WHERE own.domain_id = its.id AND own.url_key = given.url_key),
            (SELECT own.url FROM page AS own WHERE own.domain_id = its.id AND own.url = given.url_key), given.url) END, given.url_key, given.page_type, given.rule, given.confidence, given.path_depth, {values},
        given.version, CASE WHEN $1 THEN 'Selected' ELSE 'New' END
    FROM unnest($2, $3, $4, $11, $5, $6, $7, $8, $9, $10)
        AS given(host, registrable, url, url_key, page_type, rule, confidence, path_depth, priority, version)
    JOIN domain AS its ON its.domain = given.host
    WHERE CASE WHEN given.registrable <> given.host THEN coalesce(
        (SELECT there.id FROM domain AS main JOIN page AS there ON there.domain_id = main.id
            WHERE main.domain = given.registrable AND there.url_key = given.url_key),
        (SELECT there.id FROM domain AS main JOIN page AS there ON there.domain_id = main.id
            WHERE main.domain = given.registrable AND there.url = coalesce(given.url_key, given.url))) END IS NULL
    ORDER BY its.id, given.url
    ON CONFLICT (domain_id, url) DO UPDATE SET status = 'Selected' WHERE $1 AND known.status = 'New'
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS stored, count(*) FILTER (WHERE $1) AS queued FROM stored
