-- Stores domains that are new. Known ones stay as they are, but for those still New where they are to be queued.
-- $1 boolean  whether to queue them (Selected)
-- $2 text[] domain, $3 text[] registrable_domain
WITH stored AS (
    INSERT INTO domain AS known (domain, registrable_domain, status)
    SELECT host, registrable, CASE WHEN $1 THEN 'Selected' ELSE 'New' END FROM unnest($2, $3) AS given(host, registrable)
    ON CONFLICT (domain) DO UPDATE SET status = 'Selected' WHERE $1 AND known.status = 'New'
    RETURNING xmax = 0 AS is_new
)
SELECT count(*) FILTER (WHERE is_new) AS stored, count(*) FILTER (WHERE $1) AS queued FROM stored
