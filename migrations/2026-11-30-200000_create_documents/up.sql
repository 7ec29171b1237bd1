-- Documents: what tenants upload, what was read of it, and the stage document-processing that reads it.
--
-- Tenants are kept apart by the database: every table of theirs has row-level security, forced on its owner too. A transaction
-- that serves a tenant says which (gleaner.tenant) and goes by the role gleaner_tenant, which sees nothing unless it is said. Work
-- that is the program's own says nothing, and sees all.
--
-- Locks: creates only.

-- Whom the present transaction serves; NULL for the program's own work.
CREATE FUNCTION gleaner_tenant_id() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('gleaner.tenant', true), '')::bigint
$$;
COMMENT ON FUNCTION gleaner_tenant_id IS 'The tenant whom this transaction serves, as the setting gleaner.tenant says; NULL for the program''s own work.';

CREATE TABLE tenant (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT tenant_pk PRIMARY KEY,
    uid uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT tenant_uid_key UNIQUE,
    name text NOT NULL CONSTRAINT tenant_name_key UNIQUE,
    quota_bytes bigint NOT NULL DEFAULT 524288000 CONSTRAINT tenant_quota_bytes_check CHECK (quota_bytes >= 0),
    used_bytes bigint NOT NULL DEFAULT 0 CONSTRAINT tenant_used_bytes_check CHECK (used_bytes >= 0),
    reserved_bytes bigint NOT NULL DEFAULT 0 CONSTRAINT tenant_reserved_bytes_check CHECK (reserved_bytes >= 0),
    max_running smallint NOT NULL DEFAULT 2 CONSTRAINT tenant_max_running_check CHECK (max_running BETWEEN 1 AND 1000),
    max_queued integer NOT NULL DEFAULT 1000 CONSTRAINT tenant_max_queued_check CHECK (max_queued >= 0),
    tier smallint NOT NULL DEFAULT 0 CONSTRAINT tenant_tier_check CHECK (tier BETWEEN 0 AND 100),
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE tenant IS 'Whose documents they are: a customer, a user, a team. What one has, no other sees.';
COMMENT ON COLUMN tenant.id IS 'Key.';
COMMENT ON COLUMN tenant.uid IS 'Its name towards others: random, so that it cannot be guessed.';
COMMENT ON COLUMN tenant.name IS 'Its name for operators.';
COMMENT ON COLUMN tenant.quota_bytes IS 'Bytes that its files may take together.';
COMMENT ON COLUMN tenant.used_bytes IS 'Bytes that its stored files take: the sum over its blobs that documents refer to.';
COMMENT ON COLUMN tenant.reserved_bytes IS 'Bytes set aside for uploads under way.';
COMMENT ON COLUMN tenant.max_running IS 'Documents of its that are worked at a time, on all nodes together.';
COMMENT ON COLUMN tenant.max_queued IS 'Documents of its that may wait; further uploads are refused until some are done.';
COMMENT ON COLUMN tenant.tier IS 'Its urgency: the documents of higher tiers come first.';
COMMENT ON COLUMN tenant.disabled_at IS 'Since when it is shut out; NULL if it is not.';
COMMENT ON COLUMN tenant.created_at IS 'When it was created.';
COMMENT ON COLUMN tenant.updated_at IS 'When this row was last changed.';
SELECT gleaner_add_touch('tenant');

CREATE TABLE api_key (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT api_key_pk PRIMARY KEY,
    tenant_id bigint NOT NULL CONSTRAINT api_key_tenant_id_fk REFERENCES tenant ON DELETE CASCADE,
    uid uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT api_key_uid_key UNIQUE,
    name text NOT NULL DEFAULT '',
    digest bytea NOT NULL CONSTRAINT api_key_digest_key UNIQUE,
    scope text NOT NULL DEFAULT 'write' CONSTRAINT api_key_scope_check CHECK (scope IN ('read', 'write')),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
) WITH (fillfactor = 70);
COMMENT ON TABLE api_key IS 'Keys with which a tenant''s programs come. Shown once, when they are made.';
COMMENT ON COLUMN api_key.id IS 'Key.';
COMMENT ON COLUMN api_key.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN api_key.uid IS 'Its name, for revoking it.';
COMMENT ON COLUMN api_key.name IS 'What it is for, for people.';
COMMENT ON COLUMN api_key.digest IS 'SHA-256 of the key, which is 32 random bytes and stored nowhere.';
COMMENT ON COLUMN api_key.scope IS 'read: looks, searches and downloads; write: uploads, changes and deletes as well.';
COMMENT ON COLUMN api_key.created_at IS 'When it was made.';
COMMENT ON COLUMN api_key.expires_at IS 'When it stops working by itself; NULL for never.';
COMMENT ON COLUMN api_key.last_used_at IS 'When it was last used, to the minute.';
COMMENT ON COLUMN api_key.revoked_at IS 'When it was revoked; NULL while it works.';
CREATE INDEX api_key_tenant_id_idx ON api_key (tenant_id);

CREATE TABLE tenant_identity (
    provider text NOT NULL,
    subject text NOT NULL,
    tenant_id bigint NOT NULL CONSTRAINT tenant_identity_tenant_id_fk REFERENCES tenant ON DELETE CASCADE,
    profile jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_identity_pk PRIMARY KEY (provider, subject)
);
COMMENT ON TABLE tenant_identity IS 'Who at an identity provider logs in as which tenant.';
COMMENT ON COLUMN tenant_identity.provider IS 'The provider: telegram, or another of the program''s.';
COMMENT ON COLUMN tenant_identity.subject IS 'Who it is there.';
COMMENT ON COLUMN tenant_identity.tenant_id IS 'Whose documents these are.';
COMMENT ON COLUMN tenant_identity.profile IS 'What the provider tells of them: name, picture.';
COMMENT ON COLUMN tenant_identity.created_at IS 'When they first logged in.';
COMMENT ON COLUMN tenant_identity.last_seen_at IS 'When they last did.';
CREATE INDEX tenant_identity_tenant_id_idx ON tenant_identity (tenant_id);

CREATE TABLE blob (
    tenant_id bigint NOT NULL CONSTRAINT blob_tenant_id_fk REFERENCES tenant,
    sha256 bytea NOT NULL CONSTRAINT blob_hash_check CHECK (octet_length(sha256) = 32),
    bytes bigint NOT NULL CONSTRAINT blob_bytes_check CHECK (bytes >= 0),
    refs integer NOT NULL CONSTRAINT blob_refs_check CHECK (refs >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz,
    CONSTRAINT blob_pk PRIMARY KEY (tenant_id, sha256)
) WITH (fillfactor = 70);
COMMENT ON TABLE blob IS 'Files as they were sent, by what they hold; of each tenant apart, so that nobody learns what others have.';
COMMENT ON COLUMN blob.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN blob.sha256 IS 'SHA-256 of its bytes; where it lies follows from tenant and this.';
COMMENT ON COLUMN blob.bytes IS 'How long it is.';
COMMENT ON COLUMN blob.refs IS 'Documents that refer to it. At none it counts for nobody, and goes after a while.';
COMMENT ON COLUMN blob.created_at IS 'When it was first stored.';
COMMENT ON COLUMN blob.released_at IS 'Since when no document refers to it; NULL while one does.';
CREATE INDEX blob_released_idx ON blob (released_at) WHERE refs = 0;

CREATE TABLE documents (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT documents_pk PRIMARY KEY,
    uid uuid NOT NULL DEFAULT gen_random_uuid() CONSTRAINT documents_uid_key UNIQUE,
    tenant_id bigint NOT NULL CONSTRAINT documents_tenant_id_fk REFERENCES tenant,
    parent_id bigint CONSTRAINT documents_parent_id_fk REFERENCES documents ON DELETE CASCADE,
    depth smallint NOT NULL DEFAULT 0 CONSTRAINT documents_depth_check CHECK (depth BETWEEN 0 AND 3),
    filename text NOT NULL,
    original_filename text NOT NULL,
    mime_type text NOT NULL DEFAULT 'application/octet-stream',
    file_size bigint NOT NULL CONSTRAINT documents_file_size_check CHECK (file_size >= 0),
    sha256 bytea NOT NULL,
    status text NOT NULL DEFAULT 'queued'
        CONSTRAINT documents_status_check CHECK (status IN ('queued', 'processing', 'ready', 'failed', 'cancelled')),
    processing_progress smallint NOT NULL DEFAULT 0
        CONSTRAINT documents_processing_progress_check CHECK (processing_progress BETWEEN 0 AND 100),
    step text,
    pages_done integer NOT NULL DEFAULT 0,
    page_count integer,
    error_code text,
    error_message text,
    retryable boolean,
    error_pages integer[] NOT NULL DEFAULT '{}',
    pages_without_text integer[] NOT NULL DEFAULT '{}',
    language text,
    title text,
    total_chunks integer NOT NULL DEFAULT 0,
    total_chars bigint NOT NULL DEFAULT 0,
    total_tokens integer NOT NULL DEFAULT 0,
    has_macros boolean NOT NULL DEFAULT false,
    parser text,
    lane smallint NOT NULL DEFAULT 0 CONSTRAINT documents_lane_check CHECK (lane BETWEEN 0 AND 2),
    doc_metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    processing_started_at timestamptz,
    processing_completed_at timestamptz,
    deleted_at timestamptz,
    CONSTRAINT documents_blob_fk FOREIGN KEY (tenant_id, sha256) REFERENCES blob (tenant_id, sha256)
) WITH (fillfactor = 60);
COMMENT ON TABLE documents IS 'What was uploaded, and what came of it.';
COMMENT ON COLUMN documents.id IS 'Key; never told to anybody outside.';
COMMENT ON COLUMN documents.uid IS 'Its name towards its tenant (document_id): random, so that it cannot be guessed.';
COMMENT ON COLUMN documents.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN documents.parent_id IS 'The e-mail that it was attached to; NULL if it was uploaded itself.';
COMMENT ON COLUMN documents.depth IS 'How many e-mails it was in, one in the other.';
COMMENT ON COLUMN documents.filename IS 'Its name for its tenant, who may change it. Never part of a path.';
COMMENT ON COLUMN documents.original_filename IS 'The name that it was sent under.';
COMMENT ON COLUMN documents.mime_type IS 'Its type, by what it holds.';
COMMENT ON COLUMN documents.file_size IS 'Bytes of the file.';
COMMENT ON COLUMN documents.sha256 IS 'SHA-256 of the file: its blob.';
COMMENT ON COLUMN documents.status IS 'queued, processing, ready, failed or cancelled: process_status in the words of its tenants. Written to, it asks for the same there.';
COMMENT ON COLUMN documents.processing_progress IS 'Per cent; never less than before within an attempt. 100 when it is ready.';
COMMENT ON COLUMN documents.step IS 'What is being done with it: fetch, read, store; NULL while nothing is.';
COMMENT ON COLUMN documents.pages_done IS 'Pages that have been read in this attempt.';
COMMENT ON COLUMN documents.page_count IS 'Pages that it has; NULL until that is known.';
COMMENT ON COLUMN documents.error_code IS 'Why it failed, of a closed set; NULL unless it did.';
COMMENT ON COLUMN documents.error_message IS 'The same in plain words.';
COMMENT ON COLUMN documents.retryable IS 'Whether trying again can help; NULL unless it failed.';
COMMENT ON COLUMN documents.error_pages IS 'Pages that could not be read.';
COMMENT ON COLUMN documents.pages_without_text IS 'Pages that were read and have no text.';
COMMENT ON COLUMN documents.language IS 'Language of its text (ISO 639-1); NULL where it does not show.';
COMMENT ON COLUMN documents.title IS 'The title that the file gives itself.';
COMMENT ON COLUMN documents.total_chunks IS 'Pieces that its text was cut into, for the search.';
COMMENT ON COLUMN documents.total_chars IS 'Characters (code points) of its text.';
COMMENT ON COLUMN documents.total_tokens IS 'Words of its text.';
COMMENT ON COLUMN documents.has_macros IS 'Whether the file holds macros, none of which is ever run.';
COMMENT ON COLUMN documents.parser IS 'What read it, with version.';
COMMENT ON COLUMN documents.lane IS 'How much work it is by its size: 0 small, 1, 2 large.';
COMMENT ON COLUMN documents.doc_metadata IS 'What else is known of it.';
COMMENT ON COLUMN documents.created_at IS 'When it was accepted.';
COMMENT ON COLUMN documents.updated_at IS 'When this row was last changed.';
COMMENT ON COLUMN documents.processing_started_at IS 'When its last attempt began.';
COMMENT ON COLUMN documents.processing_completed_at IS 'When it came to be ready, failed or cancelled.';
COMMENT ON COLUMN documents.deleted_at IS 'When its tenant deleted it; nobody but the sweeper sees it from then on.';
CREATE INDEX documents_tenant_id_idx ON documents (tenant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX documents_tenant_id_sha256_idx ON documents (tenant_id, sha256);
CREATE INDEX documents_parent_id_idx ON documents (parent_id);
CREATE INDEX documents_deleted_idx ON documents (deleted_at, id) WHERE deleted_at IS NOT NULL;

SELECT gleaner_add_stage('documents', 'process');
SELECT gleaner_add_touch('documents');

-- status is process_status in other words. Who writes to status alone asks for what it says; all else follows process_status.
CREATE FUNCTION gleaner_ask_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.process_status := CASE NEW.status
        WHEN 'queued' THEN 'Queued' WHEN 'processing' THEN 'Queued' WHEN 'failed' THEN 'Error' WHEN 'cancelled' THEN 'Cancelled'
        ELSE OLD.process_status END;
    IF NEW.process_status = 'Error' AND NEW.error_code IS NOT DISTINCT FROM OLD.error_code THEN
        NEW.error_code := 'stopped';
        NEW.error_message := coalesce(nullif(NEW.error_message, OLD.error_message), 'it was stopped by hand');
        NEW.retryable := true;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_ask_document IS 'Takes what is written to documents.status for a request; ready cannot be asked for.';
CREATE TRIGGER gleaner_1_document_ask BEFORE UPDATE ON documents FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status AND OLD.process_status IS NOT DISTINCT FROM NEW.process_status)
    EXECUTE FUNCTION gleaner_ask_document();

CREATE FUNCTION gleaner_tell_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.status := CASE NEW.process_status
        WHEN 'Queued' THEN 'queued' WHEN 'Processing' THEN 'processing' WHEN 'Completed' THEN 'ready' WHEN 'Cancelled' THEN 'cancelled'
        ELSE 'failed' END;
    IF TG_OP = 'INSERT' THEN
        RETURN NEW;
    END IF;
    IF NEW.process_status = 'Processing' AND NEW.process_attempts IS DISTINCT FROM OLD.process_attempts THEN
        NEW.processing_started_at := now();
        NEW.processing_completed_at := NULL;
        NEW.processing_progress := 0;
        NEW.pages_done := 0;
        NEW.step := 'fetch';
        NEW.error_code := NULL;
        NEW.error_message := NULL;
        NEW.retryable := NULL;
    ELSIF NEW.process_status IS DISTINCT FROM OLD.process_status THEN
        NEW.step := NULL;
        IF NEW.process_status = 'Queued' THEN
            NEW.processing_progress := 0;
            NEW.pages_done := 0;
            NEW.processing_completed_at := NULL;
        ELSE
            NEW.processing_completed_at := now();
        END IF;
        IF NEW.process_status = 'Completed' THEN
            NEW.processing_progress := 100;
        END IF;
    END IF;
    IF NEW.status = 'failed' AND NEW.error_code IS NULL THEN
        NEW.error_code := 'internal';
        NEW.error_message := coalesce(NEW.process_error, 'it could not be processed');
        NEW.retryable := true;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_tell_document IS 'Has status, progress and times of a document follow its stage.';
CREATE TRIGGER gleaner_4_document_tell BEFORE INSERT OR UPDATE OF process_status, process_attempts, status ON documents
    FOR EACH ROW EXECUTE FUNCTION gleaner_tell_document();

-- Whoever watches a document, or a tenant's list, on any node.
CREATE FUNCTION gleaner_notify_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('gleaner_document', NEW.tenant_id || ':' || NEW.uid);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION gleaner_notify_document IS 'Tells every node that what is shown of a document has changed: tenant:uid on gleaner_document.';
CREATE TRIGGER documents_notify_insert AFTER INSERT ON documents FOR EACH ROW EXECUTE FUNCTION gleaner_notify_document();
CREATE TRIGGER documents_notify_update AFTER UPDATE ON documents FOR EACH ROW
    WHEN ((OLD.status, OLD.step, OLD.processing_progress, OLD.pages_done, OLD.page_count, OLD.filename, OLD.deleted_at)
        IS DISTINCT FROM (NEW.status, NEW.step, NEW.processing_progress, NEW.pages_done, NEW.page_count, NEW.filename, NEW.deleted_at))
    EXECUTE FUNCTION gleaner_notify_document();

CREATE TABLE document_page (
    document_id bigint NOT NULL CONSTRAINT document_page_document_id_fk REFERENCES documents ON DELETE CASCADE,
    number integer NOT NULL CONSTRAINT document_page_number_check CHECK (number > 0),
    tenant_id bigint NOT NULL,
    start_char bigint NOT NULL,
    chars integer NOT NULL,
    source text NOT NULL DEFAULT 'text' CONSTRAINT document_page_source_check CHECK (source IN ('text', 'ocr')),
    locator text,
    text text NOT NULL,
    CONSTRAINT document_page_pk PRIMARY KEY (document_id, number)
);
COMMENT ON TABLE document_page IS 'The text of documents, page by page. All offsets refer to these texts, one after the other with a form feed between two.';
COMMENT ON COLUMN document_page.document_id IS 'The document.';
COMMENT ON COLUMN document_page.number IS 'The page, from 1: of a file without pages a sheet, a slide, a chapter, or all of it.';
COMMENT ON COLUMN document_page.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN document_page.start_char IS 'Where it begins in the text of the document, in code points from 0.';
COMMENT ON COLUMN document_page.chars IS 'Code points that it has.';
COMMENT ON COLUMN document_page.source IS 'text: as the file has it; ocr: read from its picture.';
COMMENT ON COLUMN document_page.locator IS 'Name of a sheet, slide or chapter; NULL for a plain page.';
COMMENT ON COLUMN document_page.text IS 'Its text (NFC).';

CREATE TABLE chunk (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT chunk_pk PRIMARY KEY,
    tenant_id bigint NOT NULL,
    document_id bigint NOT NULL CONSTRAINT chunk_document_id_fk REFERENCES documents ON DELETE CASCADE,
    seq integer NOT NULL,
    page_from integer NOT NULL,
    page_to integer NOT NULL,
    start_char bigint NOT NULL,
    end_char bigint NOT NULL,
    locator text,
    config regconfig NOT NULL,
    words integer NOT NULL,
    tsv tsvector NOT NULL,
    CONSTRAINT chunk_document_id_seq_key UNIQUE (document_id, seq),
    CONSTRAINT chunk_end_char_check CHECK (start_char >= 0 AND end_char > start_char AND page_to >= page_from)
);
COMMENT ON TABLE chunk IS 'Pieces of documents'' texts, for the search. What a piece says stands in its pages.';
COMMENT ON COLUMN chunk.id IS 'Key.';
COMMENT ON COLUMN chunk.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN chunk.document_id IS 'The document.';
COMMENT ON COLUMN chunk.seq IS 'Its place among the pieces, from 0.';
COMMENT ON COLUMN chunk.page_from IS 'The page that it begins on.';
COMMENT ON COLUMN chunk.page_to IS 'The page that it ends on.';
COMMENT ON COLUMN chunk.start_char IS 'Where it begins in the text of the document, in code points from 0. Pieces overlap.';
COMMENT ON COLUMN chunk.end_char IS 'The code point after its last.';
COMMENT ON COLUMN chunk.locator IS 'Heading, sheet or slide that it stands under; NULL where there is none.';
COMMENT ON COLUMN chunk.config IS 'Text search configuration by which its words were taken.';
COMMENT ON COLUMN chunk.words IS 'Words in tsv, repeats counted: its length, for the ranking.';
COMMENT ON COLUMN chunk.tsv IS 'Its words.';

CREATE TABLE upload (
    id uuid CONSTRAINT upload_pk PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id bigint NOT NULL CONSTRAINT upload_tenant_id_fk REFERENCES tenant ON DELETE CASCADE,
    length bigint NOT NULL CONSTRAINT upload_length_check CHECK (length >= 0),
    received bigint NOT NULL DEFAULT 0 CONSTRAINT upload_received_check CHECK (received BETWEEN 0 AND length),
    filename text NOT NULL,
    options jsonb NOT NULL DEFAULT '{}',
    document_id bigint CONSTRAINT upload_document_id_fk REFERENCES documents ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE upload IS 'Resumable uploads (tus) under way. Each has its length reserved of its tenant''s quota.';
COMMENT ON COLUMN upload.id IS 'Its name, and that of its file: random.';
COMMENT ON COLUMN upload.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN upload.length IS 'Bytes that it is to have.';
COMMENT ON COLUMN upload.received IS 'Bytes that are safely stored.';
COMMENT ON COLUMN upload.filename IS 'The name it was announced under.';
COMMENT ON COLUMN upload.options IS 'What else was asked for with it: duplicates, idempotency key.';
COMMENT ON COLUMN upload.document_id IS 'The document that it became; NULL until it is complete.';
COMMENT ON COLUMN upload.created_at IS 'When it was announced.';
COMMENT ON COLUMN upload.expires_at IS 'When it is given up, if nothing more comes.';
CREATE INDEX upload_tenant_id_idx ON upload (tenant_id);
CREATE INDEX upload_document_id_idx ON upload (document_id);
CREATE INDEX upload_expires_at_idx ON upload (expires_at);

CREATE TABLE idempotency (
    tenant_id bigint NOT NULL CONSTRAINT idempotency_tenant_id_fk REFERENCES tenant ON DELETE CASCADE,
    key text NOT NULL,
    document_id bigint NOT NULL CONSTRAINT idempotency_document_id_fk REFERENCES documents ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_pk PRIMARY KEY (tenant_id, key)
);
COMMENT ON TABLE idempotency IS 'Keys by which a tenant''s program says that two uploads are one.';
COMMENT ON COLUMN idempotency.tenant_id IS 'Whose key it is.';
COMMENT ON COLUMN idempotency.key IS 'The key, as it was sent.';
COMMENT ON COLUMN idempotency.document_id IS 'What came of the first.';
COMMENT ON COLUMN idempotency.created_at IS 'When that was; the key is forgotten after a while.';
CREATE INDEX idempotency_document_id_idx ON idempotency (document_id);
CREATE INDEX idempotency_created_at_idx ON idempotency (created_at);

-- Who serves a tenant sees that tenant's rows, whatever the statement says, and may do no more with them than `granted`.
CREATE FUNCTION gleaner_add_isolation(isolated regclass, tenant_column text, granted text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', isolated);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', isolated);
    EXECUTE format('CREATE POLICY own_rows ON %s USING (gleaner_tenant_id() IS NULL OR %I = gleaner_tenant_id())', isolated, tenant_column);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'gleaner_tenant') THEN
        EXECUTE format('CREATE POLICY own_rows_only ON %s AS RESTRICTIVE TO gleaner_tenant USING (%I = gleaner_tenant_id())', isolated, tenant_column);
        EXECUTE format('GRANT %s ON %s TO gleaner_tenant', granted, isolated);
    END IF;
END $$;
COMMENT ON FUNCTION gleaner_add_isolation IS 'Keeps the rows of a table apart by the tenant that a column names, and grants rights to whoever serves one.';

-- Roles belong to the whole server: other databases may have made it, or be making it. Without the right to make one, isolation rests on
-- the first policy alone, which a superuser is above; gleaner doctor says so.
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'gleaner_tenant') THEN
        CREATE ROLE gleaner_tenant NOLOGIN;
    END IF;
    -- Since PostgreSQL 16 whoever makes a role is its member and yet may not go by it, unless told so.
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT gleaner_tenant TO %I', current_user);
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'the role gleaner_tenant could not be made, nor joined: have a superuser do it, and run gleaner doctor';
    WHEN duplicate_object OR unique_violation THEN
        NULL;
END $$;

SELECT gleaner_add_isolation('tenant', 'id', 'SELECT, UPDATE (used_bytes, reserved_bytes, updated_at)');
SELECT gleaner_add_isolation('api_key', 'tenant_id', 'SELECT');
SELECT gleaner_add_isolation('tenant_identity', 'tenant_id', 'SELECT');
SELECT gleaner_add_isolation(name::regclass, 'tenant_id', 'SELECT, INSERT, UPDATE, DELETE')
FROM unnest(ARRAY['blob', 'documents', 'document_page', 'chunk', 'upload', 'idempotency']) AS name;
