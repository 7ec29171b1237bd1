-- A lease that ends may have lost its holder, or only its way to the database. The rescue cannot tell, and charges the rows with
-- a death; now the history says under which lease, so that a holder who lives can have the charge taken back.
--
-- Locks: attempt, with its partitions, ACCESS EXCLUSIVE while the index is built, which holds nothing yet but reads them all:
-- some seconds for ten million attempts. Results wait for that long; nothing is lost.
ALTER TABLE attempt ADD COLUMN lease bigint;
COMMENT ON COLUMN attempt.lease IS 'The lease that had ended, of rows that were rescued or quarantined; NULL for all others.';
COMMENT ON COLUMN attempt.outcome IS
    'completed, filtered, retried, snoozed, failed, released, rescued, quarantined; excused: rescued, but the worker lives, so that it does not count as a death.';
COMMENT ON TABLE attempt IS
    'What became of every attempt at every row. Append-only but for rescues whose worker turns out to live; partitioned by day, pruned by dropping partitions.';
CREATE INDEX attempt_lease_idx ON attempt (lease) WHERE lease IS NOT NULL;
