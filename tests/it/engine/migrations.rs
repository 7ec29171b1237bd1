//! Migrations on real databases: forth, back, and forth again.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use diesel::migration::MigrationSource as _;
use diesel::pg::Pg;
use gleaner::db::connect::Connector;
use gleaner::db::{DbError, migrations};

use crate::support::TestDatabase;
use crate::support::refuse::refuse;

/// Everything in the schema that a migration may make, in words.
const CATALOGUE: &str = "
    SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname !~ '^__'
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename !~ '^__'
    UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text !~ '^__'
    UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ORDER BY 1";

/// The tables of a migration's state.
const TABLES: &str = "
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname !~ '^__' ORDER BY 1";

/// A row for every table, in the order in which they need each other. Each is written so that it fits every state that has the
/// table.
const SEEDS: &[(&str, &str)] = &[
    (
        "node",
        "INSERT INTO node (host, pid, version) VALUES ('h', 1, '0.1.0')",
    ),
    (
        "lease",
        "INSERT INTO lease (node_id, workflow, expires_at) SELECT id, 'deep-scan', now() FROM node",
    ),
    (
        "attempt",
        "INSERT INTO attempt (item_id, attempt, stage, outcome) VALUES (1, 1, 'place/deep_scan', 'completed')",
    ),
    (
        "callback",
        "INSERT INTO callback (id, node_id, workflow, item, attempt, expires_at) SELECT 'a', id, 'ocr', '1', 1, now() FROM node",
    ),
    (
        "callback_key",
        "INSERT INTO callback_key (id, key) VALUES (1, 'k')",
    ),
    (
        "workflow_control",
        "INSERT INTO workflow_control (workflow) VALUES ('deep-scan')",
    ),
    (
        "schedule",
        "INSERT INTO schedule (name, next_at) VALUES ('housekeeping', now())",
    ),
    (
        "set_aside",
        "INSERT INTO set_aside (work, table_name, row_id, reason, until) VALUES ('crawl-plan', 'crawl_job', 1, 'r', now())",
    ),
    (
        "place",
        "INSERT INTO place (place_id, status) VALUES ('p1', 'Selected')",
    ),
    (
        "domain",
        "INSERT INTO domain (domain, registrable_domain, status) VALUES ('shop.example', 'shop.example', 'Selected')",
    ),
    (
        "local_business",
        "INSERT INTO local_business (name, domain_id) SELECT 'Shop', id FROM domain",
    ),
    (
        "sitemap_file",
        "INSERT INTO sitemap_file (domain_id, url) SELECT id, 'https://shop.example/sitemap.xml' FROM domain",
    ),
    (
        "sitemap_budget",
        "INSERT INTO sitemap_budget (registrable_domain, root_id, files) SELECT 'shop.example', id, 1 FROM sitemap_file",
    ),
    (
        "page",
        "INSERT INTO page (domain_id, url) SELECT id, 'https://shop.example/' FROM domain",
    ),
    (
        "contact",
        "INSERT INTO contact (domain_id, page_id, kind, value, source, confidence, source_url)
         SELECT domain_id, id, 'email', 'a@shop.example', 'mailto', 1, url FROM page",
    ),
    (
        "site",
        "INSERT INTO site (domain, pattern_status) VALUES ('shop.example', 'Queued')",
    ),
    ("product", "INSERT INTO product (name) VALUES ('Kettle')"),
    (
        "product_url",
        "INSERT INTO product_url (product_id, site_id, raw_url, url, url_hash)
         SELECT product.id, site.id, 'shop.example/kettle', 'https://shop.example/kettle', 'h' FROM product, site",
    ),
    (
        "subscription",
        "INSERT INTO subscription (subscriber, product_url_id) SELECT 'ann', id FROM product_url",
    ),
    (
        "crawl_policy",
        "INSERT INTO crawl_policy (name, selection, target) VALUES ('shops', 'domain', 'shop.example')",
    ),
    (
        "bot",
        "INSERT INTO bot (bot_id, token_hash) VALUES ('ann', sha256('token'));
         INSERT INTO lease (bot_id, workflow, expires_at) SELECT id, 'bot', now() FROM bot",
    ),
    (
        // An admitted address has its job already.
        "crawl_job",
        "INSERT INTO crawl_job (product_url_id, site_id, policy_id, crawl_status)
         SELECT page.id, page.site_id, policy.id, 'Queued' FROM product_url AS page, crawl_policy AS policy
         ON CONFLICT (product_url_id) DO UPDATE SET policy_id = excluded.policy_id, crawl_status = 'Queued'",
    ),
    (
        // Its one row is made by the migration.
        "crawl_plan",
        "INSERT INTO crawl_plan DEFAULT VALUES ON CONFLICT DO NOTHING",
    ),
    (
        "extraction_pattern",
        "INSERT INTO extraction_pattern (site_id, version, status, pattern) SELECT id, 1, 'active', '{}' FROM site",
    ),
    (
        "crawl_result",
        "INSERT INTO crawl_result (job_id, product_url_id, site_id, bot_id, pattern_id, success, price, currency)
         SELECT job.id, job.product_url_id, job.site_id, bot.id, pattern.id, true, 12.5, 'EUR'
         FROM crawl_job AS job, bot, extraction_pattern AS pattern",
    ),
    (
        "price_history",
        "INSERT INTO price_history (product_url_id, crawl_result_id, price, currency, source)
         SELECT product_url_id, id, 12.5, 'EUR', 'AUTO' FROM crawl_result",
    ),
    (
        "product_page",
        "INSERT INTO product_page (product_url_id, url, body) SELECT id, url, 'x' FROM product_url",
    ),
    (
        "flag",
        "INSERT INTO flag (kind, site_id, product_url_id, message) SELECT 'price_jump', site_id, id, 'm' FROM product_url",
    ),
    (
        "notification",
        "INSERT INTO notification (subscription_id, product_url_id, price_history_id, kind, message, delivery_status)
         SELECT subscription.id, price.product_url_id, price.id, 'price_drop', 'm', 'Queued'
         FROM subscription, price_history AS price",
    ),
    ("tenant", "INSERT INTO tenant (name) VALUES ('t')"),
    (
        "api_key",
        "INSERT INTO api_key (tenant_id, digest) SELECT id, sha256('key') FROM tenant",
    ),
    (
        "tenant_identity",
        "INSERT INTO tenant_identity (provider, subject, tenant_id) SELECT 'p', 's', id FROM tenant",
    ),
    (
        "blob",
        "INSERT INTO blob (tenant_id, sha256, bytes, refs) SELECT id, sha256('file'), 4, 1 FROM tenant",
    ),
    (
        "documents",
        "INSERT INTO documents (tenant_id, filename, original_filename, file_size, sha256, process_status)
         SELECT tenant_id, 'a.txt', 'a.txt', bytes, sha256, 'Queued' FROM blob",
    ),
    (
        "document_page",
        "INSERT INTO document_page (document_id, number, tenant_id, start_char, chars, text)
         SELECT id, 1, tenant_id, 0, 4, 'text' FROM documents",
    ),
    (
        "chunk",
        "INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, config, words, tsv)
         SELECT tenant_id, id, 0, 1, 1, 0, 4, 'english', 1, to_tsvector('english', 'text') FROM documents",
    ),
    (
        "embedding",
        "INSERT INTO embedding (document_id, seq, tenant_id, model, vector)
         SELECT document_id, seq, tenant_id, 'm', '{1,2}'::real[] FROM chunk",
    ),
    (
        "upload",
        "INSERT INTO upload (tenant_id, length, filename, expires_at) SELECT id, 1, 'b.txt', now() FROM tenant",
    ),
    (
        "reservation",
        "INSERT INTO reservation (tenant_id, bytes, expires_at) SELECT id, 1, now() FROM tenant",
    ),
    (
        "idempotency",
        "INSERT INTO idempotency (tenant_id, key, document_id) SELECT tenant_id, 'k', id FROM documents",
    ),
];

