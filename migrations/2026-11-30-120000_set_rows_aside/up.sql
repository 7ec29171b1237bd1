-- Rows that periodic work can do nothing with are set aside, with the reason, and all others get done.
--
-- Why: one row with a value that no time can be reckoned with, or under a rule of somebody's own, stopped the whole round that it was
-- part of, again and again. It is found now, noted here, flagged where it is about a page or site, and tried again after a while.
-- An expression of a policy is looked at when it is written and in force: one that got past that can be switched off.
--
-- Locks: creates a table and replaces two functions. flag ACCESS EXCLUSIVE, for as long as it takes to read it once.
CREATE TABLE set_aside (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT set_aside_pk PRIMARY KEY,
    work text NOT NULL,
    table_name text NOT NULL,
    row_id bigint NOT NULL,
    reason text NOT NULL,
    times integer NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT now(),
    until timestamptz NOT NULL,
    CONSTRAINT set_aside_row_key UNIQUE (work, table_name, row_id)
);
COMMENT ON TABLE set_aside IS 'Rows that periodic work was refused for, each by the database: left out until their time, so that all others get done.';
COMMENT ON COLUMN set_aside.id IS 'Key.';
COMMENT ON COLUMN set_aside.work IS 'The work: its ticker, with the stage or what gets old where it does several.';
COMMENT ON COLUMN set_aside.table_name IS 'The table of the row.';
COMMENT ON COLUMN set_aside.row_id IS 'Its key there.';
COMMENT ON COLUMN set_aside.reason IS 'What the database said, with the table, column and constraint that it named.';
COMMENT ON COLUMN set_aside.times IS 'How often the work was refused for it.';
COMMENT ON COLUMN set_aside.first_at IS 'When it was first.';
COMMENT ON COLUMN set_aside.until IS 'Until when it is left out: an hour at first, twice as long each time, a week at most. Delete the row here to have it tried at once.';

ALTER TABLE flag DROP CONSTRAINT flag_kind_check,
    ADD CONSTRAINT flag_kind_check CHECK (kind IN ('pattern_generation_failed', 'pattern_low_confidence',
        'fetch_failing_repeatedly', 'store_rate_limited', 'duplicate_products', 'price_jump', 'unusable_row'));

-- An expression is looked at when it comes into force, not whenever another column of its row is written.
CREATE OR REPLACE FUNCTION gleaner_check_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.selection IN ('domain_regex', 'url_regex') AND NEW.enabled THEN
        IF TG_OP = 'INSERT' OR (NEW.selection, NEW.target, NEW.enabled) IS DISTINCT FROM (OLD.selection, OLD.target, OLD.enabled) THEN
            PERFORM '' ~ NEW.target;
        END IF;
    ELSIF NEW.selection = 'domain' THEN
        NEW.target := lower(btrim(NEW.target));
    END IF;
    RETURN NEW;
END $$;

-- Of any span, also one that a row of before the bounds holds, something that can be added to a time.
CREATE OR REPLACE FUNCTION gleaner_spread(span interval) RETURNS interval LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT least(greatest(span, interval '0'), interval '3660 days') * (0.9 + 0.2 * random())
$$;
