-- Schedules of the users' own, from the configuration: what is due when, what became of each firing, what operators ask.
--
-- They stand in the table that the program's own periodic work has, under "schedules." and their name, so that the two cannot be
-- taken for each other. Operators' requests have a table of their own: nobody who asks waits for a firing under way.
--
-- Locks: schedule ACCESS EXCLUSIVE, for a moment: columns are added without rewriting its few rows. The rest is created.
ALTER TABLE schedule
    ADD COLUMN rule text,
    ADD COLUMN definition text,
    ADD COLUMN progress jsonb,
    ADD COLUMN run_answered_at timestamptz,
    ADD COLUMN last_due_at timestamptz,
    ADD COLUMN last_outcome text,
    ADD COLUMN last_error text,
    ADD COLUMN last_rows bigint,
    ADD COLUMN last_elapsed_ms bigint,
    ADD COLUMN succeeded_at timestamptz,
    ADD COLUMN missed bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN schedule.name IS 'Name of the work; of schedules from the configuration "schedules." and their name there.';
COMMENT ON COLUMN schedule.next_at IS 'When it is due next: the first of its times that nobody has seen to.';
COMMENT ON COLUMN schedule.rule IS 'When it is due, in words; NULL for the program''s own work. Another rule begins anew.';
COMMENT ON COLUMN schedule.definition IS 'The schedule as the configuration has it that was loaded last; processes with another stand by.';
COMMENT ON COLUMN schedule.progress IS 'How far the firing under way has come that queues rows in batches; NULL while there is none.';
COMMENT ON COLUMN schedule.run_answered_at IS 'The request to run at once that was answered last (schedule_control.run_requested_at).';
COMMENT ON COLUMN schedule.last_due_at IS 'The time that the last firing was for.';
COMMENT ON COLUMN schedule.last_outcome IS 'What became of the last firing: completed, failed or missed.';
COMMENT ON COLUMN schedule.last_error IS 'Why the last firing failed, or why a time was missed; NULL if all went well.';
COMMENT ON COLUMN schedule.last_rows IS 'Rows of the last firing: changed or returned by its statement, or queued.';
COMMENT ON COLUMN schedule.last_elapsed_ms IS 'How long the last firing took, in milliseconds.';
COMMENT ON COLUMN schedule.succeeded_at IS 'When a firing last completed.';
COMMENT ON COLUMN schedule.missed IS 'Times that were not fired for, ever: nobody ran, or it was too late for them.';

CREATE TABLE schedule_control (
    schedule text CONSTRAINT schedule_control_pk PRIMARY KEY,
    paused boolean NOT NULL DEFAULT false,
    paused_at timestamptz,
    paused_by text,
    resumed_at timestamptz,
    run_requested_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL DEFAULT current_user
);
COMMENT ON TABLE schedule_control IS 'What operators have asked of a schedule, on every node. A change is notified on gleaner_schedule.';
COMMENT ON COLUMN schedule_control.schedule IS 'The schedule, as schedule.name has it.';
COMMENT ON COLUMN schedule_control.paused IS 'Whether its times pass without a firing.';
COMMENT ON COLUMN schedule_control.paused_at IS 'Since when it is paused; NULL while it is not.';
COMMENT ON COLUMN schedule_control.paused_by IS 'Who paused it.';
COMMENT ON COLUMN schedule_control.resumed_at IS 'When it was last resumed: times up to then are nobody''s.';
COMMENT ON COLUMN schedule_control.run_requested_at IS 'When somebody last asked for a firing at once.';
COMMENT ON COLUMN schedule_control.changed_at IS 'When this row was last changed.';
COMMENT ON COLUMN schedule_control.changed_by IS 'Who changed it.';

CREATE FUNCTION gleaner_note_schedule_control() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.paused IS DISTINCT FROM OLD.paused THEN
        IF NEW.paused THEN
            NEW.paused_at := clock_timestamp();
            NEW.paused_by := NEW.changed_by;
        ELSE
            NEW.paused_at := NULL;
            NEW.paused_by := NULL;
            IF TG_OP = 'UPDATE' THEN
                NEW.resumed_at := clock_timestamp();
            END IF;
        END IF;
    END IF;
    PERFORM pg_notify('gleaner_schedule', NEW.schedule);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_note_schedule_control IS 'Notes who paused a schedule and when it was resumed, and tells every node that something was asked.';
CREATE TRIGGER schedule_control_note BEFORE INSERT OR UPDATE ON schedule_control
    FOR EACH ROW EXECUTE FUNCTION gleaner_note_schedule_control();

CREATE TABLE schedule_firing (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT schedule_firing_pk PRIMARY KEY,
    schedule text NOT NULL,
    due_at timestamptz NOT NULL,
    cause text NOT NULL CONSTRAINT schedule_firing_cause_check CHECK (cause IN ('due', 'asked')),
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    outcome text NOT NULL CONSTRAINT schedule_firing_outcome_check CHECK (outcome IN ('completed', 'failed', 'missed')),
    rows bigint,
    missed bigint NOT NULL DEFAULT 0,
    error text,
    fired_by bigint,
    -- No time is fired for twice, whatever the program does.
    CONSTRAINT schedule_firing_schedule_due_at_cause_key UNIQUE (schedule, due_at, cause)
);
COMMENT ON TABLE schedule_firing IS 'The history of schedules from the configuration; kept as [retention] firings says.';
COMMENT ON COLUMN schedule_firing.id IS 'Key.';
COMMENT ON COLUMN schedule_firing.schedule IS 'The schedule, as schedule.name has it.';
COMMENT ON COLUMN schedule_firing.due_at IS 'The time that it fired for; of one that was asked for, when that was.';
COMMENT ON COLUMN schedule_firing.cause IS 'due: its time had come; asked: an operator wanted it.';
COMMENT ON COLUMN schedule_firing.started_at IS 'When it started.';
COMMENT ON COLUMN schedule_firing.ended_at IS 'When it ended, before the commit.';
COMMENT ON COLUMN schedule_firing.outcome IS 'completed; failed: what it did was rolled back (rows queued in earlier batches stay queued); missed: left out, as it was too late.';
COMMENT ON COLUMN schedule_firing.rows IS 'Rows that its statement changed or returned, or that it queued; NULL where it did not come to that.';
COMMENT ON COLUMN schedule_firing.missed IS 'Times before this one that were not fired for; with the outcome missed, this one is among them.';
COMMENT ON COLUMN schedule_firing.error IS 'Why it failed or was left out.';
COMMENT ON COLUMN schedule_firing.fired_by IS 'The node.';
-- The history of one schedule, newest first; what is old.
CREATE INDEX schedule_firing_schedule_idx ON schedule_firing (schedule, id);
CREATE INDEX schedule_firing_started_at_idx ON schedule_firing (started_at, id);
