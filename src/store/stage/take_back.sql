-- Takes the rows of one lease back, whatever their number: after a crash of an actor (attempts stay counted; used up means
-- quarantine) or when it hands back what it holds (attempts given back). Rows that somebody else has locked stay as they are, and
-- are counted.
-- $1 bigint    the lease
-- $2 smallint  attempts to give back (0 or 1)
-- $3 smallint  max_attempts
-- $4 text      outcome for the history: rescued or released
-- $5 bigint[]  rows to leave alone
-- $6 bigint[]  of these only, NULL for any
-- What was being worked goes before what has waited, or a long queue would keep it waiting as long again.
WITH head AS MATERIALIZED (
    SELECT least(now(), (SELECT greatest({stage}_due_at, '1900-01-01Z') - interval '1 microsecond' FROM {table} WHERE {stage}_status = 'Queued'{given}
        ORDER BY {stage}_priority DESC, {stage}_due_at, {key} LIMIT 1)) AS due_at
), held AS MATERIALIZED (
    SELECT {key} AS id FROM {table} WHERE {stage}_lease = $1 AND {key} <> ALL ($5) AND ($6::bigint[] IS NULL OR {key} = ANY ($6)) ORDER BY {key} FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE {table} AS item
    SET {stage}_status = CASE WHEN item.{stage}_status IS DISTINCT FROM 'Processing' THEN item.{stage}_status
            WHEN item.{stage}_due_at IS NULL AND $2 = 0 AND {used_up:$3} THEN 'Error' ELSE 'Queued' END,
        {stage}_error = CASE WHEN item.{stage}_status = 'Processing' AND item.{stage}_due_at IS NULL AND $2 = 0 AND {used_up:$3}
            THEN 'quarantined: its worker died at attempt ' || item.{stage}_attempts || ', the last' ELSE item.{stage}_error END,
        {stage}_attempts = CASE WHEN item.{stage}_due_at IS NULL THEN greatest(item.{stage}_attempts - $2, 0) ELSE 0 END,
        {stage}_due_at = CASE WHEN item.{stage}_status = 'Processing' THEN (SELECT due_at FROM head) END,
        {stage}_lease = NULL{touch}
    FROM held WHERE item.{key} = held.id
    RETURNING item.{key} AS id, item.{stage}_status AS status, item.{stage}_attempts + $2 AS attempt
), history AS (
    INSERT INTO attempt (item_id, attempt, stage, outcome)
    SELECT id, attempt, {name}, CASE status WHEN 'Error' THEN 'quarantined' ELSE $4 END FROM freed
)
SELECT count(*) AS freed, count(*) FILTER (WHERE status = 'Error') AS quarantined,
    (SELECT count(*) FROM {table} WHERE {stage}_lease = $1 AND {key} <> ALL ($5)) - (SELECT count(*) FROM held) AS locked
FROM freed
