ALTER TABLE documents DROP COLUMN unlocked_until;
