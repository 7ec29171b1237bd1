SELECT c.seq, c.page_from AS page, c.page_to, c.start_char AS start, c.end_char AS "end", c.locator,
    coalesce(substr(said.text, (c.start_char - said.start_char)::integer + 1, (c.end_char - c.start_char)::integer), '') AS text
FROM (
    SELECT own.* FROM documents AS d JOIN chunk AS own ON own.document_id = d.id AND own.tenant_id = d.tenant_id
    WHERE d.tenant_id = $1 AND d.uid = $2::uuid AND d.deleted_at IS NULL AND own.seq > $3
    ORDER BY own.seq LIMIT $4
) AS c
CROSS JOIN LATERAL (
    SELECT string_agg(p.text, chr(12) ORDER BY p.number) AS text, min(p.start_char) AS start_char FROM document_page AS p
    WHERE p.document_id = c.document_id AND p.tenant_id = $1 AND p.number BETWEEN c.page_from AND c.page_to
) AS said
ORDER BY c.seq
