-- What is wrong with a stage besides what it lacks: what was switched off, who may not, what will be slow.
-- $1 bigint  the table
-- $2 text    the stage
-- $3 text[]  columns of the key
-- $4 boolean whether rows have a number of the engine's
WITH own AS (
    SELECT c.*, nspname, format('%I.%I', nspname, relname) AS named, gleaner_label(c.oid) AS label
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = $1::oid
), part AS (
    SELECT c.oid, c.relname, c.reloptions, c.reltuples, c.relkind FROM pg_class AS c
    WHERE c.oid = $1::oid OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass))
)
SELECT true AS is_failure, format('the trigger %s is switched off%s', tgname, CASE WHEN part.oid = own.oid THEN '' ELSE ' for ' || part.oid::regclass END) AS found,
    format('ALTER TABLE %s ENABLE TRIGGER %I', own.named, tgname) AS advice
FROM own, part JOIN pg_trigger ON tgrelid = part.oid
WHERE (tgname ~ ('^gleaner_2_' || $2 || '_(insert|update)$') OR ($4 AND tgname ~ '^gleaner_(0|2z)_handle_(insert|update)$')) AND tgenabled NOT IN ('O', 'A')
UNION ALL
SELECT true, format('the trigger %s is gone', name), format('run `gleaner stage add %s %s` again', quote_literal(own.label), $2)
FROM own, unnest('{gleaner_0_handle_insert,gleaner_0_handle_update}'::text[]) AS name
WHERE $4 AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = own.oid AND tgname = name)
UNION ALL
SELECT true, format('%s may not use the schema %s', current_user, own.nspname), format('GRANT USAGE ON SCHEMA %I TO %I', own.nspname, current_user)
FROM own WHERE NOT has_schema_privilege(own.relnamespace, 'USAGE')
UNION ALL
SELECT true, format('%s may not %s %s', current_user, privilege, own.label), format('GRANT %s ON %s TO %I', privilege, own.named, current_user)
FROM own, unnest('{SELECT,UPDATE}'::text[]) AS privilege WHERE NOT has_table_privilege(own.oid, privilege)
UNION ALL
SELECT true, format('row-level security hides rows of %s from %s', own.label, current_user),
    format('have the engine see all of them: ALTER ROLE %I BYPASSRLS, or a policy for it', current_user)
FROM own WHERE row_security_active(own.oid)
UNION ALL
SELECT false, format('no index keeps the key (%s) unique by itself', array_to_string($3, ', ')),
    'two rows with one key would both be meant wherever people name it: see that there are none, or drop the stage and add it with the columns of the unique index as its key'
FROM own, LATERAL (SELECT string_agg(attnum::text, ' ') FROM pg_attribute WHERE attrelid = own.oid AND attname = ANY ($3)) AS known
WHERE NOT EXISTS (SELECT FROM pg_index WHERE indrelid = own.oid AND indisunique AND indisvalid AND indpred IS NULL AND indexprs IS NULL
    AND NOT EXISTS (SELECT FROM unnest((indkey::smallint[])[0:indnkeyatts - 1]) AS at
        WHERE at NOT IN (SELECT attnum FROM pg_attribute WHERE attrelid = own.oid AND attname = ANY ($3))))
UNION ALL
SELECT false, format('autovacuum is switched off for %s', part.oid::regclass), format('ALTER TABLE %s RESET (autovacuum_enabled)', part.oid::regclass)
FROM part, pg_options_to_table(reloptions) WHERE option_name = 'autovacuum_enabled' AND NOT option_value::boolean
UNION ALL
-- Each row that is worked leaves three versions or so. At a fifth of a large table, the indexes have grown before anybody cleans up.
SELECT false, format('autovacuum comes to %s after %s dead rows', part.oid::regclass, round(reltuples::numeric * scale::numeric)),
    format('ALTER TABLE %s SET (autovacuum_vacuum_scale_factor = 0.01)', part.oid::regclass)
FROM part, LATERAL (SELECT coalesce((SELECT option_value::float8 FROM pg_options_to_table(reloptions)
    WHERE option_name = 'autovacuum_vacuum_scale_factor'), current_setting('autovacuum_vacuum_scale_factor')::float8) AS scale) AS setting
WHERE relkind = 'r' AND reltuples * scale > 200000
