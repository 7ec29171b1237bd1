-- All schedules from configurations, as people see them.
-- $1 integer  the class of the locks under which firings are under way
-- Whose session it is may not be for us to see; that there is one is.
WITH running AS (
    SELECT held.objid::bigint AS number, coalesce(min(session.xact_start), now()) AS since
    FROM pg_locks AS held LEFT JOIN pg_stat_activity AS session ON session.pid = held.pid
    WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 2 AND held.classid = $1::oid
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY held.objid
), own AS (
    SELECT schedule.*, hashtext(schedule.name)::bigint & 4294967295 AS number FROM schedule WHERE name LIKE 'schedules.%'
)
SELECT own.name, clock_timestamp() AS now, least(greatest(own.next_at, '1970-01-01Z'), '9999-12-31Z') AS next_at, own.rule, own.definition,
    coalesce((own.progress ->> 'started_at')::timestamptz, running.since) AS running_since,
    coalesce(control.paused, false) AS paused, control.paused_by,
    CASE WHEN control.paused_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN control.paused_at END AS paused_at,
    CASE WHEN control.resumed_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN control.resumed_at END AS resumed_at,
    CASE WHEN own.fired_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN own.fired_at END AS fired_at, own.fired_by,
    CASE WHEN own.last_due_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN own.last_due_at END AS last_due_at,
    own.last_outcome, own.last_error, own.last_rows, own.last_elapsed_ms,
    CASE WHEN own.succeeded_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN own.succeeded_at END AS succeeded_at, own.missed
FROM own LEFT JOIN running USING (number) LEFT JOIN schedule_control AS control ON control.schedule = own.name
ORDER BY own.name
