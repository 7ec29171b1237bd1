DROP TABLE schedule_firing;
DROP TABLE schedule_control;
DROP FUNCTION gleaner_note_schedule_control();
DELETE FROM schedule WHERE rule IS NOT NULL;
ALTER TABLE schedule
    DROP COLUMN rule,
    DROP COLUMN definition,
    DROP COLUMN progress,
    DROP COLUMN run_answered_at,
    DROP COLUMN last_due_at,
    DROP COLUMN last_outcome,
    DROP COLUMN last_error,
    DROP COLUMN last_rows,
    DROP COLUMN last_elapsed_ms,
    DROP COLUMN succeeded_at,
    DROP COLUMN missed;
COMMENT ON COLUMN schedule.name IS 'Name of the work.';
COMMENT ON COLUMN schedule.next_at IS 'When it is due next. Due while nobody ran: it runs once at the next start.';
