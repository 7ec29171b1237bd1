-- Claims due rows of a stage for a lease that has not expired, in shares: whoever has least in hand comes first, and nobody has more
-- than allowed. The round of those who wait begins at a random one and is bounded, so a claim costs the same however many wait,
-- and however much.
-- $1 bigint  the lease
-- $2 bigint  at most this many
-- $3 float8  where the round begins: 0 to 1 of the keys of owners
-- $4 bigint  large rows that this lease may have in hand
-- Twice as many are picked as are taken, for those that somebody else has locked. Two claims at once may each fill an owner's share.
{round}, due AS MATERIALIZED (
    SELECT item.{key} AS id FROM picked JOIN {table} AS item ON item.{key} = picked.id
    WHERE item.{key} = ANY (ARRAY(SELECT id FROM picked)) AND coalesce(item.{stage}_status, '') = 'Queued' AND item.{stage}_due_at <= now()
      AND (SELECT expires_at > now() FROM lease WHERE lease.id = $1)
    ORDER BY picked.place, picked.priority DESC, picked.due_at, item.{key}
    LIMIT $2
    FOR UPDATE OF item SKIP LOCKED
)
UPDATE {table} AS item
SET {set}{touch}
WHERE item.{key} = ANY (ARRAY(SELECT id FROM due))
RETURNING item.{key}::bigint AS id, item.{stage}_attempts AS attempt
