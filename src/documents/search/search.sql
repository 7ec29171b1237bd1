WITH best AS (
    SELECT hit.score, d.uid, d.uid::text AS document_id, d.filename, c.document_id AS key, c.seq, c.page_from, c.page_to, c.start_char,
        c.end_char, c.locator, c.config
    FROM gleaner_search($2, $3, $4, $5, $6, $7, $8) AS hit
    JOIN chunk AS c ON c.id = hit.chunk_id AND c.tenant_id = $1
    JOIN documents AS d ON d.id = c.document_id AND d.tenant_id = $1 AND d.deleted_at IS NULL
    WHERE $9 IS NULL OR (hit.score, d.uid, c.seq) < ($9, $10::uuid, $11)
    ORDER BY hit.score DESC, d.uid DESC, c.seq DESC
    LIMIT $12
)
SELECT best.document_id, best.filename, best.seq, best.page_from, best.page_to, best.start_char, best.end_char,
    coalesce(best.start_char - said.start_char, 0) AS page_start, best.locator, best.score, coalesce(piece.text, '') AS text,
    coalesce(ts_headline(best.config::regconfig, translate(piece.text, '<>&' || chr($13) || chr($14), '     '),
        gleaner_any_word(best.config::regconfig, $2), 'HighlightAll=true,StartSel=' || chr($13) || ',StopSel=' || chr($14)), '') AS marked
FROM best
CROSS JOIN LATERAL (
    SELECT string_agg(p.text, chr(12) ORDER BY p.number) AS text, min(p.start_char) AS start_char FROM document_page AS p
    WHERE p.document_id = best.key AND p.tenant_id = $1 AND p.number BETWEEN best.page_from AND best.page_to
) AS said
CROSS JOIN LATERAL (
    SELECT substr(said.text, (best.start_char - said.start_char)::integer + 1, (best.end_char - best.start_char)::integer) AS text
) AS piece
ORDER BY best.score DESC, best.uid DESC, best.seq DESC
