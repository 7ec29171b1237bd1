ALTER TABLE page DROP COLUMN is_partial;
ALTER TABLE domain DROP COLUMN is_partial;
