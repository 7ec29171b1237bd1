-- The price pipeline: product_url -> crawl_job -> crawl_result -> price_history, and what steers it (site, crawl_policy,
-- subscription, bot, extraction_pattern) and tells of it (flag, notification).
--
-- Three of the tables are stages: crawl_job (crawl), crawl_result (auto_record), notification (delivery); and site (pattern).
-- PostgreSQL holds the whole truth; what is in Redis can be rebuilt from here. Amounts are exact decimals with at most four
-- places, never rounded. Locks: creates only, and a short exclusive lock on lease for two columns.

CREATE TABLE site (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT site_pk PRIMARY KEY,
    domain text NOT NULL CONSTRAINT site_domain_key UNIQUE
        CONSTRAINT site_domain_check CHECK (length(domain) BETWEEN 1 AND 253 AND domain = lower(domain)),
    enabled boolean NOT NULL DEFAULT true,
    rate_per_minute integer CONSTRAINT site_rate_per_minute_check CHECK (rate_per_minute > 0),
    delay_seconds real CONSTRAINT site_delay_seconds_check CHECK (delay_seconds >= 0),
    next_pull_at timestamptz NOT NULL DEFAULT '-infinity',
    render boolean NOT NULL DEFAULT false,
    currency text CONSTRAINT site_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    extraction_failures integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON TABLE site IS 'Shops: one row per registrable domain, with how it may be crawled.';
COMMENT ON COLUMN site.id IS 'Key.';
COMMENT ON COLUMN site.domain IS 'Registrable domain by the public suffix list (the host where there is none), lower case.';
COMMENT ON COLUMN site.enabled IS 'false: nothing of it is crawled, by anybody.';
COMMENT ON COLUMN site.rate_per_minute IS 'At most this many of its jobs are handed out per minute, over all workers; NULL for no limit of its own.';
COMMENT ON COLUMN site.delay_seconds IS 'At least this long between two jobs of it; NULL for the configured per-host delay.';
COMMENT ON COLUMN site.next_pull_at IS 'Before this no job of it is handed to a bot: moved on by what has been handed out.';
COMMENT ON COLUMN site.render IS 'Whether its pages need a browser (JavaScript) to show their prices.';
COMMENT ON COLUMN site.currency IS 'Currency of prices that do not name one (ISO 4217); NULL to tell by page and domain.';
COMMENT ON COLUMN site.extraction_failures IS 'Extractions that failed in a row; network errors do not count. At three a pattern is learnt.';
COMMENT ON COLUMN site.created_at IS 'When the row was stored.';
COMMENT ON COLUMN site.updated_at IS 'When the row last changed.';
SELECT gleaner_add_stage('site', 'pattern');
SELECT gleaner_add_touch('site');
-- Whoever counts the third failure in a row asks for the repair.
CREATE FUNCTION gleaner_queue_repair() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.pattern_status := 'Queued';
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_queue_repair IS 'Queues the learning of a pattern when a shop could not be read three times in a row.';
CREATE TRIGGER gleaner_1_repair_update BEFORE UPDATE ON site FOR EACH ROW
    WHEN (NEW.extraction_failures >= 3 AND OLD.extraction_failures < 3) EXECUTE FUNCTION gleaner_queue_repair();

CREATE TABLE product (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT product_pk PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    brand text,
    sku text,
    gtin text,
    mpn text,
    category text,
    image_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
COMMENT ON TABLE product IS 'What is tracked, whichever shops sell it.';
COMMENT ON COLUMN product.id IS 'Key.';
COMMENT ON COLUMN product.name IS 'Name; empty until somebody or the first crawl gives one.';
COMMENT ON COLUMN product.brand IS 'Brand.';
COMMENT ON COLUMN product.sku IS 'Article number.';
COMMENT ON COLUMN product.gtin IS 'GTIN, EAN, UPC or ISBN.';
COMMENT ON COLUMN product.mpn IS 'The maker''s part number.';
COMMENT ON COLUMN product.category IS 'Category, as its owner sorts.';
COMMENT ON COLUMN product.image_url IS 'A picture.';
COMMENT ON COLUMN product.created_at IS 'When the row was stored.';
COMMENT ON COLUMN product.updated_at IS 'When the row last changed.';
SELECT gleaner_add_touch('product');

CREATE TABLE product_url (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT product_url_pk PRIMARY KEY,
    product_id bigint CONSTRAINT product_url_product_id_fk REFERENCES product ON DELETE SET NULL,
    site_id bigint CONSTRAINT product_url_site_id_fk REFERENCES site ON DELETE CASCADE,
    raw_url text NOT NULL CONSTRAINT product_url_raw_url_check CHECK (length(raw_url) BETWEEN 1 AND 8192),
    url text,
    url_hash text CONSTRAINT product_url_url_hash_key UNIQUE,
    tags text[] NOT NULL DEFAULT '{}',
    is_active boolean NOT NULL DEFAULT true,
    rejected text,
    title text,
    current_price numeric,
    current_currency text,
    current_availability text,
    current_at timestamptz,
    held_price numeric,
    held_currency text,
    held_at timestamptz,
    last_crawled_at timestamptz,
    crawl_error text,
    canonical_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT product_url_admitted_check CHECK ((url IS NULL) = (url_hash IS NULL) AND (url IS NULL) = (site_id IS NULL))
) WITH (fillfactor = 80);
COMMENT ON TABLE product_url IS 'Product pages to be crawled, each once: insert raw_url, the crawl-scheduler does the rest.';
COMMENT ON COLUMN product_url.id IS 'Key.';
COMMENT ON COLUMN product_url.product_id IS 'The product it shows; NULL while nobody said.';
COMMENT ON COLUMN product_url.site_id IS 'The shop; NULL until the crawl-scheduler has admitted the URL.';
COMMENT ON COLUMN product_url.raw_url IS 'The URL as it was given.';
COMMENT ON COLUMN product_url.url IS 'The same, normalised, as it is fetched; NULL until admitted.';
COMMENT ON COLUMN product_url.url_hash IS 'SHA-256 of url, in hexadecimal; NULL until admitted.';
COMMENT ON COLUMN product_url.tags IS 'Tags, by which policies may select.';
COMMENT ON COLUMN product_url.is_active IS 'false: not crawled.';
COMMENT ON COLUMN product_url.rejected IS 'Why the crawl-scheduler did not admit it: no URL, or the same page as another row.';
COMMENT ON COLUMN product_url.title IS 'Title of the offer, as last seen.';
COMMENT ON COLUMN product_url.current_price IS 'Price last recorded.';
COMMENT ON COLUMN product_url.current_currency IS 'Its currency (ISO 4217).';
COMMENT ON COLUMN product_url.current_availability IS 'Availability last recorded: InStock, OutOfStock, PreOrder, LimitedAvailability, Discontinued.';
COMMENT ON COLUMN product_url.current_at IS 'When that was observed.';
COMMENT ON COLUMN product_url.held_price IS 'A price that jumped, held until a second look confirms it.';
COMMENT ON COLUMN product_url.held_currency IS 'Its currency.';
COMMENT ON COLUMN product_url.held_at IS 'When it was observed.';
COMMENT ON COLUMN product_url.last_crawled_at IS 'When it was last crawled, well or not.';
COMMENT ON COLUMN product_url.crawl_error IS 'Why the last crawl failed; NULL if it went well.';
COMMENT ON COLUMN product_url.canonical_url IS 'The address by which the shop knows the page: what it declares canonical, or where it was in the end; NULL if not told.';
COMMENT ON COLUMN product_url.created_at IS 'When the row was stored.';
COMMENT ON COLUMN product_url.updated_at IS 'When the row last changed.';
SELECT gleaner_add_touch('product_url');
CREATE INDEX product_url_product_id_idx ON product_url (product_id);
CREATE INDEX product_url_site_id_idx ON product_url (site_id);
CREATE INDEX product_url_new_idx ON product_url (id) WHERE url IS NULL AND rejected IS NULL;

CREATE TABLE subscription (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT subscription_pk PRIMARY KEY,
    subscriber text NOT NULL CONSTRAINT subscription_subscriber_check CHECK (length(subscriber) BETWEEN 1 AND 200),
    product_id bigint CONSTRAINT subscription_product_id_fk REFERENCES product ON DELETE CASCADE,
    product_url_id bigint CONSTRAINT subscription_product_url_id_fk REFERENCES product_url ON DELETE CASCADE,
    priority text NOT NULL DEFAULT 'normal' CONSTRAINT subscription_priority_check CHECK (priority IN ('high', 'normal', 'low')),
    target_price numeric CONSTRAINT subscription_target_price_check CHECK (target_price > 0),
    target_currency text CONSTRAINT subscription_target_currency_check CHECK (target_currency ~ '^[A-Z]{3}$'),
    notify_drop boolean NOT NULL DEFAULT true,
    min_drop_percent numeric NOT NULL DEFAULT 1 CONSTRAINT subscription_min_drop_percent_check CHECK (min_drop_percent BETWEEN 0 AND 100),
    notify_target boolean NOT NULL DEFAULT true,
    notify_restock boolean NOT NULL DEFAULT false,
    webhook_url text,
    email text,
    active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT subscription_subject_check CHECK (num_nonnulls(product_id, product_url_id) = 1)
);
COMMENT ON TABLE subscription IS 'Who wants to know about what, and how fresh it must be.';
COMMENT ON COLUMN subscription.id IS 'Key.';
COMMENT ON COLUMN subscription.subscriber IS 'Whoever asked, by the name that their own system has.';
COMMENT ON COLUMN subscription.product_id IS 'A product, in all its shops; or else';
COMMENT ON COLUMN subscription.product_url_id IS 'one page.';
COMMENT ON COLUMN subscription.priority IS 'high: crawled every 15 minutes; normal: every hour; low: every day.';
COMMENT ON COLUMN subscription.target_price IS 'Tell when the price falls to this or below; NULL for none.';
COMMENT ON COLUMN subscription.target_currency IS 'The currency of target_price; NULL for whatever the shop''s is.';
COMMENT ON COLUMN subscription.notify_drop IS 'Tell of price drops.';
COMMENT ON COLUMN subscription.min_drop_percent IS 'Smaller drops than this, in percent, are not told.';
COMMENT ON COLUMN subscription.notify_target IS 'Tell when the target is crossed.';
COMMENT ON COLUMN subscription.notify_restock IS 'Tell when it is back in stock.';
COMMENT ON COLUMN subscription.webhook_url IS 'Notifications are posted here; NULL for not.';
COMMENT ON COLUMN subscription.email IS 'Notifications are mailed here; NULL for not.';
COMMENT ON COLUMN subscription.active IS 'false: asks for nothing.';
COMMENT ON COLUMN subscription.created_at IS 'When the row was stored.';
COMMENT ON COLUMN subscription.updated_at IS 'When the row last changed.';
SELECT gleaner_add_touch('subscription');
CREATE UNIQUE INDEX subscription_subscriber_product_key ON subscription (subscriber, product_id) WHERE product_id IS NOT NULL;
CREATE UNIQUE INDEX subscription_subscriber_product_url_key ON subscription (subscriber, product_url_id) WHERE product_url_id IS NOT NULL;
CREATE INDEX subscription_product_id_idx ON subscription (product_id);
CREATE INDEX subscription_product_url_id_idx ON subscription (product_url_id);

CREATE TABLE crawl_policy (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT crawl_policy_pk PRIMARY KEY,
    name text NOT NULL CONSTRAINT crawl_policy_name_key UNIQUE CONSTRAINT crawl_policy_name_check CHECK (btrim(name) <> ''),
    selection text NOT NULL CONSTRAINT crawl_policy_selection_check CHECK (selection IN ('all', 'domain', 'domain_regex', 'url_regex', 'tag')),
    target text NOT NULL DEFAULT '',
    frequency interval NOT NULL DEFAULT '24 hours' CONSTRAINT crawl_policy_frequency_check CHECK (frequency >= '1 minute'),
    priority smallint NOT NULL DEFAULT 5 CONSTRAINT crawl_policy_priority_check CHECK (priority BETWEEN 0 AND 100),
    max_retries smallint NOT NULL DEFAULT 3 CONSTRAINT crawl_policy_max_retries_check CHECK (max_retries BETWEEN 1 AND 100),
    retry_backoff interval NOT NULL DEFAULT '5 minutes' CONSTRAINT crawl_policy_retry_backoff_check CHECK (retry_backoff > '0'),
    timeout interval NOT NULL DEFAULT '10 minutes' CONSTRAINT crawl_policy_timeout_check CHECK (timeout BETWEEN '1 second' AND '1 day'),
    enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT crawl_policy_target_check CHECK ((selection = 'all') = (btrim(target) = ''))
);
COMMENT ON TABLE crawl_policy IS 'How often and how urgently which pages are crawled. Of those that match, the highest priority decides, then the most specific, then the oldest.';
COMMENT ON COLUMN crawl_policy.id IS 'Key.';
COMMENT ON COLUMN crawl_policy.name IS 'Its name, for people.';
COMMENT ON COLUMN crawl_policy.selection IS 'What it selects by: all, domain, domain_regex, url_regex, tag.';
COMMENT ON COLUMN crawl_policy.target IS 'The domain, regular expression (PostgreSQL''s) or tag; empty for all, and never empty otherwise.';
COMMENT ON COLUMN crawl_policy.frequency IS 'From one crawl to the next.';
COMMENT ON COLUMN crawl_policy.priority IS 'Priority of its jobs: 1 low, 5 normal, 10 high, 20 urgent.';
COMMENT ON COLUMN crawl_policy.max_retries IS 'Attempts in all before a job has failed.';
COMMENT ON COLUMN crawl_policy.retry_backoff IS 'Before the second attempt; doubled up to three times.';
COMMENT ON COLUMN crawl_policy.timeout IS 'How long a bot may keep a job without a sign of life.';
COMMENT ON COLUMN crawl_policy.enabled IS 'false: matches nothing.';
COMMENT ON COLUMN crawl_policy.created_at IS 'When the row was stored.';
COMMENT ON COLUMN crawl_policy.updated_at IS 'When the row last changed.';
SELECT gleaner_add_touch('crawl_policy');

-- A regular expression that PostgreSQL cannot read is refused where it is written, not found out at night.
CREATE FUNCTION gleaner_check_policy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.selection IN ('domain_regex', 'url_regex') THEN
        PERFORM '' ~ NEW.target;
    ELSIF NEW.selection = 'domain' THEN
        NEW.target := lower(btrim(NEW.target));
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_check_policy IS 'Refuses a policy whose regular expression does not compile.';
CREATE TRIGGER crawl_policy_check BEFORE INSERT OR UPDATE ON crawl_policy FOR EACH ROW EXECUTE FUNCTION gleaner_check_policy();

CREATE TABLE bot (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT bot_pk PRIMARY KEY,
    bot_id text NOT NULL CONSTRAINT bot_bot_id_key UNIQUE CONSTRAINT bot_bot_id_check CHECK (length(bot_id) BETWEEN 1 AND 100),
    name text NOT NULL DEFAULT '',
    token_hash bytea NOT NULL CONSTRAINT bot_token_hash_check CHECK (length(token_hash) = 32),
    enabled boolean NOT NULL DEFAULT true,
    max_jobs_per_pull integer NOT NULL DEFAULT 10 CONSTRAINT bot_max_jobs_per_pull_check CHECK (max_jobs_per_pull BETWEEN 1 AND 1000),
    lock_ttl_seconds integer CONSTRAINT bot_lock_ttl_seconds_check CHECK (lock_ttl_seconds BETWEEN 1 AND 86400),
    rate_limit_per_minute integer NOT NULL DEFAULT 60 CONSTRAINT bot_rate_limit_per_minute_check CHECK (rate_limit_per_minute > 0),
    allowed_domains text[] NOT NULL DEFAULT '{}',
    window_started_at timestamptz NOT NULL DEFAULT '-infinity',
    window_pulls integer NOT NULL DEFAULT 0,
    jobs_pulled bigint NOT NULL DEFAULT 0,
    jobs_completed bigint NOT NULL DEFAULT 0,
    jobs_failed bigint NOT NULL DEFAULT 0,
    last_pull_at timestamptz,
    last_submit_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE bot IS 'Outside workers that pull jobs and submit results over HTTP.';
COMMENT ON COLUMN bot.id IS 'Key.';
COMMENT ON COLUMN bot.bot_id IS 'The name it logs in with.';
COMMENT ON COLUMN bot.name IS 'Its name, for people.';
COMMENT ON COLUMN bot.token_hash IS 'SHA-256 of its token; the token itself is shown once and kept nowhere.';
COMMENT ON COLUMN bot.enabled IS 'false: refused.';
COMMENT ON COLUMN bot.max_jobs_per_pull IS 'At most this many jobs per pull.';
COMMENT ON COLUMN bot.lock_ttl_seconds IS 'How long it may keep a job without a sign of life; NULL for the policy''s timeout.';
COMMENT ON COLUMN bot.rate_limit_per_minute IS 'At most this many pulls per minute.';
COMMENT ON COLUMN bot.allowed_domains IS 'The registrable domains whose jobs it may have; empty for all.';
COMMENT ON COLUMN bot.window_started_at IS 'When the minute began in which its pulls are counted.';
COMMENT ON COLUMN bot.window_pulls IS 'Pulls in that minute.';
COMMENT ON COLUMN bot.jobs_pulled IS 'Jobs handed to it.';
COMMENT ON COLUMN bot.jobs_completed IS 'Of these, submitted with success.';
COMMENT ON COLUMN bot.jobs_failed IS 'Of these, submitted as failed.';
COMMENT ON COLUMN bot.last_pull_at IS 'Its last pull.';
COMMENT ON COLUMN bot.last_submit_at IS 'Its last submit.';
COMMENT ON COLUMN bot.created_at IS 'When the row was stored.';
COMMENT ON COLUMN bot.updated_at IS 'When the row last changed.';

-- What is due together shall not stay together.
CREATE FUNCTION gleaner_spread(span interval) RETURNS interval LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT span * (0.9 + 0.2 * random())
$$;
COMMENT ON FUNCTION gleaner_spread IS 'The span, one tenth shorter or longer at random.';

-- A bot holds its jobs by leases like any other worker, renewed by its own heartbeats and not by a node's.
ALTER TABLE lease ALTER COLUMN node_id DROP NOT NULL,
    ADD COLUMN bot_id bigint CONSTRAINT lease_bot_id_fk REFERENCES bot ON DELETE CASCADE,
    ADD CONSTRAINT lease_holder_check CHECK (num_nonnulls(node_id, bot_id) = 1);
COMMENT ON COLUMN lease.node_id IS 'The process that holds it; NULL for a bot''s.';
COMMENT ON COLUMN lease.bot_id IS 'The bot that holds it; NULL for a process''s.';

CREATE TABLE crawl_job (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT crawl_job_pk PRIMARY KEY,
    product_url_id bigint NOT NULL CONSTRAINT crawl_job_product_url_id_key UNIQUE
        CONSTRAINT crawl_job_product_url_id_fk REFERENCES product_url ON DELETE CASCADE,
    site_id bigint NOT NULL CONSTRAINT crawl_job_site_id_fk REFERENCES site ON DELETE CASCADE,
    policy_id bigint CONSTRAINT crawl_job_policy_id_fk REFERENCES crawl_policy ON DELETE SET NULL,
    frequency interval NOT NULL DEFAULT '24 hours',
    priority smallint NOT NULL DEFAULT 5,
    max_retries smallint NOT NULL DEFAULT 3,
    retry_backoff interval NOT NULL DEFAULT '5 minutes',
    timeout interval NOT NULL DEFAULT '10 minutes',
    next_run_at timestamptz,
    failure_count integer NOT NULL DEFAULT 0,
    locked_by text,
    locked_lease bigint,
    plan bigint NOT NULL DEFAULT 0,
    last_result_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
COMMENT ON TABLE crawl_job IS 'The crawling of one product page: one row per URL for good, queued whenever it is due.';
COMMENT ON COLUMN crawl_job.id IS 'Key.';
COMMENT ON COLUMN crawl_job.product_url_id IS 'The page: there is never a second job for it.';
COMMENT ON COLUMN crawl_job.site_id IS 'Its shop.';
COMMENT ON COLUMN crawl_job.policy_id IS 'The policy that decided; NULL where a subscription or nothing did.';
COMMENT ON COLUMN crawl_job.frequency IS 'From one crawl to the next, from the policy or the keenest subscription.';
COMMENT ON COLUMN crawl_job.priority IS 'What crawl_priority starts from; raised while the job waits too long.';
COMMENT ON COLUMN crawl_job.max_retries IS 'Attempts in all before it has failed.';
COMMENT ON COLUMN crawl_job.retry_backoff IS 'Before the second attempt; doubled up to three times.';
COMMENT ON COLUMN crawl_job.timeout IS 'How long a bot may keep it without a sign of life.';
COMMENT ON COLUMN crawl_job.next_run_at IS 'When it is to be queued next; NULL: never by itself.';
COMMENT ON COLUMN crawl_job.failure_count IS 'Runs that failed in a row, attempts used up.';
COMMENT ON COLUMN crawl_job.locked_by IS 'The bot that has it or had it last; NULL for our own fetcher.';
COMMENT ON COLUMN crawl_job.locked_lease IS 'The lease under which a bot last got it: a late result is told by it from one that somebody else has replaced.';
COMMENT ON COLUMN crawl_job.plan IS 'The generation of crawl_plan by which frequency, priority and the rest were decided; 0: to be decided.';
COMMENT ON COLUMN crawl_job.last_result_at IS 'When the last result came in, good or bad.';
COMMENT ON COLUMN crawl_job.created_at IS 'When the row was stored.';
COMMENT ON COLUMN crawl_job.updated_at IS 'When the row last changed.';
SELECT gleaner_add_stage('crawl_job', 'crawl');
CREATE INDEX crawl_job_site_id_idx ON crawl_job (site_id);
CREATE INDEX crawl_job_policy_id_idx ON crawl_job (policy_id);
-- What the crawl-scheduler looks for: over jobs at rest only.
CREATE INDEX crawl_job_next_run_at_idx ON crawl_job (next_run_at)
    WHERE crawl_status IS NULL OR crawl_status IN ('Completed', 'Error', 'Filtered');
-- What ageing looks for.
CREATE INDEX crawl_job_waiting_idx ON crawl_job (crawl_due_at) WHERE crawl_status = 'Queued';
-- Where a shop's line of waiting jobs ends, by priority: new ones are put behind, at the shop's pace.
CREATE INDEX crawl_job_line_idx ON crawl_job (site_id, crawl_priority, crawl_due_at) WHERE crawl_status = 'Queued';

CREATE INDEX crawl_job_plan_idx ON crawl_job (plan);

CREATE TABLE crawl_plan (
    id boolean NOT NULL DEFAULT true CONSTRAINT crawl_plan_pk PRIMARY KEY CONSTRAINT crawl_plan_id_check CHECK (id),
    generation bigint NOT NULL DEFAULT 1,
    defaults jsonb,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE crawl_plan IS 'One row: counts the changes of what decides how often jobs run, so that each job is decided anew after each.';
COMMENT ON COLUMN crawl_plan.id IS 'true.';
COMMENT ON COLUMN crawl_plan.generation IS 'How many changes there have been.';
COMMENT ON COLUMN crawl_plan.defaults IS 'The configured frequencies that were in force last.';
COMMENT ON COLUMN crawl_plan.changed_at IS 'When it last changed.';
INSERT INTO crawl_plan DEFAULT VALUES;

CREATE FUNCTION gleaner_replan_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE crawl_plan SET generation = generation + 1, changed_at = now();
    RETURN NULL;
END $$;
COMMENT ON FUNCTION gleaner_replan_all IS 'A policy changed: every job is decided anew.';
CREATE TRIGGER crawl_policy_replan AFTER INSERT OR UPDATE OR DELETE ON crawl_policy
    FOR EACH STATEMENT EXECUTE FUNCTION gleaner_replan_all();

CREATE FUNCTION gleaner_replan_subject() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE crawl_job SET plan = 0
    FROM product_url AS page
    WHERE page.id = crawl_job.product_url_id
      AND (page.id IN (OLD.product_url_id, NEW.product_url_id) OR page.product_id IN (OLD.product_id, NEW.product_id));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION gleaner_replan_subject IS 'A subscription changed: the jobs it is about are decided anew.';
CREATE TRIGGER subscription_replan AFTER INSERT OR DELETE OR UPDATE OF priority, active, product_id, product_url_id ON subscription
    FOR EACH ROW EXECUTE FUNCTION gleaner_replan_subject();

-- An admitted URL has its job from that moment on, whoever admitted it. One that is switched off is taken out of the queue at
-- once and not put in again; a job in hand is finished.
CREATE FUNCTION gleaner_follow_url() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE crawl_job AS job SET plan = 0,
            next_run_at = CASE WHEN NEW.is_active THEN coalesce(job.next_run_at, now()) END,
            crawl_due_at = CASE WHEN NEW.is_active THEN job.crawl_due_at END,
            crawl_status = CASE WHEN NEW.is_active OR job.crawl_status <> 'Queued' THEN job.crawl_status END
        WHERE product_url_id = NEW.id;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    INSERT INTO crawl_job (product_url_id, site_id, next_run_at) VALUES (NEW.id, NEW.site_id, now())
    ON CONFLICT (product_url_id) DO NOTHING;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION gleaner_follow_url IS 'Gives an admitted URL its job, and has the job follow what is changed about the URL.';
-- At the end of the transaction, so that who stores URLs and jobs together finds no job in the way.
CREATE CONSTRAINT TRIGGER product_url_job_insert AFTER INSERT ON product_url DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.url IS NOT NULL) EXECUTE FUNCTION gleaner_follow_url();
CREATE TRIGGER product_url_job_update AFTER UPDATE OF url, is_active, tags, product_id ON product_url FOR EACH ROW
    WHEN (NEW.url IS NOT NULL AND (OLD.url, OLD.is_active, OLD.tags, OLD.product_id) IS DISTINCT FROM (NEW.url, NEW.is_active, NEW.tags, NEW.product_id))
    EXECUTE FUNCTION gleaner_follow_url();

CREATE FUNCTION gleaner_follow_site() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE crawl_job SET
        next_run_at = CASE WHEN NEW.enabled THEN coalesce(crawl_job.next_run_at, now()) END,
        crawl_due_at = CASE WHEN NEW.enabled THEN crawl_job.crawl_due_at END,
        crawl_status = CASE WHEN NEW.enabled OR crawl_job.crawl_status <> 'Queued' THEN crawl_job.crawl_status END
    WHERE site_id = NEW.id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION gleaner_follow_site IS 'Takes the jobs of a shop that is switched off out of the queue, and plans them again when it is switched on.';
CREATE TRIGGER site_job_update AFTER UPDATE OF enabled ON site FOR EACH ROW
    WHEN (OLD.enabled IS DISTINCT FROM NEW.enabled) EXECUTE FUNCTION gleaner_follow_site();

CREATE TABLE extraction_pattern (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT extraction_pattern_pk PRIMARY KEY,
    site_id bigint NOT NULL CONSTRAINT extraction_pattern_site_id_fk REFERENCES site ON DELETE CASCADE,
    version integer NOT NULL,
    status text NOT NULL DEFAULT 'candidate'
        CONSTRAINT extraction_pattern_status_check CHECK (status IN ('candidate', 'active', 'retired', 'rejected')),
    pattern jsonb NOT NULL,
    source text NOT NULL DEFAULT 'generated'
        CONSTRAINT extraction_pattern_source_check CHECK (source IN ('generated', 'manual', 'rollback')),
    reason text,
    tested jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    CONSTRAINT extraction_pattern_version_key UNIQUE (site_id, version)
);
COMMENT ON TABLE extraction_pattern IS 'How to read a shop''s pages: every version there ever was, at most one active per shop.';
COMMENT ON COLUMN extraction_pattern.id IS 'Key.';
COMMENT ON COLUMN extraction_pattern.site_id IS 'The shop.';
COMMENT ON COLUMN extraction_pattern.version IS 'From 1, per shop.';
COMMENT ON COLUMN extraction_pattern.status IS 'candidate: not tested; active; retired: was active; rejected: did not pass its test.';
COMMENT ON COLUMN extraction_pattern.pattern IS 'The pattern, in the JSON form of the extract command''s kind pattern.';
COMMENT ON COLUMN extraction_pattern.source IS 'generated by pattern-generation, manual, or a rollback to an older version.';
COMMENT ON COLUMN extraction_pattern.reason IS 'Why it was made, or rejected.';
COMMENT ON COLUMN extraction_pattern.tested IS 'On what pages it was tried before activation, and what came out.';
COMMENT ON COLUMN extraction_pattern.created_at IS 'When it was stored.';
COMMENT ON COLUMN extraction_pattern.activated_at IS 'When it last became active.';
CREATE UNIQUE INDEX extraction_pattern_active_key ON extraction_pattern (site_id) WHERE status = 'active';

CREATE TABLE crawl_result (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT crawl_result_pk PRIMARY KEY,
    job_id bigint CONSTRAINT crawl_result_job_id_fk REFERENCES crawl_job ON DELETE CASCADE,
    product_url_id bigint NOT NULL CONSTRAINT crawl_result_product_url_id_fk REFERENCES product_url ON DELETE CASCADE,
    site_id bigint NOT NULL CONSTRAINT crawl_result_site_id_fk REFERENCES site ON DELETE CASCADE,
    bot_id bigint CONSTRAINT crawl_result_bot_id_fk REFERENCES bot ON DELETE SET NULL,
    pattern_id bigint CONSTRAINT crawl_result_pattern_id_fk REFERENCES extraction_pattern ON DELETE SET NULL,
    lease bigint,
    attempt smallint,
    success boolean NOT NULL,
    price numeric CONSTRAINT crawl_result_price_check CHECK (price < 1e12 AND scale(price) <= 4),
    currency text CONSTRAINT crawl_result_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    list_price numeric CONSTRAINT crawl_result_list_price_check CHECK (list_price < 1e12 AND scale(list_price) <= 4),
    availability text CONSTRAINT crawl_result_availability_check
        CHECK (availability IN ('InStock', 'OutOfStock', 'PreOrder', 'LimitedAvailability', 'Discontinued')),
    in_stock boolean,
    title text,
    confidence real,
    price_sources text[] NOT NULL DEFAULT '{}',
    parsed_data jsonb NOT NULL DEFAULT '{}',
    error_class text,
    error text,
    duration_ms integer,
    crawled_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    history_recorded boolean NOT NULL DEFAULT false,
    history_record_status text NOT NULL DEFAULT 'none'
        CONSTRAINT crawl_result_history_record_status_check CHECK (history_record_status IN ('none', 'recorded', 'duplicate', 'held', 'failed')),
    history_recorded_at timestamptz,
    CONSTRAINT crawl_result_attempt_key UNIQUE (job_id, lease, attempt)
) WITH (fillfactor = 70);
COMMENT ON TABLE crawl_result IS 'What each crawl saw: one row per crawl, never overwritten. A failed crawl is a row without a price.';
COMMENT ON COLUMN crawl_result.id IS 'Key; what stands in the Redis queue.';
COMMENT ON COLUMN crawl_result.job_id IS 'The job; NULL for an observation that came without one.';
COMMENT ON COLUMN crawl_result.product_url_id IS 'The page.';
COMMENT ON COLUMN crawl_result.site_id IS 'Its shop.';
COMMENT ON COLUMN crawl_result.bot_id IS 'The bot that submitted it; NULL for our own fetcher and other writers.';
COMMENT ON COLUMN crawl_result.pattern_id IS 'The pattern it was read with, if any.';
COMMENT ON COLUMN crawl_result.lease IS 'The lease it was worked under: with job and attempt, what makes a repeated submit the same submit.';
COMMENT ON COLUMN crawl_result.attempt IS 'The attempt it came from.';
COMMENT ON COLUMN crawl_result.success IS 'Whether the page could be had and read.';
COMMENT ON COLUMN crawl_result.price IS 'The price seen; NULL for none.';
COMMENT ON COLUMN crawl_result.currency IS 'Its currency (ISO 4217); NULL if it could not be told.';
COMMENT ON COLUMN crawl_result.list_price IS 'The price before a reduction, where shown.';
COMMENT ON COLUMN crawl_result.availability IS 'Availability seen; NULL if the page does not tell.';
COMMENT ON COLUMN crawl_result.in_stock IS 'The same as yes or no, as bots give it; NULL if not told.';
COMMENT ON COLUMN crawl_result.title IS 'Title of the offer.';
COMMENT ON COLUMN crawl_result.confidence IS 'Confidence in the price, 0 to 1; NULL if not told.';
COMMENT ON COLUMN crawl_result.price_sources IS 'Where the price was found: jsonld, microdata, rdfa, og, script_data, pattern, html_ml.';
COMMENT ON COLUMN crawl_result.parsed_data IS 'What else the crawler says, as it says it.';
COMMENT ON COLUMN crawl_result.error_class IS 'Of a failed crawl: network, http, robots, extraction, validation, …';
COMMENT ON COLUMN crawl_result.error IS 'Why the crawl failed.';
COMMENT ON COLUMN crawl_result.duration_ms IS 'How long the crawl took, in milliseconds; NULL if not told.';
COMMENT ON COLUMN crawl_result.crawled_at IS 'When the page was seen.';
COMMENT ON COLUMN crawl_result.created_at IS 'When the row was stored.';
COMMENT ON COLUMN crawl_result.history_recorded IS 'Whether it is dealt with: recorded in price_history, or equal to what stood there.';
COMMENT ON COLUMN crawl_result.history_record_status IS 'none, recorded, duplicate, held (a jump that waits for a second look), failed.';
COMMENT ON COLUMN crawl_result.history_recorded_at IS 'When that was decided.';
SELECT gleaner_add_stage('crawl_result', 'auto_record');
-- Every good result is to be judged, whoever inserts it; a failed one never is.
CREATE FUNCTION gleaner_queue_result() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT NEW.success THEN
        NEW.auto_record_status := 'Filtered';
        NEW.auto_record_error := left('crawl failed: ' || coalesce(NEW.error, 'no reason given'), 500);
    ELSIF NEW.auto_record_status IS NULL THEN
        NEW.auto_record_status := 'Queued';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION gleaner_queue_result IS 'Queues every new good result for recording, and keeps failed ones out.';
CREATE TRIGGER gleaner_1_result_insert BEFORE INSERT ON crawl_result FOR EACH ROW EXECUTE FUNCTION gleaner_queue_result();
-- The names that the operators' own queries and pages know.
ALTER TABLE crawl_result ADD COLUMN auto_record_eligibility_status text GENERATED ALWAYS AS (
    CASE auto_record_status WHEN 'Queued' THEN 'queued' WHEN 'Processing' THEN 'processing' WHEN 'Completed' THEN 'completed'
        WHEN 'Filtered' THEN 'ineligible' WHEN 'Error' THEN 'failed' ELSE 'pending' END) STORED;
COMMENT ON COLUMN crawl_result.auto_record_eligibility_status IS 'auto_record_status by its older names: pending, queued, processing, completed, ineligible, failed.';
-- What has failed for good, to be looked at and queued again.
CREATE INDEX crawl_result_failed_idx ON crawl_result (id) WHERE auto_record_status = 'Error';
CREATE INDEX crawl_result_product_url_id_idx ON crawl_result (product_url_id, crawled_at DESC);
CREATE INDEX crawl_result_site_id_idx ON crawl_result (site_id, crawled_at DESC);
CREATE INDEX crawl_result_created_at_idx ON crawl_result (created_at);
CREATE INDEX crawl_result_bot_id_idx ON crawl_result (bot_id) WHERE bot_id IS NOT NULL;
CREATE INDEX crawl_result_pattern_id_idx ON crawl_result (pattern_id) WHERE pattern_id IS NOT NULL;

CREATE TABLE price_history (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT price_history_pk PRIMARY KEY,
    product_url_id bigint NOT NULL CONSTRAINT price_history_product_url_id_fk REFERENCES product_url ON DELETE CASCADE,
    crawl_result_id bigint CONSTRAINT price_history_crawl_result_id_key UNIQUE
        CONSTRAINT price_history_crawl_result_id_fk REFERENCES crawl_result ON DELETE SET NULL,
    price numeric NOT NULL CONSTRAINT price_history_price_check CHECK (price >= 0 AND price < 1e12 AND scale(price) <= 4),
    currency text NOT NULL CONSTRAINT price_history_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    original_price numeric CONSTRAINT price_history_original_price_check CHECK (original_price < 1e12 AND scale(original_price) <= 4),
    availability text CONSTRAINT price_history_availability_check
        CHECK (availability IN ('InStock', 'OutOfStock', 'PreOrder', 'LimitedAvailability', 'Discontinued')),
    is_available boolean,
    source text NOT NULL CONSTRAINT price_history_source_check CHECK (source IN ('AUTO', 'MANUAL', 'CRAWLER', 'API', 'IMPORT')),
    extraction_method text,
    confidence real,
    scraped_at timestamptz NOT NULL DEFAULT now(),
    last_confirmed_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 90);
COMMENT ON TABLE price_history IS 'Prices as they changed. A row stands from scraped_at; last_confirmed_at is the last time the same was seen.';
COMMENT ON COLUMN price_history.id IS 'Key.';
COMMENT ON COLUMN price_history.product_url_id IS 'The page.';
COMMENT ON COLUMN price_history.crawl_result_id IS 'The result it was recorded from, which is recorded at most once; NULL when that is pruned, or there was none.';
COMMENT ON COLUMN price_history.price IS 'The price.';
COMMENT ON COLUMN price_history.currency IS 'Its currency (ISO 4217).';
COMMENT ON COLUMN price_history.original_price IS 'The price before a reduction, where shown.';
COMMENT ON COLUMN price_history.availability IS 'InStock, OutOfStock, PreOrder, LimitedAvailability, Discontinued; NULL if not told.';
COMMENT ON COLUMN price_history.is_available IS 'The same as yes or no; NULL if not told.';
COMMENT ON COLUMN price_history.source IS 'AUTO: recorded by the rules; MANUAL: by a person; CRAWLER, API, IMPORT: written by other software.';
COMMENT ON COLUMN price_history.extraction_method IS 'Where on the page the price was found.';
COMMENT ON COLUMN price_history.confidence IS 'Confidence in the price, 0 to 1.';
COMMENT ON COLUMN price_history.scraped_at IS 'When it was first observed.';
COMMENT ON COLUMN price_history.last_confirmed_at IS 'When the same price, currency and availability were last observed.';
COMMENT ON COLUMN price_history.created_at IS 'When the row was stored.';
CREATE INDEX price_history_product_url_id_idx ON price_history (product_url_id, scraped_at DESC, id DESC);
CREATE INDEX price_history_created_at_idx ON price_history (created_at);

CREATE TABLE product_page (
    product_url_id bigint CONSTRAINT product_page_pk PRIMARY KEY
        CONSTRAINT product_page_product_url_id_fk REFERENCES product_url ON DELETE CASCADE,
    url text NOT NULL,
    body bytea NOT NULL,
    fetched_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE product_page ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE product_page IS 'The last page fetched per URL, for learning and testing extraction patterns.';
COMMENT ON COLUMN product_page.product_url_id IS 'The URL.';
COMMENT ON COLUMN product_page.url IS 'Where it was in the end, after redirects.';
COMMENT ON COLUMN product_page.body IS 'The page as UTF-8 text, gzip.';
COMMENT ON COLUMN product_page.fetched_at IS 'When it was fetched.';

CREATE TABLE flag (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT flag_pk PRIMARY KEY,
    kind text NOT NULL CONSTRAINT flag_kind_check CHECK (kind IN ('pattern_generation_failed', 'pattern_low_confidence',
        'fetch_failing_repeatedly', 'store_rate_limited', 'duplicate_products', 'price_jump')),
    site_id bigint CONSTRAINT flag_site_id_fk REFERENCES site ON DELETE CASCADE,
    product_url_id bigint CONSTRAINT flag_product_url_id_fk REFERENCES product_url ON DELETE CASCADE,
    message text NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT flag_status_check CHECK (status IN ('pending', 'in_progress', 'resolved', 'wont_fix')),
    opened_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by text
);
COMMENT ON TABLE flag IS 'What needs a person''s eye. Opened and resolved by Gleaner as things break and mend.';
COMMENT ON COLUMN flag.id IS 'Key.';
COMMENT ON COLUMN flag.kind IS 'What kind of trouble.';
COMMENT ON COLUMN flag.site_id IS 'The shop, if it is about one.';
COMMENT ON COLUMN flag.product_url_id IS 'The page, if it is about one.';
COMMENT ON COLUMN flag.message IS 'What happened, for people.';
COMMENT ON COLUMN flag.status IS 'pending, in_progress, resolved, wont_fix.';
COMMENT ON COLUMN flag.opened_at IS 'When it was opened.';
COMMENT ON COLUMN flag.resolved_at IS 'When it was resolved.';
COMMENT ON COLUMN flag.resolved_by IS 'Who resolved it; gleaner when it closed itself.';
CREATE UNIQUE INDEX flag_open_key ON flag (kind, coalesce(site_id, 0), coalesce(product_url_id, 0)) WHERE status IN ('pending', 'in_progress');
CREATE INDEX flag_site_id_idx ON flag (site_id);
CREATE INDEX flag_product_url_id_idx ON flag (product_url_id);

CREATE TABLE notification (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT notification_pk PRIMARY KEY,
    subscription_id bigint NOT NULL CONSTRAINT notification_subscription_id_fk REFERENCES subscription ON DELETE CASCADE,
    product_url_id bigint NOT NULL CONSTRAINT notification_product_url_id_fk REFERENCES product_url ON DELETE CASCADE,
    price_history_id bigint CONSTRAINT notification_price_history_id_fk REFERENCES price_history ON DELETE SET NULL,
    channel text NOT NULL DEFAULT 'list' CONSTRAINT notification_channel_check CHECK (channel IN ('list', 'webhook', 'email')),
    kind text NOT NULL CONSTRAINT notification_kind_check CHECK (kind IN ('price_drop', 'target_reached', 'restock')),
    message text NOT NULL,
    old_price numeric,
    new_price numeric,
    currency text,
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    read_at timestamptz,
    CONSTRAINT notification_event_key UNIQUE (price_history_id, subscription_id, kind, channel)
) WITH (fillfactor = 80);
COMMENT ON TABLE notification IS 'What subscribers are told, once per event and channel: written with the price it tells of, delivered from here.';
COMMENT ON COLUMN notification.id IS 'Key.';
COMMENT ON COLUMN notification.subscription_id IS 'Who asked to be told.';
COMMENT ON COLUMN notification.product_url_id IS 'The page it is about.';
COMMENT ON COLUMN notification.price_history_id IS 'The price that caused it.';
COMMENT ON COLUMN notification.channel IS 'list: only kept here to be read; webhook; email.';
COMMENT ON COLUMN notification.kind IS 'price_drop, target_reached, restock.';
COMMENT ON COLUMN notification.message IS 'The message, for people.';
COMMENT ON COLUMN notification.old_price IS 'The price before.';
COMMENT ON COLUMN notification.new_price IS 'The price now.';
COMMENT ON COLUMN notification.currency IS 'Their currency.';
COMMENT ON COLUMN notification.created_at IS 'When it was written.';
COMMENT ON COLUMN notification.delivered_at IS 'When its receiver accepted it.';
COMMENT ON COLUMN notification.read_at IS 'When its subscriber read it, if their system says so.';
SELECT gleaner_add_stage('notification', 'delivery');
CREATE INDEX notification_subscription_id_idx ON notification (subscription_id);
CREATE INDEX notification_product_url_id_idx ON notification (product_url_id);
CREATE INDEX notification_created_at_idx ON notification (created_at);
