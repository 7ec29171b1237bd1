ALTER TABLE upload DROP COLUMN writer, DROP COLUMN writer_until;