/// Puts a row into every table there is.
async fn seed(database: &TestDatabase) {
    let tables = database.rows(TABLES).await;
    let there = SEEDS
        .iter()
        .filter(|(table, _)| tables.iter().any(|there| there == table));
    let statements: Vec<&str> = there.map(|(_, sql)| *sql).collect();
    database.run(&statements.join(";\n")).await;
    assert_seeded(database).await;
}

/// A table that is new has no row here until it has its seed.
async fn assert_seeded(database: &TestDatabase) {
    let tables = database.rows(TABLES).await.into_iter();
    let questions: Vec<String> = tables
        .map(|table| format!("SELECT '{table}' WHERE NOT EXISTS (SELECT FROM {table})"))
        .collect();
    let empty = database.rows(&questions.join(" UNION ALL ")).await;
    assert!(empty.is_empty(), "no row in {empty:?}: see SEEDS");
}

fn connector(database: &TestDatabase) -> Connector {
    let config = database.config();
    Connector::new(&config.url, &config).unwrap()
}

async fn revert(database: &TestDatabase, steps: usize) -> Vec<String> {
    let connection = connector(database).connect_patient().await.unwrap();
    tokio::task::spawn_blocking(move || {
        tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(async { migrations::revert(connection, steps) })
    })
    .await
    .unwrap()
    .unwrap()
}

