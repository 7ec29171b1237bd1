CREATE OR REPLACE FUNCTION gleaner_spread(span interval) RETURNS interval LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT span * (0.9 + 0.2 * random())
$$;
CREATE OR REPLACE FUNCTION gleaner_check_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.selection IN ('domain_regex', 'url_regex') THEN
        PERFORM '' ~ NEW.target;
    ELSIF NEW.selection = 'domain' THEN
        NEW.target := lower(btrim(NEW.target));
    END IF;
    RETURN NEW;
END $$;
DELETE FROM flag WHERE kind = 'unusable_row';
ALTER TABLE flag DROP CONSTRAINT flag_kind_check,
    ADD CONSTRAINT flag_kind_check CHECK (kind IN ('pattern_generation_failed', 'pattern_low_confidence',
        'fetch_failing_repeatedly', 'store_rate_limited', 'duplicate_products', 'price_jump'));
DROP TABLE set_aside;
