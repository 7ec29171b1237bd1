DROP TRIGGER page_url_key ON page;
DROP TRIGGER sitemap_file_url_key ON sitemap_file;
DROP FUNCTION gleaner_forget_url_key;
ALTER TABLE page DROP COLUMN url_key;
ALTER TABLE sitemap_file DROP COLUMN url_key;
COMMENT ON COLUMN page.url IS 'Its normalised address.';
COMMENT ON COLUMN sitemap_file.url IS 'Its normalised address.';
COMMENT ON COLUMN product_url.url IS 'The same, normalised, as it is fetched; NULL until admitted.';
COMMENT ON COLUMN product_url.url_hash IS 'SHA-256 of url, in hexadecimal; NULL until admitted.';
