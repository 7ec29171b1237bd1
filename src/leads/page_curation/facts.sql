-- Stores what pages tell of themselves. $1: an array of objects, each a row's id with its columns.
UPDATE page
SET title = new.title, description = new.description, language = new.language, h1 = new.h1, canonical_url = new.canonical_url,
    meta_robots = new.meta_robots, word_count = new.word_count, has_contact_form = new.has_contact_form,
    schema_types = new.schema_types, is_partial = new.is_partial, contact_scrape_status = new.contact_scrape_status, last_scan = now()
FROM jsonb_to_recordset($1) AS new (
    id bigint, title text, description text, language text, h1 text, canonical_url text, meta_robots text, word_count integer,
    has_contact_form boolean, schema_types text[], is_partial boolean, contact_scrape_status text)
WHERE page.id = new.id
