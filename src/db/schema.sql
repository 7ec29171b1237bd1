-- Writes src/db/schema.rs from the catalogue of a migrated database; the test `schema` compares the two.
WITH columns AS (
    SELECT c.relname AS tbl, a.attnum, a.attname AS col, col_description(c.oid, a.attnum) AS doc,
        CASE a.atttypid::regtype::text
            WHEN 'bigint' THEN 'Int8' WHEN 'integer' THEN 'Int4' WHEN 'smallint' THEN 'Int2'
            WHEN 'text' THEN 'Text' WHEN 'boolean' THEN 'Bool' WHEN 'jsonb' THEN 'Jsonb'
            WHEN 'numeric' THEN 'Numeric' WHEN 'interval' THEN 'Interval' WHEN 'bytea' THEN 'Bytea'
            WHEN 'double precision' THEN 'Float8' WHEN 'real' THEN 'Float4'
            WHEN 'timestamp with time zone' THEN 'Timestamptz' WHEN 'text[]' THEN 'Array<Text>'
            ELSE 'unmapped_' || a.atttypid::regtype::text END AS typ, a.attnotnull AS required
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname !~ '^(__|bench_)'
), keys AS (
    SELECT c.relname AS tbl, coalesce((SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_index i
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
            WHERE i.indrelid = c.oid AND i.indisprimary), 'settled_at, item_id') AS key,
        obj_description(c.oid) AS doc
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
), tables AS (
    SELECT tbl, format(E'diesel::table! {\n    /// %s\n    %s (%s) {\n%s\n    }\n}\n', keys.doc, tbl, key,
        string_agg(format(E'        /// %s\n%s        %s -> %s,', columns.doc,
            CASE WHEN col = tbl THEN format(E'        #[sql_name = "%s"]\n', col) ELSE '' END,
            CASE WHEN col = tbl THEN col || '_' ELSE col END,
            CASE WHEN required THEN typ ELSE 'Nullable<' || typ || '>' END), E'\n' ORDER BY attnum)) AS text
    FROM columns JOIN keys USING (tbl) GROUP BY tbl, keys.doc, key
)
SELECT E'//! The tables as diesel sees them, from the catalogue of a migrated database.\n//!\n//! Written by `schema.sql`; the test `schema` fails when this file and the database differ, and rewrites it when told to.\n\n#![expect(clippy::doc_markdown, reason = "comments of the database")]\n\n'
    || string_agg(text, E'\n' ORDER BY tbl) || E'\ndiesel::allow_tables_to_appear_in_same_query!(\n'
    || string_agg('    ' || tbl || ',', E'\n' ORDER BY tbl) || E'\n);\n' AS schema
FROM tables
