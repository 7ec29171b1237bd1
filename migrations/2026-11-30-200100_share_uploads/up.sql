-- Resumable uploads: of several requests that would write to one at a time, one does.
--
-- Locks: upload ACCESS EXCLUSIVE for a moment, to add columns without values.

ALTER TABLE upload ADD COLUMN writer uuid, ADD COLUMN writer_until timestamptz;
COMMENT ON COLUMN upload.writer IS 'The request that writes to it; NULL while none does.';
COMMENT ON COLUMN upload.writer_until IS 'Until when that request counts as alive, unless it renews this.';
