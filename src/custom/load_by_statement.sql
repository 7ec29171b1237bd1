-- What handlers are given of the rows of a batch: what a statement of the operator's reads of them. A row of which it says nothing has no
-- bytes; one of which it says more than one thing comes more than once.
-- $1 bigint[]  the rows
-- $2 bigint    the most bytes of one
SELECT item.{handle}::bigint AS handle, item.{stage}_attempts AS attempt, to_json(item.{handle})::text AS key, given.bytes::bigint AS bytes,
    CASE WHEN given.bytes <= $2 THEN given.columns END AS columns
FROM {table} AS item LEFT JOIN (
    SELECT whole.handle, whole.columns, octet_length(whole.columns) AS bytes FROM (
        -- Made once, whatever is done with it.
        SELECT picked.{handle}::bigint AS handle, to_json(picked)::text AS columns FROM (
{statement}
        ) AS picked OFFSET 0
    ) AS whole
) AS given ON given.handle = item.{handle}
WHERE item.{handle} = ANY ($1)
