SELECT tenant.uid::text AS tenant, tenant.name, tenant.quota_bytes, tenant.used_bytes, tenant.reserved_bytes, tenant.created_at,
    coalesce(sum(own.documents), 0)::bigint AS total_documents, coalesce(sum(own.chunks), 0)::bigint AS total_chunks,
    coalesce(sum(own.pages), 0)::bigint AS total_pages,
    jsonb_build_object('queued', 0, 'processing', 0, 'ready', 0, 'failed', 0, 'cancelled', 0)
        || coalesce(jsonb_object_agg(own.status, own.documents) FILTER (WHERE own.status IS NOT NULL), '{}') AS documents_by_status
FROM tenant
LEFT JOIN (
    SELECT d.tenant_id, d.status, count(*) AS documents, sum(d.total_chunks) AS chunks, sum(d.page_count) AS pages
    FROM documents AS d
    WHERE d.tenant_id = $1 AND d.deleted_at IS NULL
    GROUP BY d.tenant_id, d.status
) AS own ON own.tenant_id = tenant.id
WHERE tenant.id = $1
GROUP BY tenant.id
