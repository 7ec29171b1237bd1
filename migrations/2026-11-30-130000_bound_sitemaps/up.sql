-- What the sitemaps of one site may cost is counted, so that a site without end comes to an end; and whose a sitemap is that
-- stands on another site is noted down.
--
-- Locks: sitemap_file ACCESS EXCLUSIVE, for the time that three columns take to add: no row is read or written.
CREATE TABLE sitemap_budget (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT sitemap_budget_pk PRIMARY KEY,
    registrable_domain text NOT NULL,
    root_id bigint CONSTRAINT sitemap_budget_root_id_fk REFERENCES sitemap_file ON DELETE CASCADE,
    scope text NOT NULL GENERATED ALWAYS AS (CASE WHEN root_id IS NULL THEN 'domain' ELSE 'root' END) STORED,
    files bigint NOT NULL DEFAULT 0,
    pages bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    hosts text[] NOT NULL DEFAULT '{}',
    ended_by text CONSTRAINT sitemap_budget_ended_by_check CHECK (ended_by IN ('files', 'pages', 'bytes', 'hosts', 'depth')),
    ended_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sitemap_budget_ended_check CHECK ((ended_by IS NULL) = (ended_at IS NULL))
) WITH (fillfactor = 50);
COMMENT ON TABLE sitemap_budget IS 'What the sitemaps of a registrable domain, and of each root sitemap, have come to. A row that is deleted is counted anew from what is stored.';
COMMENT ON COLUMN sitemap_budget.id IS 'Key.';
COMMENT ON COLUMN sitemap_budget.registrable_domain IS 'Whose sitemaps they are.';
COMMENT ON COLUMN sitemap_budget.root_id IS 'The sitemap that no index lists, with all below it; NULL for the domain as a whole.';
COMMENT ON COLUMN sitemap_budget.scope IS 'domain or root.';
COMMENT ON COLUMN sitemap_budget.files IS 'Sitemaps stored.';
COMMENT ON COLUMN sitemap_budget.pages IS 'Pages stored from them.';
COMMENT ON COLUMN sitemap_budget.bytes IS 'Their size when last read, decompressed.';
COMMENT ON COLUMN sitemap_budget.hosts IS 'The hosts that they stand on.';
COMMENT ON COLUMN sitemap_budget.ended_by IS 'The budget that left something out: files, pages, bytes, hosts or depth; NULL while all went in.';
COMMENT ON COLUMN sitemap_budget.ended_at IS 'When it first did.';
COMMENT ON COLUMN sitemap_budget.created_at IS 'When the row was stored.';
COMMENT ON COLUMN sitemap_budget.updated_at IS 'When the row last changed.';
CREATE UNIQUE INDEX sitemap_budget_domain_key ON sitemap_budget (registrable_domain) WHERE root_id IS NULL;
CREATE UNIQUE INDEX sitemap_budget_root_id_key ON sitemap_budget (root_id) WHERE root_id IS NOT NULL;
CREATE INDEX sitemap_budget_ended_at_idx ON sitemap_budget (ended_at) WHERE ended_at IS NOT NULL;

ALTER TABLE sitemap_file ADD COLUMN vouched_by text, ADD COLUMN stopped_by text, ADD COLUMN foreign_count integer;
COMMENT ON COLUMN sitemap_file.vouched_by IS 'The host whose robots.txt names it; where it stands on another site, its pages count for that host alone.';
COMMENT ON COLUMN sitemap_file.stopped_by IS 'The limit that ended the reading or left something out: root_files, domain_pages, max_urls, gzip_members …; NULL if none did.';
COMMENT ON COLUMN sitemap_file.foreign_count IS 'Sitemaps of other sites that it lists, which were not taken; NULL until an index was read.';
