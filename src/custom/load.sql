-- What handlers are given of the rows of a batch: columns of the row. What is larger than it may be does not leave the server.
-- $1 bigint[]  the rows
-- $2 bigint    the most bytes of one
SELECT item.{handle}::bigint AS handle, item.{stage}_attempts AS attempt, to_json(item.{handle})::text AS key, given.bytes::bigint AS bytes,
    CASE WHEN given.bytes <= $2 THEN given.columns END AS columns
FROM {table} AS item, LATERAL (
    SELECT whole.columns, octet_length(whole.columns) AS bytes FROM (
        -- Made once, whatever is done with it.
        SELECT to_json(picked)::text AS columns FROM (SELECT {columns}) AS picked OFFSET 0
    ) AS whole
) AS given
WHERE item.{handle} = ANY ($1)
