-- Stores the sitemaps that a discovery found: those that are new, as far as the domain may have more. Of known ones, whose
-- robots.txt names them.
-- $1 bigint[] domain, $2 text[] url, $3 text[] method, $4 text[] host whose robots.txt names it
-- $7 text[] url_key, NULL for addresses without a query
-- $5 boolean  whether they are Selected, $6 bigint  most sitemaps found per domain
WITH found AS (
    SELECT * FROM unnest($1, $2, $3, $4, $7) AS found(domain_id, url, method, vouched_by, url_key)
), vouched AS (
    UPDATE sitemap_file AS known SET vouched_by = found.vouched_by FROM found
    WHERE known.domain_id = found.domain_id AND (known.url IN (found.url, found.url_key) OR known.url_key = found.url_key)
        AND found.vouched_by IS NOT NULL AND known.vouched_by IS DISTINCT FROM found.vouched_by
), fresh AS (
    SELECT found.*, row_number() OVER (PARTITION BY domain_id ORDER BY url) AS place FROM found
    WHERE NOT EXISTS (SELECT FROM sitemap_file AS known WHERE known.domain_id = found.domain_id
        AND (known.url IN (found.url, found.url_key) OR known.url_key = found.url_key))
), stored AS (
    INSERT INTO sitemap_file (domain_id, url, url_key, discovery_method, vouched_by, status)
    SELECT domain_id, url, url_key, method, vouched_by, CASE WHEN $5 THEN 'Selected' ELSE 'New' END FROM fresh
    WHERE place <= $6 - (SELECT count(*) FROM sitemap_file AS known
        WHERE known.domain_id = fresh.domain_id AND known.discovery_method IN ('robots_txt', 'common_path', 'html_link'))
    ORDER BY domain_id, url
    ON CONFLICT DO NOTHING
    RETURNING domain_id, url
)
SELECT domain.registrable_domain AS registrable, stored.url FROM stored JOIN domain ON domain.id = stored.domain_id
