-- The stages of this database, with what the program needs to know of each.
SELECT n.nspname::text AS schema_name, c.relname::text AS table_name, gleaner_label(known.stage_table) AS table_label, known.stage, known.label AS name,
       known.key_columns, ARRAY(SELECT coalesce(format_type(a.atttypid, -1), 'unknown') FROM unnest(known.key_columns) WITH ORDINALITY AS part(name, place)
           LEFT JOIN pg_attribute AS a ON a.attrelid = known.stage_table AND a.attname = part.name AND NOT a.attisdropped ORDER BY place) AS key_types,
       known.has_handle, known.added,
       EXISTS (SELECT FROM pg_trigger WHERE tgrelid = known.stage_table AND tgname = 'gleaner_3_touch') AS touches,
       c.relkind = 'p' AS is_partitioned
FROM gleaner_stages() AS known JOIN pg_class AS c ON c.oid = known.stage_table JOIN pg_namespace AS n ON n.oid = c.relnamespace
