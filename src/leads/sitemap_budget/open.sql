-- Makes the accounts that are missing, each with what is stored already. Run at every import; counts only for what is new.
-- $1 text[] registrable_domain, $2 bigint[] root, NULL for the domain as a whole
INSERT INTO sitemap_budget (registrable_domain, root_id, files, pages, bytes, hosts)
SELECT missing.registrable, missing.root, stored.files, stored.pages, stored.bytes, stored.hosts
FROM (
    SELECT registrable, root FROM unnest($1, $2) AS wanted(registrable, root)
    WHERE NOT EXISTS (SELECT FROM sitemap_budget AS known WHERE known.root_id = wanted.root)
        AND NOT EXISTS (SELECT FROM sitemap_budget AS known
            WHERE wanted.root IS NULL AND known.root_id IS NULL AND known.registrable_domain = wanted.registrable)
    -- Nothing is counted before it is known what is missing.
    OFFSET 0
) AS missing
CROSS JOIN LATERAL (
    WITH RECURSIVE own AS (
        (SELECT file.id, file.url, file.size_bytes, 0 AS step FROM sitemap_file AS file WHERE file.id = missing.root
        UNION ALL
        SELECT file.id, file.url, file.size_bytes, 0
        FROM domain JOIN sitemap_file AS file ON file.domain_id = domain.id
        WHERE missing.root IS NULL AND domain.registrable_domain = missing.registrable)
        UNION ALL
        SELECT file.id, file.url, file.size_bytes, own.step + 1
        FROM own JOIN sitemap_file AS file ON file.parent_id = own.id
        WHERE missing.root IS NOT NULL AND own.step < 100
    )
    SELECT count(*) AS files, coalesce(sum(size_bytes), 0)::bigint AS bytes,
        CASE WHEN missing.root IS NULL
            THEN (SELECT count(*) FROM domain JOIN page ON page.domain_id = domain.id
                WHERE domain.registrable_domain = missing.registrable)
            ELSE (SELECT count(*) FROM own AS file JOIN page ON page.sitemap_file_id = file.id) END AS pages,
        coalesce((array_agg(DISTINCT substring(url FROM '^[a-z]+://([^/:?#]+)'))
            FILTER (WHERE url ~ '^[a-z]+://[^/:?#]+'))[:1000], '{}') AS hosts
    FROM own
) AS stored
ORDER BY missing.registrable, missing.root NULLS FIRST
ON CONFLICT DO NOTHING
