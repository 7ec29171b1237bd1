-- New rows of the history, each result's at most once.
-- $1 bigint[]       page
-- $2 bigint[]       result, NULL for none
-- $3 text[]         price
-- $4 text[]         currency
-- $5 text[]         price before a reduction
-- $6 text[]         availability
-- $7 boolean[]      whether it can be bought
-- $8 text[]         source
-- $9 text[]         where on the page the price was found
-- $10 float8[]      confidence
-- $11 timestamptz[] first seen
-- $12 timestamptz[] last seen
INSERT INTO price_history (product_url_id, crawl_result_id, price, currency, original_price, availability, is_available, source,
    extraction_method, confidence, scraped_at, last_confirmed_at)
SELECT url, result, price::numeric, currency, list_price::numeric, availability, is_available, source, method, confidence, since, until
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::text[], $9::text[], $10::float8[],
    $11::timestamptz[], $12::timestamptz[])
    AS fresh(url, result, price, currency, list_price, availability, is_available, source, method, confidence, since, until)
ON CONFLICT (crawl_result_id) DO NOTHING
RETURNING id, crawl_result_id AS result
