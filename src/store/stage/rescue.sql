-- Takes back rows whose lease has ended, whoever held them. Safe on any number of nodes at once: each row is freed by one.
-- $1 smallint  max_attempts
-- $2 bigint    at most this many
-- $3 bigint[]  of these only, NULL for any
-- What was being worked goes before what has waited, or a long queue would keep it waiting as long again.
WITH head AS MATERIALIZED (
    SELECT least(now(), (SELECT greatest({stage}_due_at, '1900-01-01Z') - interval '1 microsecond' FROM {table} WHERE {stage}_status = 'Queued'
        ORDER BY {stage}_priority DESC, {stage}_due_at, id LIMIT 1)) AS due_at
), lost AS MATERIALIZED (
    SELECT id FROM {table} AS item
    WHERE {stage}_lease IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.id = item.{stage}_lease AND lease.expires_at > now())
      AND {takes} AND ($3::bigint[] IS NULL OR item.id = ANY ($3))
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE {table} AS item
    SET {stage}_status = CASE WHEN item.{stage}_status IS DISTINCT FROM 'Processing' THEN item.{stage}_status
            WHEN item.{stage}_due_at IS NULL AND item.{stage}_attempts >= {limit:$1} THEN 'Error' ELSE 'Queued' END,
        {stage}_error = CASE WHEN item.{stage}_status = 'Processing' AND item.{stage}_due_at IS NULL AND item.{stage}_attempts >= {limit:$1}
            THEN 'quarantined: its worker died at attempt ' || item.{stage}_attempts || ', the last' ELSE item.{stage}_error END,
        {stage}_attempts = CASE WHEN item.{stage}_due_at IS NULL THEN item.{stage}_attempts ELSE 0 END,
        {stage}_due_at = CASE WHEN item.{stage}_status = 'Processing' THEN (SELECT due_at FROM head) END,
        {stage}_lease = NULL{touch}
    FROM lost WHERE item.id = lost.id
    RETURNING item.id, item.{stage}_status AS status, item.{stage}_attempts AS attempt
), history AS (
    INSERT INTO attempt (item_id, attempt, stage, outcome)
    SELECT id, attempt, '{table}/{stage}', CASE status WHEN 'Error' THEN 'quarantined' ELSE 'rescued' END FROM freed
)
SELECT count(*) AS freed, count(*) FILTER (WHERE status = 'Error') AS quarantined FROM freed
