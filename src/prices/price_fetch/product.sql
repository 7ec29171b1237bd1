-- Fills what is not known yet of products from what their pages call them.
-- $1 bigint[] jobs
-- $2 text[]   names
-- $3 text[]   brands
-- $4 text[]   article numbers
-- $5 text[]   GTINs
-- $6 text[]   part numbers
-- $7 text[]   pictures
WITH told AS (
    SELECT DISTINCT ON (url.product_id) url.product_id AS id, fact.*
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS fact(job, name, brand, sku, gtin, mpn, image_url)
    JOIN crawl_job job ON job.id = fact.job
    JOIN product_url url ON url.id = job.product_url_id
    WHERE url.product_id IS NOT NULL
    ORDER BY url.product_id, fact.job
), known AS (
    SELECT product.id FROM product JOIN told USING (id)
    WHERE (product.name = '' AND told.name IS NOT NULL)
       OR (product.brand IS NULL AND told.brand IS NOT NULL) OR (product.sku IS NULL AND told.sku IS NOT NULL)
       OR (product.gtin IS NULL AND told.gtin IS NOT NULL) OR (product.mpn IS NULL AND told.mpn IS NOT NULL)
       OR (product.image_url IS NULL AND told.image_url IS NOT NULL)
    ORDER BY product.id FOR UPDATE OF product
)
UPDATE product SET name = coalesce(nullif(product.name, ''), told.name, ''), brand = coalesce(product.brand, told.brand),
    sku = coalesce(product.sku, told.sku), gtin = coalesce(product.gtin, told.gtin), mpn = coalesce(product.mpn, told.mpn),
    image_url = coalesce(product.image_url, told.image_url)
FROM known JOIN told USING (id)
WHERE product.id = known.id
