-- The helpers of before: one call for a table, and the column goes with it. Tables that have a user status keep it, with all that
-- follows it, as triggers without arguments.
--
-- Locks: as up.sql.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT tgrelid::regclass AS curated, tgfoid::regproc AS curate FROM pg_trigger
        WHERE tgname = 'gleaner_1_curation_insert' AND NOT tgisinternal
        ORDER BY tgrelid
    LOOP
        EXECUTE format('DROP TRIGGER gleaner_1_curation_insert ON %s', made.curated);
        EXECUTE format($sql$
            CREATE TRIGGER gleaner_1_curation_insert BEFORE INSERT ON %s FOR EACH ROW
                WHEN (NEW.status = 'Selected') EXECUTE FUNCTION %s()
            $sql$, made.curated, made.curate);
    END LOOP;
END $$;

DROP FUNCTION gleaner_drop_curation(regclass, text[]);
DROP FUNCTION gleaner_follow_curation(regclass, text, text[]);
DROP FUNCTION gleaner_curation(regclass);

-- Gives a table the user status, which queues the named stages when a row becomes Selected and un-queues them when it
-- leaves Selected; a row in hand is finished then, but not worked again. In the database, so that every writer gets it.
CREATE OR REPLACE FUNCTION gleaner_add_curation(curated regclass, stages text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tbl text := (SELECT relname FROM pg_class WHERE oid = curated);
    stage text;
    queue_all text := '';
    unqueue_all text := '';
BEGIN
    FOREACH stage IN ARRAY stages LOOP
        queue_all := queue_all || format(
            'IF NEW.%1$I IS NULL OR NEW.%1$I = ''Error'' THEN NEW.%1$I := ''Queued''; END IF; ', stage || '_status');
        unqueue_all := unqueue_all || format(
            'IF NEW.%1$I = ''Queued'' THEN NEW.%1$I := NULL; ELSIF NEW.%1$I = ''Processing'' AND NEW.%2$I IS NOT NULL THEN NEW.%3$I := NULL; END IF; ',
            stage || '_status', stage || '_lease', stage || '_due_at');
    END LOOP;
    EXECUTE format($sql$
        ALTER TABLE %s ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'New',
            ADD CONSTRAINT %I CHECK (status IN ('New', 'Selected', 'Maybe', 'Not a Fit', 'Archived'))
        $sql$, curated, tbl || '_status_check');
    EXECUTE format('COMMENT ON COLUMN %s.status IS %L', curated, format(
        'What a person makes of the row: New, Selected, Maybe, Not a Fit, Archived. Selected queues %s unless done already; leaving Selected un-queues.',
        array_to_string(stages, ' and ')));
    EXECUTE format($sql$
        CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql AS $fn$
        BEGIN
            IF NEW.status = 'Selected' THEN %2$s
            ELSE %3$s
            END IF;
            RETURN NEW;
        END $fn$
        $sql$, format('gleaner_curate_%s', tbl), queue_all, unqueue_all);
    EXECUTE format('COMMENT ON FUNCTION %I IS %L', format('gleaner_curate_%s', tbl),
        'Queues and un-queues with the user status; see gleaner_add_curation.');
    EXECUTE format($sql$
        CREATE TRIGGER gleaner_1_curation_insert BEFORE INSERT ON %s FOR EACH ROW
            WHEN (NEW.status = 'Selected') EXECUTE FUNCTION %I()
        $sql$, curated, format('gleaner_curate_%s', tbl));
    EXECUTE format($sql$
        CREATE TRIGGER gleaner_1_curation_update BEFORE UPDATE ON %s FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status AND 'Selected' IN (OLD.status, NEW.status)) EXECUTE FUNCTION %I()
        $sql$, curated, format('gleaner_curate_%s', tbl));
END $$;
COMMENT ON FUNCTION gleaner_add_curation IS 'Adds the user status to a table, and the triggers that queue stages by it.';

CREATE FUNCTION gleaner_drop_curation(curated regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tbl text := (SELECT relname FROM pg_class WHERE oid = curated);
BEGIN
    EXECUTE format('DROP TRIGGER gleaner_1_curation_insert ON %s', curated);
    EXECUTE format('DROP TRIGGER gleaner_1_curation_update ON %s', curated);
    EXECUTE format('DROP FUNCTION %I()', format('gleaner_curate_%s', tbl));
    EXECUTE format('ALTER TABLE %s DROP COLUMN status', curated);
END $$;
COMMENT ON FUNCTION gleaner_drop_curation IS 'Takes the user status off a table again.';
