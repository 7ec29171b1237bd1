-- The engine's own tables, and the helpers that turn any table into a stage.
--
-- A stage is a group of columns on a table of the user's: its rows are claimed in place, there is no job table. What is here
-- is what the claims need besides: who is running (node), who may work what and until when (lease), what became of every
-- attempt (attempt), what an operator has asked for (workflow_control) and what fires when (schedule).
--
-- Locks: creates only. gleaner_add_stage, called later, takes an ACCESS EXCLUSIVE lock on the table it is given, for the time
-- of adding columns without rewriting it and of building two partial indexes (empty on a table without queued rows).

CREATE TABLE node (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT node_pk PRIMARY KEY,
    host text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    stopped_at timestamptz,
    status jsonb
) WITH (fillfactor = 50);
COMMENT ON TABLE node IS 'One row per process that has run: its identity is new at every boot.';
COMMENT ON COLUMN node.id IS 'Identity of this run of the process.';
COMMENT ON COLUMN node.host IS 'Host name, for people; never used as an identity.';
COMMENT ON COLUMN node.pid IS 'Process id on that host, for people.';
COMMENT ON COLUMN node.version IS 'Version of the program.';
COMMENT ON COLUMN node.started_at IS 'When it started.';
COMMENT ON COLUMN node.seen_at IS 'When it last reported its status.';
COMMENT ON COLUMN node.stopped_at IS 'When it stopped in good order; NULL while running, and for ever after a crash.';
COMMENT ON COLUMN node.status IS 'The last status of its actors, as the status command and the dashboard show it.';

