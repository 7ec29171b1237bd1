-- The queue of jobs from a frontier on, in its order: what is known to wait before it, and what lies past it; see claim_past.sql.
-- $9 int[], $10 int[], $11 smallint[], $12 timestamptz[], $13 bigint[]  the ranges
-- $14 bigint[]  jobs before the frontier that were seen waiting
-- OFFSET 0 keeps the planner from taking the parts to pieces: each is read along its index, in its order, as far as it is needed.
-- The job itself is looked up again, so that only those are locked that are handed out.
unnest($9, $10, $11, $12, $13) WITH ORDINALITY AS range(above, upto, kind, due_at, id, place)
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT queued.id FROM crawl_job AS queued
        WHERE range.kind = 0 AND crawl_status = 'Queued' AND crawl_due_at <= now()
          AND crawl_priority > range.above AND crawl_priority <= range.upto
        ORDER BY crawl_priority DESC, crawl_due_at, queued.id OFFSET 0
    ) AS unknown
    UNION ALL
    SELECT * FROM (
        SELECT queued.id FROM crawl_job AS queued
        WHERE range.kind = 1 AND queued.id = ANY ((SELECT $14::bigint[])::bigint[])
          AND coalesce(crawl_status, '') = 'Queued' AND crawl_due_at <= now() AND crawl_priority = range.upto
        ORDER BY crawl_due_at, queued.id OFFSET 0
    ) AS stray
    UNION ALL
    SELECT * FROM (
        SELECT queued.id FROM crawl_job AS queued
        WHERE range.kind = 2 AND crawl_status = 'Queued' AND crawl_due_at <= now()
          AND crawl_priority = range.upto AND (crawl_due_at, queued.id) > (range.due_at, range.id)
        ORDER BY crawl_due_at, queued.id OFFSET 0
    ) AS ahead
) AS head
JOIN crawl_job AS job ON job.id = head.id
