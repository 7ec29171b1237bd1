-- Stores what a sitemap is, and tells what its size was before.
-- $1 bigint sitemap_file, $2 text type, NULL to keep it, $3 integer entries, NULL to keep it, $4 bigint size, NULL to keep it,
-- $5 boolean gzip, NULL to keep it, $6 boolean truncated, $7 text the limit, $8 integer sitemaps of others, $9 boolean read at all
UPDATE sitemap_file AS file
SET sitemap_type = coalesce($2, file.sitemap_type), url_count = coalesce($3, file.url_count), size_bytes = coalesce($4, file.size_bytes),
    is_gzipped = coalesce($5, file.is_gzipped), is_truncated = $6, stopped_by = $7, foreign_count = coalesce($8, file.foreign_count),
    last_processed_at = CASE WHEN $9 THEN now() ELSE file.last_processed_at END
FROM (SELECT id, size_bytes FROM sitemap_file WHERE id = $1) AS before
WHERE file.id = before.id
RETURNING coalesce(before.size_bytes, 0) AS size_before
