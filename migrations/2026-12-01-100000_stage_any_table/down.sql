-- The helpers of before: a bigint or integer "id", under any name of a table that needs no quotes, in the engine's schema. Stages that need more than that
-- are to be dropped first: the program before this could not work them.
--
-- Locks: as up.sql.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT * FROM gleaner_stages() LOOP
        IF made.has_handle OR made.key_columns <> '{id}' OR made.label ~ '[."]' THEN
            RAISE EXCEPTION 'the stage % is of a kind that there was not before: gleaner_drop_stage takes it off its table', made.label;
        END IF;
    END LOOP;
    FOR made IN
        SELECT of.*, tgname, tgfoid::regproc AS fn FROM gleaner_stages() AS of
        JOIN pg_trigger ON tgrelid = of.stage_table AND tgname = format('gleaner_2_%s_insert', of.stage)
        ORDER BY tgrelid, tgname
    LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE INSERT ON %s FOR EACH ROW WHEN (NEW.%I IN (''Queued'', ''Processing'')) EXECUTE FUNCTION %s()',
            made.tgname, made.stage_table, made.stage || '_status', made.fn);
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION gleaner_follow_curation(curated regclass, column_is text, stages text[]) RETURNS void LANGUAGE plpgsql AS $$
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
    EXECUTE format('DROP TRIGGER IF EXISTS gleaner_1_curation_insert ON %s', curated);
    EXECUTE format('DROP TRIGGER IF EXISTS gleaner_1_curation_update ON %s', curated);
    EXECUTE format($sql$
        CREATE OR REPLACE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql AS $fn$
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
            WHEN (NEW.status = 'Selected') EXECUTE FUNCTION %I(%s)
        $sql$, curated, format('gleaner_curate_%s', tbl),
        (SELECT string_agg(quote_literal(argument), ', ' ORDER BY place)
            FROM unnest(column_is || stages) WITH ORDINALITY AS known(argument, place)));
    EXECUTE format($sql$
        CREATE TRIGGER gleaner_1_curation_update BEFORE UPDATE ON %s FOR EACH ROW
            WHEN (OLD.status IS DISTINCT FROM NEW.status AND 'Selected' IN (OLD.status, NEW.status)) EXECUTE FUNCTION %I()
        $sql$, curated, format('gleaner_curate_%s', tbl));
    IF column_is = 'added' THEN
        EXECUTE format('COMMENT ON COLUMN %s.status IS %L', curated, format(
            'What a person makes of the row: New, Selected, Maybe, Not a Fit, Archived. Selected queues %s unless done already; leaving Selected un-queues.',
            array_to_string(stages, ' and ')));
    END IF;
END $$;

CREATE OR REPLACE FUNCTION gleaner_drop_curation(curated regclass, stages text[] DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tbl text := (SELECT relname FROM pg_class WHERE oid = curated);
    known text[];
    column_is text;
    stage text;
    is_filled boolean;
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', curated);
    known := gleaner_curation(curated);
    IF known IS NULL THEN
        RAISE EXCEPTION 'no stage follows the user status of table %', tbl;
    END IF;
    column_is := known[1];
    known := known[2:];
    FOREACH stage IN ARRAY coalesce(stages, known) LOOP
        IF stage <> ALL (known) THEN
            RAISE EXCEPTION 'the stage "%" does not follow the user status of table %', stage, tbl;
        END IF;
        known := array_remove(known, stage);
    END LOOP;
    IF cardinality(known) > 0 THEN
        PERFORM gleaner_follow_curation(curated, column_is, known);
        RETURN;
    END IF;
    EXECUTE format('DROP TRIGGER gleaner_1_curation_insert ON %s', curated);
    EXECUTE format('DROP TRIGGER gleaner_1_curation_update ON %s', curated);
    EXECUTE format('DROP FUNCTION %I()', format('gleaner_curate_%s', tbl));
    IF column_is <> 'added' THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE status <> ''New'')', curated) INTO is_filled;
    IF is_filled THEN
        EXECUTE format('COMMENT ON COLUMN %s.status IS %L', curated,
            'What a person made of the row: New, Selected, Maybe, Not a Fit, Archived. Nothing follows it any more.');
    ELSE
        EXECUTE format('ALTER TABLE %s DROP COLUMN status', curated);
    END IF;
