-- Documents: vectors of their pieces, by the stage document-embedding, which nothing waits for.
--
-- Locks: documents ACCESS EXCLUSIVE for a moment, to add columns without values, and SHARE while the indexes over the rows that are
-- queued, of which there are none, are built: one look at every row.

SELECT gleaner_add_stage('documents', 'embed');

-- In the order in which a tenant's documents are taken, tenant by tenant.
CREATE INDEX documents_embed_share_idx ON documents (tenant_id, embed_priority DESC, embed_due_at, id)
    WHERE embed_status = 'Queued';

CREATE TABLE embedding (
    document_id bigint NOT NULL CONSTRAINT embedding_document_id_fk REFERENCES documents ON DELETE CASCADE,
    seq integer NOT NULL,
    tenant_id bigint NOT NULL,
    model text NOT NULL,
    vector real[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT embedding_pk PRIMARY KEY (document_id, seq)
);
COMMENT ON TABLE embedding IS 'Vectors of the pieces of documents, by a model of the operator''s.';
COMMENT ON COLUMN embedding.document_id IS 'The document.';
COMMENT ON COLUMN embedding.seq IS 'The piece: chunk.seq.';
COMMENT ON COLUMN embedding.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN embedding.model IS 'What made it: the option model of document-embedding.';
COMMENT ON COLUMN embedding.vector IS 'The vector: of the type vector where the server has pgvector, else an array.';
COMMENT ON COLUMN embedding.created_at IS 'When it was stored.';
CREATE INDEX embedding_tenant_id_idx ON embedding (tenant_id);
SELECT gleaner_add_isolation('embedding', 'tenant_id', 'SELECT');

-- pgvector where the server has it and we may. It stays when the table goes: others may use it.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector') THEN
        CREATE EXTENSION IF NOT EXISTS vector;
    END IF;
    IF to_regtype('vector') IS NOT NULL THEN
        ALTER TABLE embedding ALTER COLUMN vector TYPE vector USING vector::vector;
    END IF;
EXCEPTION
    WHEN insufficient_privilege OR feature_not_supported THEN
        RAISE NOTICE 'pgvector is on this server and could not be used: vectors are stored as arrays';
END $$;
