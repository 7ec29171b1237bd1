-- How schedules stand, for whoever may have to fire them.
-- $1 text[]  their names
-- A time that is none of ours, without end or of another age, is as good as the nearest one that is.
SELECT schedule.name, clock_timestamp() AS now,
    least(greatest(schedule.next_at, '1970-01-01Z'), '9999-12-31Z') AS next_at,
    schedule.rule, schedule.definition, schedule.progress::text AS progress,
    coalesce(control.paused, false) AS paused,
    CASE WHEN control.resumed_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN control.resumed_at END AS resumed_at,
    CASE WHEN control.run_requested_at BETWEEN '1970-01-01Z' AND '9999-12-31Z'
        AND control.run_requested_at IS DISTINCT FROM schedule.run_answered_at THEN control.run_requested_at END AS asked_at,
    schedule.last_outcome,
    CASE WHEN schedule.succeeded_at BETWEEN '1970-01-01Z' AND '9999-12-31Z' THEN schedule.succeeded_at END AS succeeded_at
FROM schedule LEFT JOIN schedule_control AS control ON control.schedule = schedule.name
WHERE schedule.name = ANY ($1)
