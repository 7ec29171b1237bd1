SELECT p.number AS page, p.start_char AS start, p.start_char + p.chars AS "end", p.source, p.locator, p.text
FROM (
    SELECT sized.document_id, sized.number, sum(sized.chars) OVER (ORDER BY sized.number) AS together,
        row_number() OVER (ORDER BY sized.number) AS place
    FROM (
        SELECT own.document_id, own.number, own.chars
        FROM documents AS d JOIN document_page AS own ON own.document_id = d.id AND own.tenant_id = d.tenant_id
        WHERE d.tenant_id = $1 AND d.uid = $2::uuid AND d.deleted_at IS NULL AND own.number > $3
        ORDER BY own.number LIMIT $4
    ) AS sized
) AS chosen
JOIN document_page AS p ON p.document_id = chosen.document_id AND p.number = chosen.number AND p.tenant_id = $1
WHERE chosen.together <= $5 OR chosen.place = 1
ORDER BY p.number
