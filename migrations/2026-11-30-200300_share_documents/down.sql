DROP INDEX documents_process_share_idx;
DROP TRIGGER documents_require_text ON documents;
DROP FUNCTION gleaner_require_text();
DROP TRIGGER gleaner_blob_release ON blob;
DROP FUNCTION gleaner_release_blob();
ALTER TABLE blob DROP COLUMN purged_at;
DROP TABLE reservation;
