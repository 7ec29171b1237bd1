-- The table of this name, as PostgreSQL reads names: in lower case unless in double quotes, by the search path unless with a schema.
-- $1 text  the name
SELECT n.nspname::text AS schema_name, c.relname::text AS table_name, gleaner_label(c.oid) AS label, c.oid::bigint AS oid,
       greatest(c.reltuples, (SELECT sum(greatest(leaf.reltuples, 0)) FROM pg_partition_tree(c.oid) JOIN pg_class AS leaf ON leaf.oid = relid WHERE isleaf), 0)::bigint AS rows
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1)
