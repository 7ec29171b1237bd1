-- Documents: what is set aside for uploads under way, files that outlive their rows, and shares of the work by tenant.
--
-- Locks: blob ACCESS EXCLUSIVE for a moment, to add a column without a value; documents SHARE while the index over its queued rows is built.

CREATE TABLE reservation (
    id uuid CONSTRAINT reservation_pk PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id bigint NOT NULL CONSTRAINT reservation_tenant_id_fk REFERENCES tenant ON DELETE CASCADE,
    bytes bigint NOT NULL CONSTRAINT reservation_bytes_check CHECK (bytes >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE reservation IS 'Bytes set aside of a tenant''s quota for uploads that are being received. Whoever receives one renews it; what nobody renews is given back. Resumable uploads have theirs in upload.';
COMMENT ON COLUMN reservation.id IS 'Key.';
COMMENT ON COLUMN reservation.tenant_id IS 'Of whose quota.';
COMMENT ON COLUMN reservation.bytes IS 'How much; part of the tenant''s reserved_bytes.';
COMMENT ON COLUMN reservation.created_at IS 'When the upload began.';
COMMENT ON COLUMN reservation.expires_at IS 'When its process counts as dead, unless it renews this.';
CREATE INDEX reservation_tenant_id_idx ON reservation (tenant_id);
CREATE INDEX reservation_expires_at_idx ON reservation (expires_at);
SELECT gleaner_add_isolation('reservation', 'tenant_id', 'SELECT, INSERT, UPDATE, DELETE');

ALTER TABLE blob ADD COLUMN purged_at timestamptz;
COMMENT ON COLUMN blob.purged_at IS 'Since when its file is gone, where deleted documents still name it; NULL while the file is there.';

CREATE FUNCTION gleaner_release_blob() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.refs > 0 THEN
        NEW.released_at := NULL;
        NEW.purged_at := NULL;
    ELSIF OLD.refs > 0 OR NEW.released_at IS NULL THEN
        NEW.released_at := now();
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_release_blob IS 'Notes since when no document refers to a blob.';
CREATE TRIGGER gleaner_blob_release BEFORE UPDATE OF refs ON blob FOR EACH ROW EXECUTE FUNCTION gleaner_release_blob();

-- A document that is ready has text, whoever says that it is: looked at when its transaction is done, since status and text are
-- written by two statements.
CREATE FUNCTION gleaner_require_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM documents WHERE id = NEW.id AND process_status = 'Completed' AND total_chars = 0) THEN
        RAISE EXCEPTION 'document % cannot be ready: it has no text', NEW.uid USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION gleaner_require_text IS 'Refuses a document that is ready and has no text.';
CREATE CONSTRAINT TRIGGER documents_require_text AFTER UPDATE OF process_status ON documents
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.process_status = 'Completed') EXECUTE FUNCTION gleaner_require_text();

-- In the order in which a tenant's documents are taken, tenant by tenant.
CREATE INDEX documents_process_share_idx ON documents (tenant_id, process_priority DESC, process_due_at, id)
    WHERE process_status = 'Queued';
