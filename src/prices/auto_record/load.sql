-- What results are judged by.
-- $1 bigint[]  their keys
-- The model's confidence stands in the parsed data, where bots put it.
SELECT r.id, r.product_url_id AS url, r.crawled_at AS at, r.success, left(r.error, 200) AS error, r.history_recorded AS is_recorded,
       s.domain, s.currency AS site_currency, r.price::text AS price, r.currency, r.list_price::text AS list_price,
       r.availability, r.in_stock, r.price_sources AS sources, r.confidence::float8 AS confidence,
       CASE WHEN 'html_ml' = ANY (r.price_sources)
           THEN coalesce(r.parsed_data #>> '{price_extraction,extract_price_from_html_ml,confidence}', r.parsed_data ->> 'confidence')
       END AS ml_confidence
FROM crawl_result r JOIN site s ON s.id = r.site_id
WHERE r.id = ANY ((SELECT $1::bigint[])::bigint[])
