-- Stores contacts, each once per domain; the one with the higher confidence stays, and the first among equals.
-- $1 bigint[] domain, $2 bigint[] page, $3 text[] kind, $4 text[] value, $5 text[] detail, $6 text[] raw, $7 text[] source,
-- $8 real[] confidence, $9 text[] source_url
INSERT INTO contact AS known (domain_id, page_id, kind, value, detail, raw, source, confidence, source_url)
SELECT DISTINCT ON (domain_id, kind, value) domain_id, page_id, kind, value, detail, raw, source, confidence, source_url
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)
    AS found(domain_id, page_id, kind, value, detail, raw, source, confidence, source_url)
ORDER BY domain_id, kind, value, confidence DESC, page_id
ON CONFLICT (domain_id, kind, value) DO UPDATE
SET page_id = excluded.page_id, detail = excluded.detail, raw = excluded.raw, source = excluded.source,
    confidence = excluded.confidence, source_url = excluded.source_url
WHERE excluded.confidence > known.confidence
