-- What answers set on the rows of a batch, and the stages that these are queued for. A column that an answer does not have stays as it is.
-- The rows are looked up by their keys, as where they are settled.
-- $1 jsonb     [{"handle": key, "completed": true or false, "columns": {name: value}}, …]
-- $2 bigint[]  the same keys
UPDATE {table} AS item SET {set}
FROM jsonb_array_elements($1) AS told(answer){given}
WHERE item.{handle} = (told.answer ->> 'handle')::bigint AND item.{handle} = ANY ((SELECT $2::bigint[])::bigint[])
