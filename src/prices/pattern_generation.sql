-- What patterns are learnt from: the sites' last pages, with the prices last recorded of them.
-- $1 bigint[] sites
-- $2 bigint   pages of each
SELECT site.id AS site_id, site.domain, site.currency AS site_currency, active.pattern::text AS active,
    page.url, page.body, page.price, page.currency, page.availability
FROM site
LEFT JOIN extraction_pattern active ON active.site_id = site.id AND active.status = 'active'
LEFT JOIN LATERAL (
    SELECT stored.url, stored.body, known.current_price::text AS price, known.current_currency AS currency,
        known.current_availability AS availability
    FROM product_url known JOIN product_page stored ON stored.product_url_id = known.id
    WHERE known.site_id = site.id AND known.is_active
    ORDER BY stored.fetched_at DESC, known.id LIMIT $2
) AS page ON true
WHERE site.id = ANY ($1)
