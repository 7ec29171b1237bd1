-- Gives stored pages what the rules make of them now, and says what that changed. Rows that stay as they are are not written.
-- $1 bigint[] id, $2 text[] page_type, $3 text[] rule, $4 real[] confidence, $5 smallint[] path_depth, $6 text[] queue | keep | filter
-- $7 smallint  version of the rules, $8 boolean  whether pages of interest are Selected
-- Asked for: what the effect means for the curation.
WITH given AS (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6) AS given(id, page_type, rule, confidence, path_depth, disposition)
), known AS MATERIALIZED (
    -- A page on another site was filtered for that, whatever its address says.
    SELECT page.id, page.page_type, page.page_rule = 'other_site' AS is_foreign,
        page.status = 'New' AND page.curation_lease IS NULL AND page.curation_status IS NULL AS is_open,
        page.status = 'New' AND page.curation_lease IS NULL AND page.curation_status = 'Filtered'
            AND page.curation_error IS NOT DISTINCT FROM page.page_rule AND page.page_rule <> 'other_site' AS is_filtered_by_rule
    FROM page WHERE page.id = ANY ($1) ORDER BY page.id FOR UPDATE
), decided AS (
    SELECT given.*, known.page_type AS old_type, coalesce(known.is_foreign, false) AS is_foreign,
        CASE
            WHEN disposition = 'queue' AND $8 AND is_filtered_by_rule THEN 'queued'
            WHEN disposition = 'queue' AND $8 AND is_open AND known.page_type <> given.page_type THEN 'queued'
            WHEN disposition = 'filter' AND (is_open OR is_filtered_by_rule) THEN 'filtered'
            WHEN is_filtered_by_rule THEN 'freed'
            ELSE 'kept'
        END AS effect
    FROM known JOIN given USING (id)
), changed AS (
    UPDATE page AS item SET page_type = decided.page_type, page_confidence = decided.confidence, path_depth = decided.path_depth,
        page_rule = CASE WHEN is_foreign THEN page_rule ELSE decided.rule END, rules_version = $7,
        -- Selected, as by a person: the trigger queues it.
        status = CASE WHEN effect = 'queued' THEN 'Selected' ELSE status END,
        {set}
    FROM decided
    WHERE item.id = decided.id AND (item.page_type, item.page_confidence, item.path_depth, item.rules_version,
            CASE WHEN is_foreign THEN decided.rule ELSE item.page_rule END)
        IS DISTINCT FROM (decided.page_type, decided.confidence, decided.path_depth, $7, decided.rule)
    RETURNING decided.old_type, item.page_type AS new_type, decided.effect
)
SELECT old_type, new_type, effect, count(*) AS pages FROM changed GROUP BY old_type, new_type, effect
