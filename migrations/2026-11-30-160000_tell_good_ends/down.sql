ALTER TABLE node DROP COLUMN stopping_at;
ALTER TABLE lease DROP COLUMN is_closed;
