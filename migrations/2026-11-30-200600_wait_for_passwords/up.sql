-- A password is known to the process that it was given to, and stored nowhere; other processes have to leave the document to that one.
--
-- Locks: documents ACCESS EXCLUSIVE, for a moment. Nothing is rewritten.
ALTER TABLE documents ADD COLUMN unlocked_until timestamptz;
COMMENT ON COLUMN documents.unlocked_until IS 'Until when some process knows the password that was given; NULL if none was.';
