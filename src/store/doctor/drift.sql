-- What a migrated database must have and this one lacks, in words.
-- $1 text[] tables, $2 text[] the stage on each
WITH stage AS (SELECT * FROM unnest($1, $2) AS stage(tbl, stage)),
curated AS (
    SELECT DISTINCT tbl FROM stage WHERE EXISTS (SELECT 1 FROM pg_proc
        WHERE proname = 'gleaner_curate_' || tbl AND pronamespace = current_schema()::regnamespace)
),
wanted_trigger AS (
    SELECT tbl, format('gleaner_2_%s_%s', stage, event) AS name FROM stage, unnest('{insert,update}'::text[]) AS event
    UNION ALL SELECT tbl, 'gleaner_1_curation_' || event FROM curated, unnest('{insert,update}'::text[]) AS event
    UNION ALL SELECT 'workflow_control', 'workflow_control_notify'
    UNION ALL SELECT 'schedule_control', 'schedule_control_note'
),
wanted_privilege AS (
    SELECT DISTINCT tbl, privilege FROM stage, unnest('{SELECT,UPDATE,INSERT}'::text[]) AS privilege
    UNION ALL SELECT tbl, privilege FROM unnest('{node,lease,attempt,workflow_control,schedule,schedule_control,schedule_firing,set_aside}'::text[]) AS tbl,
        unnest('{SELECT,INSERT}'::text[]) AS privilege
)
SELECT format('column %s.%s%s', tbl, stage, suffix) AS missing
FROM stage, unnest('{_status,_priority,_due_at,_attempts,_lease,_error}'::text[]) AS suffix
WHERE NOT EXISTS (SELECT 1 FROM pg_attribute
    WHERE attrelid = to_regclass(tbl) AND attname = stage || suffix AND NOT attisdropped)
UNION ALL
SELECT format('valid index %s_%s%s', tbl, stage, suffix) FROM stage, unnest('{_queued_idx,_held_idx}'::text[]) AS suffix
WHERE NOT EXISTS (SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = to_regclass(tbl) AND relname = tbl || '_' || stage || suffix AND indisvalid AND indisready)
UNION ALL
SELECT format('enabled trigger %s on %s', name, tbl) FROM wanted_trigger
WHERE NOT EXISTS (SELECT 1 FROM pg_trigger
    WHERE tgrelid = to_regclass(tbl) AND tgname = name AND tgenabled IN ('O', 'A'))
UNION ALL
SELECT format('privilege %s on %s for %s', privilege, tbl, current_user) FROM wanted_privilege
WHERE to_regclass(tbl) IS NOT NULL AND NOT has_table_privilege(to_regclass(tbl), privilege)
ORDER BY 1
