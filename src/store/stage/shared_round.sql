WITH RECURSIVE held AS MATERIALIZED (
    SELECT {owner} AS owner, count(*) AS number, count(*) FILTER (WHERE {stage}_lease = $1 AND {large}) AS large
    FROM {table} WHERE {stage}_lease IS NOT NULL OR {stage}_status = 'Processing' GROUP BY 1
), edge AS MATERIALIZED (
    SELECT ceil($3 * (SELECT id FROM {owners} ORDER BY id DESC LIMIT 1))::bigint AS start
), ahead AS (
    (SELECT {owner} AS owner, 1 AS place FROM {table}
     WHERE {stage}_status = 'Queued' AND {owner} >= (SELECT start FROM edge) ORDER BY {owner} LIMIT 1)
    UNION ALL
    SELECT later.owner, ahead.place + 1 FROM ahead, LATERAL (
        SELECT {owner} AS owner FROM {table} WHERE {stage}_status = 'Queued' AND {owner} > ahead.owner ORDER BY {owner} LIMIT 1
    ) AS later WHERE ahead.place < {seats}
), room AS MATERIALIZED (
    SELECT {seats} - count(*) AS left FROM ahead
), behind AS (
    (SELECT {owner} AS owner, 1 AS place FROM {table}
     WHERE (SELECT room.left > 0 FROM room) AND {stage}_status = 'Queued' AND {owner} < (SELECT start FROM edge) ORDER BY {owner} LIMIT 1)
    UNION ALL
    SELECT later.owner, behind.place + 1 FROM behind, LATERAL (
        SELECT {owner} AS owner FROM {table}
        WHERE {stage}_status = 'Queued' AND {owner} > behind.owner AND {owner} < (SELECT start FROM edge) ORDER BY {owner} LIMIT 1
    ) AS later WHERE behind.place < (SELECT room.left FROM room)
), waiting AS MATERIALIZED (
    SELECT ahead.owner FROM ahead UNION ALL SELECT behind.owner FROM behind
), head AS (
    SELECT first.*, owner.id AS owner, coalesce(held.number, 0) AS number
    FROM waiting LEFT JOIN held ON held.owner = waiting.owner,
    -- By their keys, however many the planner takes them for.
    LATERAL (SELECT * FROM {owners} AS own WHERE own.id = waiting.owner OFFSET 0) AS owner,
    LATERAL (
        SELECT queued.{key} AS id, {stage}_priority AS priority, {stage}_due_at AS due_at, {large} AS is_large FROM {table} AS queued
        WHERE queued.{owner} = waiting.owner AND {stage}_status = 'Queued'{given} AND {stage}_due_at <= now()
        ORDER BY {stage}_priority DESC, {stage}_due_at, queued.{key}
        LIMIT greatest(least(({cap}) - coalesce(held.number, 0), 2 * $2), 0)
    ) AS first
), ranked AS (
    SELECT id, priority, due_at, is_large, number + row_number() OVER (PARTITION BY owner ORDER BY priority DESC, due_at, id) AS place FROM head
), counted AS (
    SELECT *, count(*) FILTER (WHERE is_large) OVER (ORDER BY place, priority DESC, due_at, id) AS large FROM ranked
), picked AS MATERIALIZED (
    SELECT id, place, priority, due_at FROM counted
    WHERE NOT is_large OR large <= $4 - (SELECT coalesce(sum(held.large), 0) FROM held)
    ORDER BY place, priority DESC, due_at, id
    LIMIT 2 * $2
)
