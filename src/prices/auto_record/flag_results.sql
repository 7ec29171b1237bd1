-- What was decided of results.
-- $1 bigint[]  their keys
-- $2 text[]    history_record_status
UPDATE crawl_result AS r
SET history_record_status = decided.status, history_recorded = decided.status IN ('recorded', 'duplicate'), history_recorded_at = now()
FROM unnest($1::bigint[], $2::text[]) AS decided(id, status)
WHERE r.id = decided.id AND r.id = ANY ((SELECT $1::bigint[])::bigint[])
