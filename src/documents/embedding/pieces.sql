SELECT d.id, CASE WHEN d.process_status = 'Completed' THEN coalesce(d.processing_completed_at::text, '') END AS reading, c.seq,
    substr(said.text, (c.start_char - said.start_char)::integer + 1, (c.end_char - c.start_char)::integer) AS text
FROM documents AS d
LEFT JOIN LATERAL (
    SELECT own.* FROM chunk AS own
    WHERE own.document_id = d.id AND d.process_status = 'Completed' AND NOT EXISTS (
        SELECT 1 FROM embedding AS e WHERE e.document_id = own.document_id AND e.seq = own.seq AND e.model = $2
    )
    ORDER BY own.seq LIMIT $3
) AS c ON true
LEFT JOIN LATERAL (
    SELECT string_agg(p.text, chr(12) ORDER BY p.number) AS text, min(p.start_char) AS start_char FROM document_page AS p
    WHERE p.document_id = d.id AND p.number BETWEEN c.page_from AND c.page_to
) AS said ON true
WHERE d.id = ANY ($1) AND d.deleted_at IS NULL
ORDER BY d.id, c.seq
