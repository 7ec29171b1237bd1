-- The table of a stage, as statements have to name it.
-- $1 text  the table, quoted
-- $2 text  the stage
SELECT quote_ident(own.nspname) || '.' || quote_ident(c.relname) AS table_name, c.relkind IN ('r', 'p') AS is_table,
    (SELECT count(*) = 6 FROM pg_attribute WHERE attrelid = c.oid AND NOT attisdropped AND attnum > 0
        AND attname = ANY (ARRAY(SELECT $2 || suffix FROM unnest('{_status,_priority,_due_at,_attempts,_lease,_error}'::text[]) AS suffix)))
    AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = format('gleaner_2_%s_update', $2) AND tgenabled IN ('O', 'A'))
        AS is_stage,
    ARRAY(SELECT quote_ident(a.attname) FROM unnest(unique_key.columns) WITH ORDINALITY AS part(number, place)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = part.number ORDER BY place) AS columns,
    ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM unnest(unique_key.columns) WITH ORDINALITY AS part(number, place)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = part.number ORDER BY place) AS types
FROM pg_class AS c JOIN pg_namespace AS own ON own.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT (i.indkey::smallint[])[0:i.indnkeyatts - 1] AS columns FROM pg_index AS i
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
      AND NOT EXISTS (SELECT FROM unnest((i.indkey::smallint[])[0:i.indnkeyatts - 1]) AS number
          JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = number WHERE NOT a.attnotnull)
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1
) AS unique_key ON true
WHERE c.oid = to_regclass($1)
