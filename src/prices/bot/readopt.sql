-- Gives jobs whose lease has ended, and which nobody took since, back into the hands they fell from, under a lease that stands: what
-- those hands still bring counts like any result.
-- $1 bigint      the lease
-- $2 bigint[]    jobs, locked and judged by the caller
-- $3 smallint[]  the attempts that are reported
UPDATE crawl_job AS job
SET crawl_status = 'Processing', crawl_lease = $1, crawl_attempts = late.attempt, crawl_due_at = NULL
FROM unnest($2, $3) AS late(id, attempt)
WHERE job.id = late.id
