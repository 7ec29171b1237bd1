-- The user status of a table may be followed by several stages, and may be the users' own column.
--
-- Why: gleaner_add_curation could be called once for a table only; it forced its own words on a status column that was there
-- before, and gleaner_drop_curation dropped that column, whoever had made it. Now stages join and leave one by one. The
-- arguments of the trigger gleaner_1_curation_insert say what is known of a table: whose the column is, then the stages.
-- For a table that the helper of before has made, the stages are read from its function; its column counts as the users',
-- for nobody has noted down who made it, but on Gleaner's own tables.
--
-- Locks: each table with a user status (place, domain, local_business, sitemap_file, page, and users' own) ACCESS EXCLUSIVE,
-- for as long as it takes to make two triggers anew: no row is read or written. All are held to the end of the migration.

-- What follows a table's user status: whose the column is, 'added' (by gleaner_add_curation) or 'found', then the stages. NULL
-- if nothing does.
CREATE FUNCTION gleaner_curation(curated regclass) RETURNS text[] LANGUAGE sql STABLE AS $$
    -- Arguments of triggers are kept one after the other, each ended by a zero byte.
    SELECT string_to_array(left(encode(tgargs, 'escape'), -4), '\000') FROM pg_trigger
    WHERE tgrelid = curated AND tgname = 'gleaner_1_curation_insert' AND NOT tgisinternal
$$;
COMMENT ON FUNCTION gleaner_curation IS 'Whose a table''s user status is, added or found, then the stages that follow it; NULL for none.';

-- Makes the function and the triggers of a table's user status, for exactly these stages.
CREATE FUNCTION gleaner_follow_curation(curated regclass, column_is text, stages text[]) RETURNS void LANGUAGE plpgsql AS $$
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
COMMENT ON FUNCTION gleaner_follow_curation IS 'Has exactly these stages follow a table''s user status; for gleaner_add_curation and gleaner_drop_curation.';

-- Has stages follow the user status of a table, besides those that do: a row that becomes Selected is queued, one that leaves
-- Selected is un-queued; a row in hand is finished then, but not worked again. In the database, so that every writer gets it.
-- A table without a column "status" gets one. One that has it keeps it as it is, with its values and its comment: of these,
-- Selected alone means something here. Rows that are Selected already are not queued.
CREATE OR REPLACE FUNCTION gleaner_add_curation(curated regclass, stages text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    tbl text := (SELECT relname FROM pg_class WHERE oid = curated);
    known text[];
    column_is text;
    stage text;
BEGIN
    -- Before it is read who follows: two that add a stage at once both stay.
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', curated);
    known := gleaner_curation(curated);
    column_is := known[1];
    known := coalesce(known[2:], '{}');
    FOREACH stage IN ARRAY stages LOOP
        IF (SELECT count(*) FROM pg_attribute WHERE attrelid = curated AND NOT attisdropped
                AND attname IN (stage || '_status', stage || '_due_at', stage || '_lease')) < 3 THEN
            RAISE EXCEPTION 'table % has no stage "%": gleaner_add_stage adds it', tbl, stage;
        END IF;
        IF stage <> ALL (known) THEN
            known := known || stage;
        END IF;
    END LOOP;
    IF cardinality(known) = 0 THEN
        RAISE EXCEPTION 'no stage is named that is to follow the user status of %', tbl;
    END IF;
    IF column_is IS NULL THEN
        column_is := CASE WHEN EXISTS (SELECT 1 FROM pg_attribute
            WHERE attrelid = curated AND attname = 'status' AND NOT attisdropped) THEN 'found' ELSE 'added' END;
        IF column_is = 'added' THEN
            EXECUTE format($sql$
                ALTER TABLE %s ADD COLUMN status text NOT NULL DEFAULT 'New',
                    ADD CONSTRAINT %I CHECK (status IN ('New', 'Selected', 'Maybe', 'Not a Fit', 'Archived'))
                $sql$, curated, tbl || '_status_check');
        ELSIF NOT EXISTS (SELECT 1 FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
                WHERE attrelid = curated AND attname = 'status' AND typcategory IN ('S', 'E')) THEN
            RAISE EXCEPTION 'the column "status" of table % is no text, and so cannot be Selected', tbl;
        END IF;
    END IF;
    PERFORM gleaner_follow_curation(curated, column_is, known);
END $$;
COMMENT ON FUNCTION gleaner_add_curation IS 'Has stages follow a table''s user status, which is added where it is missing.';

DROP FUNCTION gleaner_drop_curation(regclass);
-- Has these stages, or all, not follow the user status of a table any more. The column goes with the last of them, but only if
-- gleaner_add_curation has added it and it says New in every row: what people have put in stays, as does a column that was
-- theirs before.
CREATE FUNCTION gleaner_drop_curation(curated regclass, stages text[] DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
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
COMMENT ON FUNCTION gleaner_drop_curation IS 'Has stages, or all, not follow a table''s user status any more; a column that was added for it, and that nobody has filled, goes with the last.';

-- The tables that the helper of before has made.
DO $$
DECLARE
    made record;
BEGIN
    FOR made IN
        SELECT tgrelid::regclass AS curated, relname = ANY ('{place,domain,local_business,sitemap_file,page}')
                AND relnamespace = current_schema()::regnamespace AS is_ours,
            ARRAY(SELECT parts[1] FROM regexp_matches(prosrc, 'IF NEW\."?([a-z][a-z0-9_]*)_status"? IS NULL OR', 'g')
                WITH ORDINALITY AS found(parts, place) ORDER BY place) AS stages
        FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_class ON pg_class.oid = tgrelid
        WHERE tgname = 'gleaner_1_curation_insert' AND NOT tgisinternal
        ORDER BY tgrelid
    LOOP
        PERFORM gleaner_follow_curation(made.curated, CASE WHEN made.is_ours THEN 'added' ELSE 'found' END, made.stages);
    END LOOP;
END $$;
