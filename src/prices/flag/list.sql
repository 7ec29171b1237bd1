-- Flags, the newest first.
-- $1 text[]    states, empty for any
-- $2 text      kind, NULL for any
-- $3 text      the site's domain, NULL for any
-- $4 bigint[]  numbers, empty for any
-- $5 bigint    only older ones than this, NULL for all
-- $6 bigint    at most so many
SELECT flag.id, kind, status, site.domain, coalesce(url.url, url.raw_url) AS url, message,
    to_char(opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS opened_at,
    to_char(resolved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS resolved_at, resolved_by
FROM flag LEFT JOIN site ON site.id = flag.site_id LEFT JOIN product_url url ON url.id = flag.product_url_id
WHERE (cardinality($1) = 0 OR status = ANY ($1)) AND ($2 IS NULL OR kind = $2) AND ($3 IS NULL OR site.domain = lower($3))
  AND (cardinality($4) = 0 OR flag.id = ANY ($4)) AND ($5 IS NULL OR flag.id < $5)
ORDER BY flag.id DESC LIMIT $6
