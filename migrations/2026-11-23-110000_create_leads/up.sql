-- The leads pipeline: place -> local_business -> domain -> sitemap_file -> page -> contact.
--
-- Each table is a stage (or two) for the workflow that reads it, and the result of the one before. Table and column names are
-- those that the operators' monitoring queries use. fillfactor leaves room for the status updates beside the rows.

CREATE TABLE place (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT place_pk PRIMARY KEY,
    place_id text NOT NULL CONSTRAINT place_place_id_key UNIQUE CONSTRAINT place_place_id_check CHECK (length(place_id) BETWEEN 1 AND 512),
    name text NOT NULL DEFAULT '',
    formatted_address text,
    business_type text,
    latitude double precision,
    longitude double precision,
    rating double precision,
    user_ratings_total integer,
    price_level smallint,
    search_query text,
    search_location text,
    notes text,
    tags text[],
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON TABLE place IS 'Places found by a search or imported: the entry of the leads pipeline.';
COMMENT ON COLUMN place.id IS 'Key.';
COMMENT ON COLUMN place.place_id IS 'The Places API''s identifier.';
COMMENT ON COLUMN place.name IS 'Name, as the search gave it.';
COMMENT ON COLUMN place.formatted_address IS 'Address in one line, as the search gave it.';
COMMENT ON COLUMN place.business_type IS 'The kind of business that was searched for.';
COMMENT ON COLUMN place.latitude IS 'Degrees north.';
COMMENT ON COLUMN place.longitude IS 'Degrees east.';
COMMENT ON COLUMN place.rating IS 'Stars, 1 to 5, as the search gave it.';
COMMENT ON COLUMN place.user_ratings_total IS 'Number of ratings.';
COMMENT ON COLUMN place.price_level IS '0 (free) to 4 (very expensive).';
COMMENT ON COLUMN place.search_query IS 'The search that found it.';
COMMENT ON COLUMN place.search_location IS 'Where that search looked.';
COMMENT ON COLUMN place.notes IS 'A person''s notes.';
COMMENT ON COLUMN place.tags IS 'A person''s tags.';
COMMENT ON COLUMN place.created_at IS 'When the row was stored.';
COMMENT ON COLUMN place.updated_at IS 'When the row last changed.';
SELECT gleaner_add_stage('place', 'deep_scan');
SELECT gleaner_add_curation('place', '{deep_scan}');
SELECT gleaner_add_touch('place');
CREATE INDEX place_updated_at_idx ON place (updated_at);

CREATE TABLE domain (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT domain_pk PRIMARY KEY,
    domain text NOT NULL CONSTRAINT domain_domain_key UNIQUE
        CONSTRAINT domain_domain_check CHECK (length(domain) BETWEEN 1 AND 253 AND domain = lower(domain)),
    registrable_domain text NOT NULL,
    title text,
    description text,
    language text,
    favicon_url text,
    logo_url text,
    is_wordpress boolean,
    wordpress_version text,
    has_elementor boolean,
    tech_stack jsonb,
    email_addresses text[],
    phone_numbers text[],
    facebook_url text,
    twitter_url text,
    linkedin_url text,
    instagram_url text,
    youtube_url text,
    home_url text,
    total_sitemaps integer,
    sitemap_urls integer,
    last_scan timestamptz,
    notes text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON TABLE domain IS 'Web sites: one row per canonical host.';
COMMENT ON COLUMN domain.id IS 'Key.';
COMMENT ON COLUMN domain.domain IS 'Canonical host: lower case, IDNA, without a leading www label.';
COMMENT ON COLUMN domain.registrable_domain IS 'The part that was registered, by the public suffix list.';
COMMENT ON COLUMN domain.title IS 'Title of the home page; NULL if it has none or was not read.';
COMMENT ON COLUMN domain.description IS 'Description of the home page.';
COMMENT ON COLUMN domain.language IS 'Language of the home page, as it declares it.';
COMMENT ON COLUMN domain.favicon_url IS 'Icon of the home page.';
COMMENT ON COLUMN domain.logo_url IS 'Logo on the home page.';
COMMENT ON COLUMN domain.is_wordpress IS 'Whether the home page shows signs of WordPress; NULL if not read.';
COMMENT ON COLUMN domain.wordpress_version IS 'Version of WordPress, where the page tells.';
COMMENT ON COLUMN domain.has_elementor IS 'Whether the home page shows signs of Elementor; NULL if not read.';
COMMENT ON COLUMN domain.tech_stack IS 'Technology hints on the home page: an array of names.';
COMMENT ON COLUMN domain.email_addresses IS 'E-mail addresses on the home page.';
COMMENT ON COLUMN domain.phone_numbers IS 'Telephone numbers on the home page, E.164.';
COMMENT ON COLUMN domain.facebook_url IS 'Facebook profile linked from the home page.';
COMMENT ON COLUMN domain.twitter_url IS 'X (Twitter) profile linked from the home page.';
COMMENT ON COLUMN domain.linkedin_url IS 'LinkedIn profile linked from the home page.';
COMMENT ON COLUMN domain.instagram_url IS 'Instagram profile linked from the home page.';
COMMENT ON COLUMN domain.youtube_url IS 'YouTube channel linked from the home page.';
COMMENT ON COLUMN domain.home_url IS 'Where the home page was found, after redirects.';
COMMENT ON COLUMN domain.total_sitemaps IS 'Sitemaps found by the last discovery; NULL before the first.';
COMMENT ON COLUMN domain.sitemap_urls IS 'URLs listed in them.';
COMMENT ON COLUMN domain.last_scan IS 'When sitemaps were last discovered.';
COMMENT ON COLUMN domain.notes IS 'A person''s notes.';
COMMENT ON COLUMN domain.created_at IS 'When the row was stored.';
COMMENT ON COLUMN domain.updated_at IS 'When the row last changed.';
SELECT gleaner_add_stage('domain', 'metadata');
SELECT gleaner_add_stage('domain', 'sitemap');
SELECT gleaner_add_curation('domain', '{metadata,sitemap}');
SELECT gleaner_add_touch('domain');
CREATE INDEX domain_created_at_idx ON domain (created_at);
CREATE INDEX domain_registrable_domain_idx ON domain (registrable_domain);

CREATE TABLE local_business (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT local_business_pk PRIMARY KEY,
    place_id text CONSTRAINT local_business_place_id_key UNIQUE,
    domain_id bigint CONSTRAINT local_business_domain_id_fk REFERENCES domain ON DELETE SET NULL,
    name text NOT NULL,
    website text,
    phone text,
    full_address text,
    street_address text,
    city text,
    state text,
    zip text,
    country text,
    country_code text,
    latitude double precision,
    longitude double precision,
    utc_offset_minutes integer,
    main_category text,
    extra_categories text[],
    business_status text,
    rating double precision,
    reviews_count integer,
    price_level smallint,
    monday_hours text,
    tuesday_hours text,
    wednesday_hours text,
    thursday_hours text,
    friday_hours text,
    saturday_hours text,
    sunday_hours text,
    scanned_at timestamptz,
    notes text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON TABLE local_business IS 'Businesses with their details, from a deep scan of a place or imported.';
COMMENT ON COLUMN local_business.id IS 'Key.';
COMMENT ON COLUMN local_business.place_id IS 'The Places API''s identifier; NULL for a business from elsewhere.';
COMMENT ON COLUMN local_business.domain_id IS 'Its web site; several businesses may share one.';
COMMENT ON COLUMN local_business.name IS 'Name of the business.';
COMMENT ON COLUMN local_business.website IS 'Its web site, as given.';
COMMENT ON COLUMN local_business.phone IS 'International phone number, as given.';
COMMENT ON COLUMN local_business.full_address IS 'Address in one line.';
COMMENT ON COLUMN local_business.street_address IS 'Street and number.';
COMMENT ON COLUMN local_business.city IS 'Town.';
COMMENT ON COLUMN local_business.state IS 'First-level administrative area.';
COMMENT ON COLUMN local_business.zip IS 'Postal code.';
COMMENT ON COLUMN local_business.country IS 'Country by name.';
COMMENT ON COLUMN local_business.country_code IS 'Country by ISO 3166-1 alpha-2 code.';
COMMENT ON COLUMN local_business.latitude IS 'Degrees north.';
COMMENT ON COLUMN local_business.longitude IS 'Degrees east.';
COMMENT ON COLUMN local_business.utc_offset_minutes IS 'Minutes east of UTC at the time of the scan.';
COMMENT ON COLUMN local_business.main_category IS 'First type the API names.';
COMMENT ON COLUMN local_business.extra_categories IS 'The other types.';
COMMENT ON COLUMN local_business.business_status IS 'OPERATIONAL, CLOSED_TEMPORARILY, CLOSED_PERMANENTLY.';
COMMENT ON COLUMN local_business.rating IS 'Stars, 1 to 5.';
COMMENT ON COLUMN local_business.reviews_count IS 'Number of ratings.';
COMMENT ON COLUMN local_business.price_level IS '0 (free) to 4 (very expensive).';
COMMENT ON COLUMN local_business.monday_hours IS 'Opening hours on Mondays, as the API words them.';
COMMENT ON COLUMN local_business.tuesday_hours IS 'Opening hours on Tuesdays.';
COMMENT ON COLUMN local_business.wednesday_hours IS 'Opening hours on Wednesdays.';
COMMENT ON COLUMN local_business.thursday_hours IS 'Opening hours on Thursdays.';
COMMENT ON COLUMN local_business.friday_hours IS 'Opening hours on Fridays.';
COMMENT ON COLUMN local_business.saturday_hours IS 'Opening hours on Saturdays.';
COMMENT ON COLUMN local_business.sunday_hours IS 'Opening hours on Sundays.';
COMMENT ON COLUMN local_business.scanned_at IS 'When its details were last fetched.';
COMMENT ON COLUMN local_business.notes IS 'A person''s notes.';
COMMENT ON COLUMN local_business.created_at IS 'When the row was stored.';
COMMENT ON COLUMN local_business.updated_at IS 'When the row last changed.';
SELECT gleaner_add_stage('local_business', 'domain_extraction');
SELECT gleaner_add_curation('local_business', '{domain_extraction}');
SELECT gleaner_add_touch('local_business');
CREATE INDEX local_business_domain_id_idx ON local_business (domain_id);
CREATE INDEX local_business_updated_at_idx ON local_business (updated_at);

CREATE TABLE sitemap_file (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT sitemap_file_pk PRIMARY KEY,
    domain_id bigint NOT NULL CONSTRAINT sitemap_file_domain_id_fk REFERENCES domain ON DELETE CASCADE,
    url text NOT NULL CONSTRAINT sitemap_file_url_check CHECK (octet_length(url) BETWEEN 1 AND 2048),
    sitemap_type text,
    discovery_method text NOT NULL DEFAULT 'manual' CONSTRAINT sitemap_file_discovery_method_check
        CHECK (discovery_method IN ('robots_txt', 'common_path', 'html_link', 'sitemap_index', 'manual')),
    parent_id bigint CONSTRAINT sitemap_file_parent_id_fk REFERENCES sitemap_file ON DELETE SET NULL,
    depth smallint NOT NULL DEFAULT 0,
    url_count integer,
    size_bytes bigint,
    is_gzipped boolean,
    is_truncated boolean,
    last_processed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sitemap_file_domain_id_url_key UNIQUE (domain_id, url)
) WITH (fillfactor = 80);
COMMENT ON TABLE sitemap_file IS 'Sitemaps of a domain, each of which parsed as one when it was stored.';
COMMENT ON COLUMN sitemap_file.id IS 'Key.';
COMMENT ON COLUMN sitemap_file.domain_id IS 'Whose sitemap it is.';
COMMENT ON COLUMN sitemap_file.url IS 'Its normalised address.';
COMMENT ON COLUMN sitemap_file.sitemap_type IS 'urlset, sitemapindex, text, rss or atom; NULL until it was read.';
COMMENT ON COLUMN sitemap_file.discovery_method IS 'How it was found.';
COMMENT ON COLUMN sitemap_file.parent_id IS 'The index that lists it.';
COMMENT ON COLUMN sitemap_file.depth IS 'How many indexes it lies below.';
COMMENT ON COLUMN sitemap_file.url_count IS 'Entries in it; NULL until it was read.';
COMMENT ON COLUMN sitemap_file.size_bytes IS 'Its size, decompressed.';
COMMENT ON COLUMN sitemap_file.is_gzipped IS 'Whether the file itself is gzip.';
COMMENT ON COLUMN sitemap_file.is_truncated IS 'Whether a budget or damage cut the reading short.';
COMMENT ON COLUMN sitemap_file.last_processed_at IS 'When it was last imported.';
COMMENT ON COLUMN sitemap_file.created_at IS 'When the row was stored.';
COMMENT ON COLUMN sitemap_file.updated_at IS 'When the row last changed.';
SELECT gleaner_add_stage('sitemap_file', 'import');
SELECT gleaner_add_curation('sitemap_file', '{import}');
SELECT gleaner_add_touch('sitemap_file');
CREATE INDEX sitemap_file_parent_id_idx ON sitemap_file (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE page (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT page_pk PRIMARY KEY,
    domain_id bigint NOT NULL CONSTRAINT page_domain_id_fk REFERENCES domain ON DELETE CASCADE,
    sitemap_file_id bigint CONSTRAINT page_sitemap_file_id_fk REFERENCES sitemap_file ON DELETE SET NULL,
    url text NOT NULL CONSTRAINT page_url_check CHECK (octet_length(url) BETWEEN 1 AND 2048),
    page_type text NOT NULL DEFAULT 'unknown',
    page_rule text,
    page_confidence real,
    rules_version smallint,
    path_depth smallint,
    last_modified timestamptz,
    changefreq text,
    sitemap_priority real,
    title text,
    description text,
    language text,
    h1 text,
    canonical_url text,
    meta_robots text,
    word_count integer,
    has_contact_form boolean,
    schema_types text[],
    contact_scrape_status text NOT NULL DEFAULT 'New' CONSTRAINT page_contact_scrape_status_check
        CHECK (contact_scrape_status IN ('New', 'ContactFound', 'NoContactFound')),
    last_scan timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT page_domain_id_url_key UNIQUE (domain_id, url)
) WITH (fillfactor = 85);
COMMENT ON TABLE page IS 'Pages of a domain: every URL its sitemaps list, categorised; those of interest are fetched.';
COMMENT ON COLUMN page.id IS 'Key.';
COMMENT ON COLUMN page.domain_id IS 'Whose page it is.';
COMMENT ON COLUMN page.sitemap_file_id IS 'The sitemap it was first found in.';
COMMENT ON COLUMN page.url IS 'Its normalised address.';
COMMENT ON COLUMN page.page_type IS 'What the rules make of its address: contact_root, legal_root, …, unknown.';
COMMENT ON COLUMN page.page_rule IS 'The rule that decided.';
COMMENT ON COLUMN page.page_confidence IS 'How sure that rule is, 0 to 1.';
COMMENT ON COLUMN page.rules_version IS 'Version of the rules that decided.';
COMMENT ON COLUMN page.path_depth IS 'Segments in its path.';
COMMENT ON COLUMN page.last_modified IS 'As the sitemap says.';
COMMENT ON COLUMN page.changefreq IS 'As the sitemap says.';
COMMENT ON COLUMN page.sitemap_priority IS 'As the sitemap says, 0 to 1.';
COMMENT ON COLUMN page.title IS 'Its title; this and the following are NULL until it was fetched, and where the page has none.';
COMMENT ON COLUMN page.description IS 'Its description.';
COMMENT ON COLUMN page.language IS 'Its language, as it declares it.';
COMMENT ON COLUMN page.h1 IS 'Its first main heading.';
COMMENT ON COLUMN page.canonical_url IS 'The address it declares canonical.';
COMMENT ON COLUMN page.meta_robots IS 'What it tells robots.';
COMMENT ON COLUMN page.word_count IS 'Words in its visible text.';
COMMENT ON COLUMN page.has_contact_form IS 'Whether it has a contact form.';
COMMENT ON COLUMN page.schema_types IS 'schema.org types it declares.';
COMMENT ON COLUMN page.contact_scrape_status IS 'Whether it yielded contacts: New until it was fetched.';
COMMENT ON COLUMN page.last_scan IS 'When it was last fetched.';
COMMENT ON COLUMN page.created_at IS 'When the row was stored.';
COMMENT ON COLUMN page.updated_at IS 'When the row last changed.';
SELECT gleaner_add_stage('page', 'curation');
SELECT gleaner_add_curation('page', '{curation}');
SELECT gleaner_add_touch('page');
CREATE INDEX page_sitemap_file_id_idx ON page (sitemap_file_id) WHERE sitemap_file_id IS NOT NULL;

CREATE TABLE contact (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT contact_pk PRIMARY KEY,
    domain_id bigint NOT NULL CONSTRAINT contact_domain_id_fk REFERENCES domain ON DELETE CASCADE,
    page_id bigint CONSTRAINT contact_page_id_fk REFERENCES page ON DELETE SET NULL,
    kind text NOT NULL CONSTRAINT contact_kind_check CHECK (kind IN ('email', 'phone', 'social')),
    value text NOT NULL CONSTRAINT contact_value_check CHECK (octet_length(value) BETWEEN 1 AND 2048),
    detail text,
    raw text,
    source text NOT NULL,
    confidence real NOT NULL CONSTRAINT contact_confidence_check CHECK (confidence BETWEEN 0 AND 1),
    source_url text NOT NULL,
    email text GENERATED ALWAYS AS (CASE WHEN kind = 'email' THEN value END) STORED,
    phone text GENERATED ALWAYS AS (CASE WHEN kind = 'phone' THEN value END) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT contact_domain_id_kind_value_key UNIQUE (domain_id, kind, value)
);
COMMENT ON TABLE contact IS 'Every way found to reach a domain''s people: once per domain, with where and how surely it was found.';
COMMENT ON COLUMN contact.id IS 'Key.';
COMMENT ON COLUMN contact.domain_id IS 'Whose contact it is.';
COMMENT ON COLUMN contact.page_id IS 'The page it is best attested on.';
COMMENT ON COLUMN contact.kind IS 'email, phone or social.';
COMMENT ON COLUMN contact.value IS 'Lower-case address, E.164 number, or profile URL.';
COMMENT ON COLUMN contact.detail IS 'email: service, corporate, free or unknown; phone: voice, fax or unknown; social: the platform.';
COMMENT ON COLUMN contact.raw IS 'As it stood on the page, where that differs.';
COMMENT ON COLUMN contact.source IS 'Where on the page it stood: mailto, tel, jsonld, text, …';
COMMENT ON COLUMN contact.confidence IS 'How sure the extraction is, 0 to 1.';
COMMENT ON COLUMN contact.source_url IS 'Address of that page.';
COMMENT ON COLUMN contact.email IS 'The value, where it is an e-mail address.';
COMMENT ON COLUMN contact.phone IS 'The value, where it is a telephone number.';
COMMENT ON COLUMN contact.created_at IS 'When it was first found.';
COMMENT ON COLUMN contact.updated_at IS 'When the row last changed.';
SELECT gleaner_add_touch('contact');
CREATE INDEX contact_page_id_idx ON contact (page_id);
CREATE INDEX contact_email_idx ON contact (email) WHERE email IS NOT NULL;
