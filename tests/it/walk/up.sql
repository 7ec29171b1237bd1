-- Which pages answer, and with what: for those who follow the links.
--
-- Locks: page ACCESS EXCLUSIVE, for the time that three looks at its rows take. Nothing is rewritten.
ALTER TABLE page ADD COLUMN http_status smallint, ADD COLUMN http_status_at timestamptz;
COMMENT ON COLUMN page.http_status IS 'What the address answered last: an HTTP status.';
COMMENT ON COLUMN page.http_status_at IS 'When it did.';
SELECT gleaner_add_stage('page', 'link_check');
