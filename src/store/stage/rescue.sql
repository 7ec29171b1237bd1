-- Takes back rows whose lease has ended, whoever held them. Safe on any number of nodes at once: each row is freed by one.
-- $1 smallint  max_attempts
-- $2 bigint    at most this many
-- $3 bigint[]  of these only, NULL for any
-- The history names the lease of those charged: should its holder live all the same, the charge is taken back (excuse.sql). Nobody
-- is charged where the holder has let go of the lease itself, or had begun to stop in good order: the attempt is given back.
-- What was being worked goes before what has waited, or a long queue would keep it waiting as long again.
WITH head AS MATERIALIZED (
    SELECT least(now(), (SELECT greatest({stage}_due_at, '1900-01-01Z') - interval '1 microsecond' FROM {table} WHERE {stage}_status = 'Queued'{given}
        ORDER BY {stage}_priority DESC, {stage}_due_at, {key} LIMIT 1)) AS due_at
), lost AS MATERIALIZED (
    SELECT {key} AS id, {stage}_lease AS lease, (SELECT count(*) FROM lease JOIN node ON node.id = lease.node_id
        WHERE lease.id = item.{stage}_lease AND (lease.is_closed OR node.stopping_at IS NOT NULL))::smallint AS given_back
    FROM {table} AS item
    WHERE {stage}_lease IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.id = item.{stage}_lease AND lease.expires_at > now())
      AND {takes} AND ($3::bigint[] IS NULL OR item.{key} = ANY ($3))
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE {table} AS item
    SET {stage}_status = CASE WHEN item.{stage}_status IS DISTINCT FROM 'Processing' THEN item.{stage}_status
            WHEN item.{stage}_due_at IS NULL AND lost.given_back = 0 AND {used_up:$1} THEN 'Error' ELSE 'Queued' END,
        {stage}_error = CASE WHEN item.{stage}_status = 'Processing' AND item.{stage}_due_at IS NULL AND lost.given_back = 0 AND {used_up:$1}
            THEN 'quarantined: its worker died at attempt ' || item.{stage}_attempts || ', the last' ELSE item.{stage}_error END,
        {stage}_attempts = CASE WHEN item.{stage}_due_at IS NULL THEN greatest(item.{stage}_attempts - lost.given_back, 0) ELSE 0 END,
        {stage}_due_at = CASE WHEN item.{stage}_status = 'Processing' THEN (SELECT due_at FROM head) END,
        {stage}_lease = NULL{touch}
    FROM lost WHERE item.{key} = lost.id
    RETURNING item.{key} AS id, item.{stage}_status AS status, item.{stage}_attempts + lost.given_back AS attempt, lost.given_back,
        CASE lost.given_back WHEN 0 THEN lost.lease END AS lease
), history AS (
    INSERT INTO attempt (item_id, attempt, lease, stage, outcome)
    SELECT id, attempt, lease, {name},
        CASE WHEN given_back > 0 THEN 'released' WHEN status = 'Error' THEN 'quarantined' ELSE 'rescued' END
    FROM freed
)
SELECT count(*) AS freed, count(*) FILTER (WHERE status = 'Error' AND given_back = 0) AS quarantined, 0::bigint AS locked FROM freed