END $$;

DROP FUNCTION gleaner_add_stage(regclass, text, text[]);
CREATE FUNCTION gleaner_add_stage(stage_table regclass, stage text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tbl text := (SELECT relname FROM pg_class WHERE oid = stage_table);
    described text := format('%s/%s', tbl, stage);
BEGIN
    IF stage !~ '^[a-z][a-z0-9_]{0,29}$' THEN
        RAISE EXCEPTION 'stage name "%" must be lower-case letters, digits and underscores, at most 30', stage;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = stage_table AND a.attname = 'id'
            AND a.atttypid IN ('bigint'::regtype, 'integer'::regtype) AND a.attnotnull) THEN
        RAISE EXCEPTION 'table % needs a key "id" of type bigint or integer, NOT NULL, to become a stage', tbl;
    END IF;

    EXECUTE format($sql$
        ALTER TABLE %1$s
            ADD COLUMN IF NOT EXISTS %2$I text,
            ADD COLUMN IF NOT EXISTS %3$I smallint NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS %4$I timestamptz,
            ADD COLUMN IF NOT EXISTS %5$I smallint NOT NULL DEFAULT 0,
            ADD COLUMN IF NOT EXISTS %6$I bigint,
            ADD COLUMN IF NOT EXISTS %7$I text,
            ADD CONSTRAINT %8$I CHECK (%2$I IN ('Queued', 'Processing', 'Completed', 'Error', 'Filtered', 'Cancelled'))
        $sql$, stage_table, stage || '_status', stage || '_priority', stage || '_due_at', stage || '_attempts',
        stage || '_lease', stage || '_error', format('%s_%s_status_check', tbl, stage));

    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', stage_table, stage || '_status', format(
        'State of %s: NULL not asked for, Queued, Processing, Completed, Error, Filtered (rightly nothing to do), Cancelled. Set it to Queued to have the row worked.', described));
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', stage_table, stage || '_priority', format(
        'Order of %s among the due rows: higher first.', described));
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', stage_table, stage || '_due_at', format(
        'While Queued: %s not before this. While Processing: asked for again at this time, NULL if not.', described));
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', stage_table, stage || '_attempts', format(
        'Attempts at %s since it was last asked for, counted by the claim.', described));
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', stage_table, stage || '_lease', format(
        'The lease under which %s has this row in hand; only the engine writes it.', described));
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', stage_table, stage || '_error', format(
        'Last error of %s (class: message), or why it was Filtered; the full history is in attempt.', described));

    -- In exactly the claim's order, over exactly the rows it may take.
    EXECUTE format('CREATE INDEX %I ON %s (%I DESC, %I, id) WHERE %I = ''Queued''',
        format('%s_%s_queued_idx', tbl, stage), stage_table, stage || '_priority', stage || '_due_at', stage || '_status');
    -- What is in hand, or says so, for the rescue.
    EXECUTE format('CREATE INDEX %I ON %s (%I) WHERE %I IS NOT NULL OR %I = ''Processing''',
        format('%s_%s_held_idx', tbl, stage), stage_table, stage || '_lease', stage || '_lease', stage || '_status');

    EXECUTE format($sql$
        CREATE FUNCTION %1$I() RETURNS trigger LANGUAGE plpgsql AS $fn$
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF NEW.%2$I = 'Processing' THEN
                    NEW.%4$I := now();
                    RETURN NEW;
                END IF;
                IF NEW.%6$I = OLD.%6$I THEN
                    NEW.%2$I := 'Processing';
                    NEW.%4$I := now();
                    NEW.%5$I := OLD.%5$I;
                    RETURN NEW;
                END IF;
                IF OLD.%6$I IS NULL THEN
                    NEW.%5$I := 0;
                    NEW.%6$I := NULL;
                    NEW.%7$I := NULL;
                    IF NEW.%4$I IS NULL OR NEW.%4$I IS NOT DISTINCT FROM OLD.%4$I THEN
                        NEW.%4$I := now();
                    END IF;
                END IF;
            ELSE
                NEW.%5$I := 0;
                NEW.%6$I := NULL;
                NEW.%4$I := coalesce(NEW.%4$I, now());
                IF NEW.%2$I = 'Processing' THEN
                    RETURN NEW;
                END IF;
            END IF;
            IF NEW.%4$I <= now() THEN
                PERFORM pg_notify('gleaner_stage', %8$L);
            END IF;
            RETURN NEW;
        END $fn$
        $sql$, format('gleaner_stage_%s_%s', tbl, stage), stage || '_status', NULL, stage || '_due_at', stage || '_attempts',
        stage || '_lease', stage || '_error', described);
    EXECUTE format('COMMENT ON FUNCTION %I IS %L', format('gleaner_stage_%s_%s', tbl, stage),
        format('Guards the requests for %s; see gleaner_add_stage.', described));

    -- Numbered, because triggers fire in the order of their names: curation first, then the stages, then the time stamp.
    EXECUTE format($sql$
        CREATE TRIGGER %1$I BEFORE INSERT ON %2$s FOR EACH ROW
            WHEN (NEW.%3$I IN ('Queued', 'Processing')) EXECUTE FUNCTION %4$I();
        $sql$, format('gleaner_2_%s_insert', stage), stage_table, stage || '_status', format('gleaner_stage_%s_%s', tbl, stage));
    EXECUTE format($sql$
        CREATE TRIGGER %1$I BEFORE UPDATE ON %2$s FOR EACH ROW
            WHEN (OLD.%3$I IS DISTINCT FROM NEW.%3$I
                AND (NEW.%3$I = 'Queued' OR (NEW.%3$I = 'Processing' AND NEW.%5$I IS NULL)))
            EXECUTE FUNCTION %4$I();
        $sql$, format('gleaner_2_%s_update', stage), stage_table, stage || '_status', format('gleaner_stage_%s_%s', tbl, stage),
        stage || '_lease');
