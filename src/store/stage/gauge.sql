-- How long the queue is and how long its oldest due row has waited; counts stop at a bound, so that a huge backlog does not
-- make its own counting a burden. A time without end counts as very old: nothing can be taken from it.
-- $1 bigint  the bound
SELECT count(*) AS queued,
       count(*) FILTER (WHERE {stage}_due_at <= now()) AS due,
       extract(epoch FROM now() - min(greatest({stage}_due_at, '1900-01-01Z')) FILTER (WHERE {stage}_due_at <= now()))::float8 AS oldest_seconds,
       (SELECT count(*) FROM {table} WHERE {stage}_lease IS NOT NULL OR {stage}_status = 'Processing') AS held
FROM (SELECT {stage}_due_at FROM {table} WHERE {stage}_status = 'Queued'{given} LIMIT $1) AS head
