-- Nobody waits for these any more. Those that were answered stay, so that a repeat is known.
-- $1 ids
DELETE FROM callback WHERE id = ANY($1) AND digest IS NULL
