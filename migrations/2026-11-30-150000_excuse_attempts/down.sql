UPDATE attempt SET outcome = 'rescued' WHERE outcome = 'excused';
DROP INDEX attempt_lease_idx;
ALTER TABLE attempt DROP COLUMN lease;
COMMENT ON COLUMN attempt.outcome IS 'completed, filtered, retried, snoozed, failed, released, rescued or quarantined.';
COMMENT ON TABLE attempt IS 'What became of every attempt at every row. Append-only, partitioned by day, pruned by dropping partitions.';