END $$;
COMMENT ON FUNCTION gleaner_add_stage IS 'Adds the column group, indexes and triggers of a stage to a table.';

CREATE OR REPLACE FUNCTION gleaner_drop_stage(stage_table regclass, stage text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tbl text := (SELECT relname FROM pg_class WHERE oid = stage_table);
BEGIN
    EXECUTE format('DROP TRIGGER %I ON %s', format('gleaner_2_%s_insert', stage), stage_table);
    EXECUTE format('DROP TRIGGER %I ON %s', format('gleaner_2_%s_update', stage), stage_table);
    EXECUTE format('DROP FUNCTION %I()', format('gleaner_stage_%s_%s', tbl, stage));
    EXECUTE format('ALTER TABLE %s DROP COLUMN %I, DROP COLUMN %I, DROP COLUMN %I, DROP COLUMN %I, DROP COLUMN %I, DROP COLUMN %I',
        stage_table, stage || '_status', stage || '_priority', stage || '_due_at', stage || '_attempts', stage || '_lease', stage || '_error');
END $$;
COMMENT ON FUNCTION gleaner_drop_stage IS 'Takes a stage off a table again: its columns with what they hold, indexes and triggers.';

DROP FUNCTION gleaner_handled(regclass, text[]);
DROP FUNCTION gleaner_stage_steps(regclass, text, text[], boolean);
DROP FUNCTION gleaner_stage_key(regclass, text[]);
DROP FUNCTION gleaner_require_owner(regclass);
DROP FUNCTION gleaner_function_name(regclass, text);
DROP FUNCTION gleaner_stage_rule(regclass, text);
DROP FUNCTION gleaner_stage_index(regclass, text[], text);
DROP FUNCTION gleaner_index_name(regclass, text);
DROP FUNCTION gleaner_name(text, boolean);
DROP FUNCTION gleaner_stages();
DROP FUNCTION gleaner_arguments(bytea);
DROP FUNCTION gleaner_label(regclass);
DROP FUNCTION gleaner_plain(text);
