-- Whether a page was read although its end was missing.
--
-- Why: a page that broke off was lost whole, and one whose server declares a wrong length for good. It is read now as far as it came,
-- and whoever counts on all of it being there can see that it was not.
--
-- Locks: domain and page ACCESS EXCLUSIVE, for a moment. Nothing is rewritten: there is no default.
ALTER TABLE domain ADD COLUMN is_partial boolean;
COMMENT ON COLUMN domain.is_partial IS 'true: the home page ended before its declared end, and was read as far as it came.';
ALTER TABLE page ADD COLUMN is_partial boolean;
COMMENT ON COLUMN page.is_partial IS 'true: the page ended before its declared end, and was read as far as it came.';
