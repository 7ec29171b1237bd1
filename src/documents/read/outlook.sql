SELECT
    CASE WHEN d.process_status = 'Queued' THEN 1 + (
        SELECT count(*) FROM (
            SELECT FROM documents AS other
            WHERE other.tenant_id = $1 AND other.process_status = 'Queued'
                AND (other.process_priority > d.process_priority
                    OR other.process_priority = d.process_priority AND (other.process_due_at, other.id) < (d.process_due_at, d.id))
            LIMIT $3
        ) AS before
    ) END AS queue_position,
    (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM recent.processing_completed_at - recent.processing_started_at)::double precision)
        FROM (
            SELECT other.processing_started_at, other.processing_completed_at FROM documents AS other
            WHERE other.tenant_id = $1 AND other.lane = d.lane AND other.process_status = 'Completed' AND other.deleted_at IS NULL
                AND other.processing_completed_at > now() - interval '30 days'
            ORDER BY other.processing_completed_at DESC LIMIT 20
        ) AS recent
    ) AS usual_seconds,
    extract(epoch FROM now() - d.processing_started_at)::double precision AS elapsed_seconds,
    (SELECT tenant.max_running FROM tenant WHERE tenant.id = $1) AS at_a_time
FROM documents AS d
WHERE d.tenant_id = $1 AND d.uid = $2::uuid AND d.deleted_at IS NULL
