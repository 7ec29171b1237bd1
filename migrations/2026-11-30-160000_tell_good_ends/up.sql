-- A lease may end with rows still stamped with it although nobody died over them: somebody else had them locked when their holder
-- handed back all it had, or the database went away while a process drained. The rescue charges such rows with a death unless it
-- can tell; now it can.
--
-- Locks: lease and node, ACCESS EXCLUSIVE for a moment: columns without a rewrite.
ALTER TABLE lease ADD COLUMN is_closed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN lease.is_closed IS
    'Whether its holder lives and has let go of all that is stamped with it: rows that were locked then are rescued with their attempt given back.';
ALTER TABLE node ADD COLUMN stopping_at timestamptz;
COMMENT ON COLUMN node.stopping_at IS
    'When it began to stop in good order: rows that it leaves behind from then on are rescued with their attempt given back. NULL until then.';
