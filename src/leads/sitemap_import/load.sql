-- What sitemaps are imported from: each with the root it lies below, and what the budgets had room for a moment ago.
-- $1 bigint[] sitemap_file
WITH RECURSIVE line AS (
    SELECT id AS item, id, parent_id, discovery_method, vouched_by, 0 AS step FROM sitemap_file WHERE id = ANY($1)
    UNION ALL
    SELECT line.item, above.id, above.parent_id, above.discovery_method, above.vouched_by, line.step + 1
    FROM line JOIN sitemap_file AS above ON above.id = line.parent_id WHERE line.step < 100
), root AS (
    SELECT DISTINCT ON (item) item, id, discovery_method, vouched_by FROM line ORDER BY item, step DESC
)
SELECT file.id, file.url, file.depth, file.domain_id, file.last_processed_at IS NOT NULL AS is_known, domain.domain AS host,
    domain.registrable_domain AS registrable, root.id AS root,
    coalesce(file.vouched_by, root.vouched_by,
        CASE WHEN root.discovery_method IN ('robots_txt', 'manual') THEN domain.domain END) AS vouched_by,
    coalesce(of_root.pages, 0) AS root_pages, coalesce(of_root.bytes, 0) AS root_bytes,
    coalesce(of_domain.pages, 0) AS domain_pages, coalesce(of_domain.bytes, 0) AS domain_bytes
FROM sitemap_file AS file
JOIN domain ON domain.id = file.domain_id
JOIN root ON root.item = file.id
LEFT JOIN sitemap_budget AS of_root ON of_root.root_id = root.id
LEFT JOIN sitemap_budget AS of_domain
    ON of_domain.root_id IS NULL AND of_domain.registrable_domain = domain.registrable_domain
