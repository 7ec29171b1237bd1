-- Opens unusable_row for what periodic work has set aside, about its page or site where it has one; one flag for all rows that have
-- none. Closes it where nothing was refused for a day. What a person wants left as it is stays closed while the reason is the same.
-- $1 bigint[]  of these rows of set_aside only, NULL for all; only then flags are closed
WITH aside AS MATERIALIZED (
    SELECT id, work, table_name, row_id, reason FROM set_aside
    WHERE until > now() - interval '1 day' AND ($1::bigint[] IS NULL OR id = ANY ($1))
      AND table_name IN ('site', 'product_url', 'crawl_policy', 'crawl_job', 'crawl_result', 'notification', 'product_page')
), due AS MATERIALIZED (
    SELECT DISTINCT ON (coalesce(page.site_id, site.id), page.id) page.id AS page, coalesce(page.site_id, site.id) AS site,
        left(format('%s cannot work row %s of %s: %s', aside.work, aside.row_id, aside.table_name, aside.reason), 500) AS message
    FROM aside
    LEFT JOIN site ON aside.table_name = 'site' AND site.id = aside.row_id
    LEFT JOIN crawl_job AS job ON aside.table_name = 'crawl_job' AND job.id = aside.row_id
    LEFT JOIN crawl_result AS result ON aside.table_name = 'crawl_result' AND result.id = aside.row_id
    LEFT JOIN notification AS notice ON aside.table_name = 'notification' AND notice.id = aside.row_id
    LEFT JOIN product_url AS page ON page.id = coalesce(job.product_url_id, result.product_url_id, notice.product_url_id,
        CASE WHEN aside.table_name IN ('product_url', 'product_page') THEN aside.row_id END)
    ORDER BY coalesce(page.site_id, site.id), page.id, aside.id DESC
), opened AS (
    INSERT INTO flag (kind, site_id, product_url_id, message)
    SELECT 'unusable_row', site, page, message FROM due
    WHERE NOT EXISTS (SELECT 1 FROM flag AS left_so WHERE left_so.kind = 'unusable_row' AND left_so.status = 'wont_fix'
        AND left_so.site_id IS NOT DISTINCT FROM due.site AND left_so.product_url_id IS NOT DISTINCT FROM due.page
        AND left_so.message = due.message)
    ON CONFLICT (kind, coalesce(site_id, 0), coalesce(product_url_id, 0)) WHERE status IN ('pending', 'in_progress')
    DO UPDATE SET message = excluded.message WHERE flag.message <> excluded.message
)
UPDATE flag SET status = 'resolved', resolved_at = now(), resolved_by = 'gleaner'
WHERE $1::bigint[] IS NULL AND kind = 'unusable_row' AND status IN ('pending', 'in_progress')
  AND NOT EXISTS (SELECT 1 FROM due WHERE due.site IS NOT DISTINCT FROM flag.site_id AND due.page IS NOT DISTINCT FROM flag.product_url_id)
