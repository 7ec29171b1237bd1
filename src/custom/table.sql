-- A table that is to be worked, as the catalogue has it. No name in it depends on the session's search_path.
-- $1 oid  the table
WITH RECURSIVE base AS (
    -- What a column holds beneath its domains, whose rules hold when it is assigned.
    SELECT a.attnum, a.atttypid AS type_id, a.atttypmod AS modifier
    FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT base.attnum, t.typbasetype, t.typtypmod FROM base JOIN pg_type AS t ON t.oid = base.type_id WHERE t.typtype = 'd'
)
SELECT own.nspname::text AS schema_name, c.relname::text AS table_name, c.relkind IN ('r', 'p') AS is_table,
    current_user::text AS role_name,
    ARRAY(SELECT substring(tgname FROM '^gleaner_2_([a-z][a-z0-9_]*)_insert$') FROM pg_trigger
        WHERE tgrelid = c.oid AND NOT tgisinternal AND tgname ~ '^gleaner_2_[a-z][a-z0-9_]*_insert$' ORDER BY tgname)::text[] AS stages,
    coalesce((SELECT json_agg(json_build_object(
        'name', a.attname, 'type', format_type(base.type_id, base.modifier), 'is_bytes', base.type_id = 'pg_catalog.bytea'::regtype,
        'is_generated', a.attgenerated <> '' OR a.attidentity = 'a',
        'can_select', has_column_privilege(c.oid, a.attnum, 'SELECT'), 'can_update', has_column_privilege(c.oid, a.attnum, 'UPDATE')) ORDER BY a.attnum)
        FROM pg_attribute AS a JOIN base ON base.attnum = a.attnum JOIN pg_type AS t ON t.oid = base.type_id AND t.typtype <> 'd'
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]')::text AS columns
FROM pg_class AS c JOIN pg_namespace AS own ON own.oid = c.relnamespace
WHERE c.oid = $1