async fn run(database: &TestDatabase) -> Vec<String> {
    migrations::run(connector(database).connect_patient().await.unwrap())
        .await
        .unwrap()
}

fn all() -> usize {
    since("")
}

/// How many there are from this one on.
fn since(name: &str) -> usize {
    let all: Vec<Box<dyn diesel::migration::Migration<Pg>>> =
        migrations::MIGRATIONS.migrations().unwrap();
    all.iter()
        .filter(|own| own.name().to_string().as_str() >= name)
        .count()
}

/// Takes back this one and all after it; how many these are.
async fn revert_before(database: &TestDatabase, name: &str) -> usize {
    let after = since(name);
    revert(database, after).await;
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn they_go_up_and_down_and_up_again() {
    let database = TestDatabase::empty().await;
    assert_eq!(run(&database).await.len(), all());
    let made = database.rows(CATALOGUE).await;
    assert!(!made.is_empty());
    assert_eq!(run(&database).await, Vec::<String>::new());
    assert_eq!(revert(&database, all() + 5).await.len(), all());
    assert_eq!(database.rows(CATALOGUE).await, Vec::<String>::new());
    assert_eq!(run(&database).await.len(), all());
    assert_eq!(database.rows(CATALOGUE).await, made);
}

/// Each one is undone with rows in everything, and applied to rows in what stood before it.
#[tokio::test(flavor = "multi_thread")]
async fn each_goes_down_and_up_on_a_database_with_rows() {
    let database = TestDatabase::empty().await;
    run(&database).await;
    let made = database.rows(CATALOGUE).await;
    seed(&database).await;
    for steps in 1..=all() {
        assert_eq!(revert(&database, steps).await.len(), steps);
        // What stood before has kept its rows, and can be filled as it was when it was the newest.
        assert_seeded(&database).await;
        clear(&database).await;
        seed(&database).await;
        let pending = migrations::pending(&mut database.connect().await)
            .await
            .unwrap();
        assert_eq!(pending.len(), steps);
        assert_eq!(run(&database).await, pending);
        assert_eq!(database.rows(CATALOGUE).await, made);
        clear(&database).await;
        seed(&database).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_seed_is_of_a_table() {
    let database = TestDatabase::new().await;
    let mut seeded: Vec<&str> = SEEDS.iter().map(|(table, _)| *table).collect();
    seeded.sort_unstable();
    assert_eq!(database.rows(TABLES).await, seeded);
}

async fn clear(database: &TestDatabase) {
    let tables = database.rows(TABLES).await;
    if !tables.is_empty() {
        database
            .run(&format!("TRUNCATE {} CASCADE", tables.join(", ")))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_them_is_refused_by_name() {
    let database = TestDatabase::empty().await;
    let mut conn = database.connect().await;
    let refused = migrations::require_current(&mut conn).await.unwrap_err();
    let DbError::Pending(missing) = &refused else {
        panic!("{refused}");
    };
    assert_eq!(missing.len(), all());
    assert!(refused.to_string().contains("gleaner migrate"), "{refused}");
    assert!(refused.to_string().contains("create_leads"), "{refused}");
    // The whole program says the same.
    let config = crate::support::app::test_config(&database);
    let error = gleaner::app::App::start(config, None)
        .await
        .err()
        .expect("it starts on an empty database");
    assert!(format!("{error:#}").contains("create_engine"), "{error:#}");
}

/// Two that start at once, as two nodes of one deployment do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_migrate_at_once_do_it_once() {
    let database = TestDatabase::empty().await;
    let (one, two) = tokio::join!(
        crate::support::database::migrate(database.url()),
        crate::support::database::migrate(database.url())
    );
    let _: ((), ()) = (one, two);
    migrations::require_current(&mut database.connect().await)
        .await
        .unwrap();
}

/// What the helper of before `share_curation` has made for users' tables: its stages are found again, its column is nobody's to drop.
#[tokio::test(flavor = "multi_thread")]
async fn a_curation_made_before_goes_on_and_takes_another_stage() {
    let database = TestDatabase::empty().await;
    run(&database).await;
    let all: Vec<Box<dyn diesel::migration::Migration<Pg>>> =
        migrations::MIGRATIONS.migrations().unwrap();
    let after = all
        .iter()
        .filter(|own| own.name().to_string().as_str() >= "2026-11-30-100000_share_curation")
        .count();
    assert_eq!(revert(&database, after).await.len(), after);
    database
        .run(
            "CREATE TABLE parcel (id integer PRIMARY KEY);
             SELECT gleaner_add_stage('parcel', stage) FROM unnest('{zeta,alpha,later}'::text[]) AS stage;
             SELECT gleaner_add_curation('parcel', '{zeta,alpha}')",
        )
        .await;
    run(&database).await;
    assert_eq!(
        database
            .rows("SELECT gleaner_curation(tbl::regclass) FROM unnest('{parcel,domain,page}'::text[]) AS tbl")
            .await,
        ["{found,zeta,alpha}", "{added,metadata,sitemap}", "{added,curation}"]
    );
    database
        .run(
            "SELECT gleaner_add_curation('parcel', '{later}'); INSERT INTO parcel (id, status) VALUES (1, 'Selected');
             SELECT gleaner_drop_curation('parcel', '{alpha}'); INSERT INTO parcel (id, status) VALUES (2, 'Selected')",
        )
        .await;
    assert_eq!(
        database
            .rows("SELECT concat_ws(' ', zeta_status, alpha_status, later_status) FROM parcel ORDER BY id")
            .await,
        ["Queued Queued Queued", "Queued Queued"]
    );
    // Undone with three stages: they are still followed.
    revert(&database, after).await;
    database
        .run("INSERT INTO parcel (id, status) VALUES (3, 'Selected')")
        .await;
    assert_eq!(
        database
            .rows("SELECT zeta_status || later_status FROM parcel WHERE id = 3")
            .await,
        ["QueuedQueued"]
    );
}

/// Numbers from before the bounds are brought to them; a row that does not let itself be written keeps nobody from migrating.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_beyond_the_bounds_are_brought_to_them() {
    let database = TestDatabase::empty().await;
    run(&database).await;
    let after = revert_before(&database, "2026-11-30-120000_set_rows_aside").await;
    database
        .run(
            "INSERT INTO crawl_policy (name, selection, target, frequency, retry_backoff) VALUES
                 ('far', 'all', '', '170000000 years', '170000000 years'), ('kept', 'all', '', '9 years', '1 year'), ('stuck', 'all', '', '20 years', '1s');
             ALTER TABLE crawl_policy DISABLE TRIGGER crawl_policy_check;
             INSERT INTO crawl_policy (name, selection, target, frequency) VALUES ('unreadable', 'url_regex', '(', '20 years');
             ALTER TABLE crawl_policy ENABLE TRIGGER crawl_policy_check;
             INSERT INTO site (domain, delay_seconds, extraction_failures) VALUES ('a.example', 'Infinity', 2147483647), ('b.example', 'NaN', -1), ('c.example', 0.5, 0);
             INSERT INTO product_url (site_id, raw_url, url, url_hash) VALUES (1, 'u', 'u', 'u')",
        )
        .await;
    database
        .run(
            "UPDATE crawl_job SET frequency = '-5 years', retry_backoff = '-1s', timeout = '3 years', failure_count = 2147483647;
             UPDATE crawl_plan SET generation = 9223372036854775806;
             INSERT INTO schedule (name, next_at) VALUES ('never', 'infinity'), ('long ago', '-infinity');
             INSERT INTO extraction_pattern (site_id, version, pattern) VALUES (1, 2147483647, '{}')",
        )
        .await;
    refuse(&database, "crawl_policy", "UPDATE", "NEW.name = 'stuck'").await;
    assert_eq!(run(&database).await.len(), after);
    assert_eq!(
        database
            .rows(
                "SELECT concat_ws(' ', name, frequency, retry_backoff) FROM crawl_policy
                 UNION ALL SELECT concat_ws(' ', domain, delay_seconds, extraction_failures) FROM site
                 UNION ALL SELECT concat_ws(' ', id, frequency, retry_backoff, timeout, failure_count) FROM crawl_job
                 UNION ALL SELECT concat_ws(' ', name, next_at AT TIME ZONE 'UTC') FROM schedule
                 UNION ALL SELECT (generation < 2000000000000000000)::text FROM crawl_plan
                 UNION ALL SELECT (version <= 1000000000)::text FROM extraction_pattern ORDER BY 1"
            )
            .await,
        [
            "1 00:00:01 00:00:01 1 day 1000000000",
            "a.example 86400 1000000000",
            "b.example 86400 0",
            "c.example 0.5 0",
            "far 3660 days 366 days",
            "kept 9 years 1 year",
            "long ago 1970-01-01 00:00:00",
            "never 9999-12-31 00:00:00",
            "stuck 20 years 00:00:01",
            "true",
            "true",
            "unreadable 3660 days 00:05:00",
        ]
    );
    assert_eq!(
        database
            .rows("SELECT conname FROM pg_constraint WHERE NOT convalidated ORDER BY 1")
            .await,
        ["crawl_policy_frequency_check"]
    );
    // From now on they hold.
    let client = database.client().await;
    for bad in [
        "UPDATE site SET delay_seconds = 'NaN'",
        "UPDATE site SET delay_seconds = 'Infinity'",
        "UPDATE crawl_policy SET frequency = '11 years' WHERE name = 'kept'",
        "UPDATE crawl_policy SET retry_backoff = '2 years' WHERE name = 'kept'",
        "UPDATE crawl_job SET frequency = '0'",
        "UPDATE crawl_job SET timeout = '2 days'",
        "UPDATE schedule SET next_at = 'infinity'",
    ] {
        let refused = client.batch_execute(bad).await.unwrap_err();
        let code = refused.code().map(tokio_postgres::error::SqlState::code);
        assert_eq!(code, Some("23514"), "{bad}");
    }
}

/// Product pages get back the order in which they were given; escapes are brought to one spelling; nobody is lost where two rows
/// turn out to be one page.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_from_before_are_spelt_as_they_are_now() {
    let database = TestDatabase::empty().await;
    run(&database).await;
    let after = revert_before(&database, "2026-11-30-210000_keep_addresses").await;
    database
        .run(
            "INSERT INTO domain (domain, registrable_domain) VALUES ('a.example', 'a.example');
             INSERT INTO page (domain_id, url) SELECT 1, 'https://a.example/' || path FROM unnest('{x?a=1&b=2,r%c3%b3za,%7Eann,~ann,s?q=%c3%b3,50%,%%41}'::text[]) AS path;
             INSERT INTO site (domain) VALUES ('shop.example');
             INSERT INTO product_url (site_id, raw_url, url, url_hash)
             SELECT 1, raw, url, encode(sha256(convert_to(url, 'UTF8')), 'hex') FROM (VALUES
                 ('shop.example/list?news&123#top', 'https://shop.example/list?123&news'),
                 ('https://shop.example/p?size=m&utm_source=x&id=7', 'https://shop.example/p?id=7&size=m'),
                 ('https://shop.example/p?q=é&a=1', 'https://shop.example/p?a=1&q=%C3%A9'),
                 ('https://shop.example/%c3%a9', 'https://shop.example/%c3%a9'),
                 ('https://shop.example/%C3%A9', 'https://shop.example/%C3%A9'),
                 ('https://shop.example/t?q=%7e', 'https://shop.example/t?q=%7e')) AS own(raw, url)",
        )
        .await;
    assert_eq!(run(&database).await.len(), after);
    assert_eq!(
        database
            .rows("SELECT substr(url, 19), substr(url_key, 19) FROM page ORDER BY id")
            .await,
        [
            "x?a=1&b=2|",
            "r%C3%B3za|",
            "%7Eann|",
            "~ann|",
            "s?q=%c3%b3|s?q=%C3%B3",
            "50%|",
            "%%41|",
        ]
    );
    let hashed = |key: &str| format!("encode(sha256('https://shop.example/{key}'), 'hex')");
    assert_eq!(
        database
            .rows(&format!(
                "SELECT substr(url, 22), CASE url_hash WHEN {} THEN 'ordered' WHEN {} THEN 'given' WHEN {} THEN 'lower' WHEN {} THEN 'upper' \
                 WHEN {} THEN 'plain' ELSE 'own' END FROM product_url ORDER BY id",
                hashed("p?id=7&size=m"),
                hashed("list?news&123"),
                hashed("%c3%a9"),
                hashed("%C3%A9"),
                hashed("t?q=~"),
            ))
            .await,
        [
            "list?news&123|given",
            "p?size=m&id=7|ordered",
            "p?a=1&q=%C3%A9|own",
            "%C3%A9|lower",
            "%C3%A9|upper",
            "t?q=%7e|plain",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_kept_by_the_day_and_pruned_by_the_day() {
    let database = TestDatabase::new().await;
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'attempt'::regclass";
    let before = database.count(partitions).await;
    assert!(before >= 5, "today, three days ahead, and the default");
    // Twice changes nothing.
    assert_eq!(
        database
            .scalar::<i32>("SELECT gleaner_extend_attempt(3)")
            .await,
        0
    );
    database
        .run(
            "CREATE TABLE attempt_20200101 PARTITION OF attempt FOR VALUES FROM ('2020-01-01 00:00Z') TO ('2020-01-02 00:00Z');
             INSERT INTO attempt (settled_at, item_id, attempt, stage, outcome) VALUES
             ('2020-01-01 12:00Z', 1, 1, 's', 'completed'), ('2019-01-01 12:00Z', 2, 1, 's', 'completed'), (now(), 3, 1, 's', 'completed')",
        )
        .await;
    assert_eq!(
        database
            .scalar::<i32>("SELECT gleaner_prune_attempt('14 days')")
            .await,
        1
    );
    assert_eq!(database.rows("SELECT item_id FROM attempt").await, ["3"]);
    assert_eq!(database.count(partitions).await, before);
}