CREATE TABLE lease (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT lease_pk PRIMARY KEY,
    node_id bigint NOT NULL CONSTRAINT lease_node_id_fk REFERENCES node ON DELETE CASCADE,
    workflow text NOT NULL,
    expires_at timestamptz NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE lease IS 'The right of one incarnation of a workflow''s actor to the rows it has claimed, until it expires.';
COMMENT ON COLUMN lease.id IS 'Stamped on every row claimed under it; never reused.';
COMMENT ON COLUMN lease.node_id IS 'The process that holds it.';
COMMENT ON COLUMN lease.workflow IS 'The workflow it was opened for.';
COMMENT ON COLUMN lease.expires_at IS 'By this database''s clock. Moved on by the heartbeat; once past, never moved again.';
COMMENT ON COLUMN lease.opened_at IS 'When it was opened.';

CREATE TABLE attempt (
    settled_at timestamptz NOT NULL DEFAULT now(),
    item_id bigint NOT NULL,
    elapsed_ms integer,
    attempt smallint NOT NULL,
    stage text NOT NULL,
    outcome text NOT NULL,
    class text,
    message text
) PARTITION BY RANGE (settled_at);
COMMENT ON TABLE attempt IS 'What became of every attempt at every row. Append-only, partitioned by day, pruned by dropping partitions.';
COMMENT ON COLUMN attempt.settled_at IS 'When the attempt ended.';
COMMENT ON COLUMN attempt.item_id IS 'Key of the row that was worked, in the stage''s table.';
COMMENT ON COLUMN attempt.elapsed_ms IS 'How long the work took, in milliseconds; NULL where nobody was left to say (rescued).';
COMMENT ON COLUMN attempt.attempt IS 'Which attempt this was, from 1.';
COMMENT ON COLUMN attempt.stage IS 'The stage, as table/stage.';
COMMENT ON COLUMN attempt.outcome IS 'completed, filtered, retried, snoozed, failed, released, rescued or quarantined.';
COMMENT ON COLUMN attempt.class IS 'Class of the failure: timeout, panic, http, …; NULL unless it failed.';
COMMENT ON COLUMN attempt.message IS 'The whole error, or the reason.';
CREATE INDEX attempt_stage_item_id_idx ON attempt (item_id, stage);
-- For the list of recent failures; over failures only, so that what goes well pays nothing for it.
CREATE INDEX attempt_failure_idx ON attempt (settled_at) WHERE outcome IN ('retried', 'failed', 'quarantined');
CREATE TABLE attempt_default PARTITION OF attempt DEFAULT;
COMMENT ON TABLE attempt_default IS 'Attempts of days that had no partition of their own; should stay empty.';

-- Creates the partitions of attempt for today and the days ahead, where they are missing. Safe to call from many nodes.
CREATE FUNCTION gleaner_extend_attempt(days integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    day date;
    name text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('gleaner_extend_attempt'));
    FOR i IN 0 .. days LOOP
        day := (now() AT TIME ZONE 'UTC')::date + i;
        name := 'attempt_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        -- A row of that day may already lie in the default partition (nobody was running at midnight): leave it there.
        CONTINUE WHEN EXISTS (SELECT 1 FROM attempt_default
            WHERE settled_at >= day::timestamp AT TIME ZONE 'UTC' AND settled_at < (day + 1)::timestamp AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE %I PARTITION OF attempt FOR VALUES FROM (%L) TO (%L)',
            name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION gleaner_extend_attempt IS 'Creates the missing daily partitions of attempt, from today to so many days ahead; returns how many it made.';
SELECT gleaner_extend_attempt(3);

-- Drops the partitions of attempt that end before the given age.
CREATE FUNCTION gleaner_prune_attempt(keep interval) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    part record;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('gleaner_extend_attempt'));
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'attempt'::regclass AND c.relname ~ '^attempt_[0-9]{8}$'
          AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' < now() - keep
    LOOP
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM attempt_default WHERE settled_at < now() - keep;
    RETURN dropped;
END $$;
COMMENT ON FUNCTION gleaner_prune_attempt IS 'Drops the daily partitions of attempt that are older than keep; returns how many it dropped.';

CREATE TABLE workflow_control (
    workflow text CONSTRAINT workflow_control_pk PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false,
    run_requested_at timestamptz,
    unpark_requested_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL DEFAULT current_user
);
COMMENT ON TABLE workflow_control IS 'What operators have asked of a workflow, on every node. A change is notified on gleaner_control.';
COMMENT ON COLUMN workflow_control.workflow IS 'Name of the workflow.';
COMMENT ON COLUMN workflow_control.paused IS 'Whether claiming is stopped.';
COMMENT ON COLUMN workflow_control.run_requested_at IS 'When somebody last asked for a claim at once.';
COMMENT ON COLUMN workflow_control.unpark_requested_at IS 'When somebody last asked for a parked workflow to be started again.';
COMMENT ON COLUMN workflow_control.changed_at IS 'When this row was last changed.';
COMMENT ON COLUMN workflow_control.changed_by IS 'Who changed it.';

CREATE FUNCTION gleaner_notify_control() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gleaner_control', NEW.workflow);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION gleaner_notify_control IS 'Tells every node that an operator asked for something.';
CREATE TRIGGER workflow_control_notify AFTER INSERT OR UPDATE ON workflow_control
    FOR EACH ROW EXECUTE FUNCTION gleaner_notify_control();

CREATE TABLE schedule (
    name text CONSTRAINT schedule_pk PRIMARY KEY,
    next_at timestamptz NOT NULL,
    fired_at timestamptz,
    fired_by bigint
);
COMMENT ON TABLE schedule IS 'Periodic work that fires once across all nodes, by this database''s clock.';
COMMENT ON COLUMN schedule.name IS 'Name of the work.';
COMMENT ON COLUMN schedule.next_at IS 'When it is due next. Due while nobody ran: it runs once at the next start.';
COMMENT ON COLUMN schedule.fired_at IS 'When it last fired.';
COMMENT ON COLUMN schedule.fired_by IS 'The node that fired it.';

-- Adds a stage to a table: columns, constraint, indexes, trigger. What is there already is kept, so that a table that has
-- such a status column from earlier software can be taken over.
--
-- The trigger is the whole public interface: anyone may set <stage>_status. It
--   * turns a request for a row that a worker has in hand (its lease stands) into "again after": the row stays Processing and
--     <stage>_due_at remembers the request, which the settle of that worker honours. So no row is ever worked twice at once;
--   * makes a fresh request fresh: attempts from 0, no error, due now unless the writer says otherwise;
--   * stamps rows that other software sets to Processing, so that they can be found when they are stuck;
--   * notifies gleaner_stage with "table/stage" when the row is due.
-- The engine's own writes are told from others' by the lease column, which only the engine changes.
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

CREATE FUNCTION gleaner_drop_stage(stage_table regclass, stage text) RETURNS void LANGUAGE plpgsql AS $$
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

-- Gives a table the user status, which queues the named stages when a row becomes Selected and un-queues them when it
-- leaves Selected; a row in hand is finished then, but not worked again. In the database, so that every writer gets it.
CREATE FUNCTION gleaner_add_curation(curated regclass, stages text[]) RETURNS void LANGUAGE plpgsql AS $$
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

CREATE FUNCTION gleaner_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_touch IS 'Keeps updated_at true for writers that do not set it themselves.';

CREATE FUNCTION gleaner_add_touch(touched regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($sql$
        CREATE TRIGGER gleaner_3_touch BEFORE UPDATE ON %s FOR EACH ROW
            WHEN (NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at) EXECUTE FUNCTION gleaner_touch()
        $sql$, touched);
END $$;
COMMENT ON FUNCTION gleaner_add_touch IS 'Adds the trigger that keeps updated_at true.';
