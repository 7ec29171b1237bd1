-- Schedules as a configuration has them that was just read.
-- $1 text[]         names
-- $2 timestamptz[]  when each is due first, if it is new or has another rule now
-- $3 text[]         the rule of each, in words
-- $4 text[]         each as a whole
-- In the order of their names, as all who do this: nobody waits for somebody who waits for him.
INSERT INTO schedule (name, next_at, rule, definition)
SELECT name, first_at, rule, definition FROM unnest($1, $2, $3, $4) AS known(name, first_at, rule, definition) ORDER BY name
ON CONFLICT (name) DO UPDATE
SET next_at = CASE WHEN schedule.rule IS NOT DISTINCT FROM excluded.rule THEN schedule.next_at ELSE excluded.next_at END,
    rule = excluded.rule, definition = excluded.definition
WHERE (schedule.rule, schedule.definition) IS DISTINCT FROM (excluded.rule, excluded.definition)
