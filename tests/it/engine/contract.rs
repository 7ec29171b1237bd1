//! What every workflow must fulfil, over the whole table of workflows: a new one is covered by being in it.
//!
//! The checks take a [`House`], so that the workflow of CONTRIBUTING.md is put to the same (`walk.rs`), and one that lacks
//! something shows what whoever forgot it is told.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use gleaner::area::Areas;
use gleaner::areas;
use gleaner::config::{self, Config, Sources};
use gleaner::settings::ConfigError;
use gleaner::workflows::Known;

use crate::support::app::set_for_tests;
use crate::support::site::{Answer, Site};
use crate::support::toy;
use crate::support::{TestApp, TestDatabase, wait_until};

/// Areas under test, with all that belongs to them.
pub(crate) struct House {
    /// All there are.
    pub(crate) areas: &'static Areas,
    /// Which of their workflows are looked at.
    pub(crate) workflows: Vec<&'static Known>,
    /// Where the sections stand that the program's own file has not, and what it says.
    pub(crate) configuration: Option<(&'static str, &'static str)>,
    /// What the program's own migrations do not make.
    pub(crate) migration: &'static str,
}

impl House {
    /// The program as it is.
    fn program() -> Self {
        Self {
            areas: areas::all(),
            workflows: areas::workflows().iter().collect(),
            configuration: None,
            migration: "",
        }
    }

    /// Reads its configuration.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        let file = self.configuration.map(|(file, _)| file.into());
        let sources = Sources {
            file,
            flags: Vec::new(),
        };
        config::load(&sources, self.areas.schema())
    }

    /// A database with all migrations.
    pub(crate) async fn database(&self) -> TestDatabase {
        let database = TestDatabase::new().await;
        database.run(self.migration).await;
        database
    }

    /// The program of these areas, with this workflow alone.
    async fn start(&self, database: TestDatabase, site: &Site, workflow: &Known) -> TestApp {
        let mut config = self.load().unwrap();
        set_for_tests(&mut config, &database);
        config.fetch.proxy_hosts_to = Some(site.address);
        config.workflows.keep_only(&[workflow.name.to_owned()]);
        Box::pin(TestApp::start_with(self.areas, config, database)).await
    }
}

/// What two have that only one may: each once, with those who have it.
pub(crate) fn shared<'a>(
    all: &[&'a Known],
    of: impl Fn(&'a Known) -> String,
) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for known in all {
        *counts.entry(of(known)).or_default() += 1;
    }
    counts.into_iter().filter(|(_, count)| *count > 1).collect()
}

/// What was forgotten of these workflows, in words for whoever forgot it.
pub(crate) async fn forgotten(house: &House) -> Vec<String> {
    let mut found = Vec::new();
    for (name, count) in shared(&house.workflows, |known| known.name.to_owned()) {
        found.push(format!("{count} workflows are called {name}"));
    }
    for (stage, count) in shared(&house.workflows, |known| known.stage.name()) {
        found.push(format!("{count} workflows work the stage {stage}"));
    }
    if let Err(error) = house.load() {
        found.push(error.to_string());
    }
    let database = house.database().await;
    for workflow in &house.workflows {
        let name = workflow.name;
        let text = house.configuration.map_or("", |(_, text)| text);
        let heading = format!("[workflows.{name}]");
        if ![config::DEFAULTS, text]
            .iter()
            .any(|text| text.lines().any(|line| line.starts_with(&heading)))
        {
            found.push(format!("config/gleaner.toml has no {heading}"));
        }
        let (table, stage) = (workflow.stage.table(), workflow.stage.column_group());
        let columns = database
            .count(&format!(
                "SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass('{table}') AND NOT attisdropped
                   AND attname ~ '^{stage}_(status|priority|due_at|attempts|lease|error)$'"
            ))
            .await;
        if columns != 6 {
            found.push(format!(
                "{name} has no stage in the database: a migration has to SELECT gleaner_add_stage('{table}', '{stage}')"
            ));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn each_has_a_section_a_stage_and_a_name_of_its_own() {
    let house = House::program();
    assert_eq!(forgotten(&house).await, Vec::<String>::new());
    let database = house.database().await;
    let config = house.load().unwrap();
    let settings = config.workflows.settings(&config.engine);
    assert_eq!(settings.len(), house.workflows.len());
    for workflow in house.workflows {
        assert!(settings.contains_key(workflow.name), "{}", workflow.name);
        let mut conn = database.connect().await;
        assert!(!workflow.stage.has_due(&mut conn).await.unwrap());
        let gauge = workflow.stage.gauge(&mut conn, 10).await.unwrap();
        assert_eq!((gauge.queued, gauge.held), (0, 0));
    }
}

/// A name, or a stage, that another has already.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_name_or_stage_are_told_apart() {
    static TWICE: LazyLock<Areas> = LazyLock::new(|| {
        let leads = &gleaner::leads::AREA;
        Areas::of(&[leads, leads])
    });
    let house = House {
        areas: &TWICE,
        workflows: TWICE.workflows().iter().collect(),
        ..House::program()
    };
    let told = forgotten(&house).await;
    let wanted = [
        "2 workflows are called deep-scan",
        "2 workflows work the stage place/deep_scan",
    ];
    for wanted in wanted {
        assert!(told.iter().any(|told| told == wanted), "{told:?}");
    }
}

/// A web on which every workflow's sample has something to find.
async fn web() -> Site {
    let site = Site::start().await;
    site.put(
        "places.example.com/maps/api/place/details/json",
        Answer::json(
            r#"{"status":"OK","result":{"name":"Brass Kettle","website":"https://kettle-example.com/","types":["bakery"]}}"#,
        ),
    );
    let page = "<html lang=en><title>Brass Kettle</title><p><a href='mailto:hello@kettle-example.com'>Write</a>
        or <a href='tel:+442079460018'>ring</a> <a href='https://www.facebook.com/brasskettle'>us</a></p></html>";
    site.put("kettle-example.com/", Answer::html(page));
    site.put("kettle-example.com/contact", Answer::html(page));
    site.put(
        "kettle-example.com/kettle",
        Answer::html(
            r#"<html lang=en><title>Kettle</title><h1>Kettle</h1><script type="application/ld+json">{"@context":"https://schema.org",
            "@type":"Product","name":"Kettle","offers":{"@type":"Offer","price":"24.90","priceCurrency":"EUR",
            "availability":"https://schema.org/InStock"}}</script></html>"#,
        ),
    );
    site.put(
        "kettle-example.com/sitemap.xml",
        Answer::xml(
            "<sitemapindex><sitemap><loc>https://kettle-example.com/pages.xml</loc></sitemap></sitemapindex>",
        ),
    );
    site.put(
        "kettle-example.com/pages.xml",
        Answer::xml(
            "<urlset><url><loc>https://kettle-example.com/contact</loc></url><url><loc>https://kettle-example.com/blog/x</loc></url></urlset>",
        ),
    );
    site
}

/// The whole database as it would be compared: every row of every table that is not the engine's, without what differs from run
/// to run (times, and the engine's own columns) and without the jobs, which the scheduler makes when it comes to it.
async fn contents(database: &TestDatabase) -> Vec<String> {
    let tables = database
        .rows(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
               AND relname NOT IN ('attempt', 'lease', 'node', 'schedule', 'workflow_control', 'crawl_job') AND relname NOT LIKE '\\_\\_%' ORDER BY 1",
        )
        .await;
    let mut all = Vec::new();
    for table in tables {
        let columns = database
            .rows(&format!(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped
                   AND atttypid NOT IN ('timestamptz'::regtype, 'interval'::regtype)
                   AND attname !~ '_(attempts|lease|priority|requested)$' ORDER BY attnum"
            ))
            .await
            .join(", ");
        let rows = format!("SELECT ROW({columns})::text FROM {table} ORDER BY 1");
        for row in database.rows(&rows).await {
            all.push(format!("{table}: {row}"));
        }
    }
    all
}

/// The file of the sample of document-processing, where its tenant's files lie.
fn store_sample(database: &TestDatabase) {
    const TENANT: &str = "00000000-0000-4000-8000-000000000001";
    const HASH: &str = "db2055d1b6442650a6867dad15012930765133014930cba29eb88a8aa16b078b";
    let shelf = database.folder().join(TENANT).join(&HASH[..2]);
    std::fs::create_dir_all(&shelf).unwrap();
    std::fs::write(shelf.join(HASH), "The kettle is made of brass.").unwrap();
}

/// The sample of one workflow, worked by it alone, as often as told. What it leaves.
async fn worked(
    house: &House,
    site: &Site,
    workflow: &Known,
    times: usize,
) -> (Vec<String>, Vec<String>) {
    let database = house.database().await;
    store_sample(&database);
    let app = house.start(database, site, workflow).await;
    let (table, stage) = (workflow.stage.table(), workflow.stage.column_group());
    app.database.run(workflow.sample).await;
    for _ in 0..times {
        app.database
            .run(&format!("UPDATE {table} SET {stage}_status = 'Queued'"))
            .await;
        app.wait_settled(table, stage).await;
    }
    let statuses = app
        .database
        .rows(&format!("SELECT {stage}_status FROM {table}"))
        .await;
    let mut contents = contents(&app.database).await;
    contents.retain(|row| {
        !workflow
            .journals
            .iter()
            .any(|table| row.starts_with(&format!("{table}: ")))
    });
    app.stop().await;
    (statuses, contents)
}

/// Every workflow works its own sample through, and working a row again leaves what working it once does.
pub(crate) async fn works_its_sample(house: &House) {
    let site = web().await;
    for workflow in &house.workflows {
        let (statuses, once) = worked(house, &site, workflow, 1).await;
        assert!(!statuses.is_empty(), "{}: no sample", workflow.name);
        assert!(
            statuses
                .iter()
                .all(|status| ["Completed", "Filtered"].contains(&status.as_str())),
            "{}: {statuses:?}",
            workflow.name
        );
        let (_, twice) = worked(house, &site, workflow, 2).await;
        assert_eq!(once, twice, "{}", workflow.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_works_its_sample_through_and_working_it_again_leaves_the_same_rows() {
    works_its_sample(&House::program()).await;
}

/// Whatever a table may hold in a text of its own, and people or other software might write there.
const ANYTHING: &str = "ARRAY['x', '://', 'https://', 'https://[', 'javascript:alert(1)', E'https://a\nb.com/', repeat('é', 900), '%00%ff', '😀.com', '{}', '']";

#[tokio::test(flavor = "multi_thread")]
async fn no_workflow_s_actor_dies_of_rows_that_hold_anything() {
    survives_anything(&House::program()).await;
}

/// What one workflow cannot read is charged to the row; no actor dies of it.
pub(crate) async fn survives_anything(house: &House) {
    let site = web().await;
    for workflow in &house.workflows {
        let database = house.database().await;
        store_sample(&database);
        let (table, stage) = (workflow.stage.table(), workflow.stage.column_group());
        database.run(workflow.sample).await;
        // A copy of the sample for each text that it fills and each of these, as far as the table's own rules let it.
        let spoil = format!(
            "DO $$ DECLARE field text; value text; copy jsonb; number bigint := 1000; BEGIN
                 FOR field IN SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped
                      AND atttypid = 'text'::regtype AND attgenerated = '' AND attname !~ '_(status|error)$'
                      AND (SELECT to_jsonb(t) ->> attname FROM {table} AS t ORDER BY t.id LIMIT 1) IS NOT NULL LOOP
                     FOREACH value IN ARRAY {ANYTHING} LOOP
                         number := number + 1;
                         SELECT to_jsonb(t) || coalesce((SELECT jsonb_object_agg(attname, (to_jsonb(t) ->> attname) || number)
                                FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisunique AND indnatts = 1 AND indkey[0] = attnum
                                WHERE attrelid = '{table}'::regclass AND atttypid = 'text'::regtype), '{{}}')
                             || jsonb_build_object('id', number, field, value)
                             INTO copy FROM {table} AS t ORDER BY t.id LIMIT 1;
                         BEGIN
                             INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT (jsonb_populate_record(NULL::{table}, copy)).*;
                         EXCEPTION WHEN check_violation OR unique_violation OR foreign_key_violation OR generated_always THEN NULL;
                         END;
                     END LOOP;
                 END LOOP;
             END $$"
        );
        database.run(&spoil).await;
        let app = house.start(database, &site, workflow).await;
        app.database
            .run(&format!("UPDATE {table} SET {stage}_status = 'Queued'"))
            .await;
        app.wait_settled(table, stage).await;
        for own in app.status().await.workflows {
            assert_eq!(
                (own.restarts, own.incarnation.min(1)),
                (0, u64::from(own.name == workflow.name)),
                "{}",
                own.name
            );
        }
        let bad = "SELECT class || ': ' || message FROM attempt WHERE class IN ('panic', 'store', 'load', 'timeout')";
        assert_eq!(app.database.rows(bad).await, [""; 0], "{}", workflow.name);
        app.stop().await;
    }
}

/// Pause, resume and run-now are rows, so they reach every node.
pub(crate) async fn is_paused_by_rows(house: &House) {
    let database = house.database().await;
    let mut config = house.load().unwrap();
    set_for_tests(&mut config, &database);
    config.workflows.set_interval(Duration::from_secs(3600));
    let app = Box::pin(TestApp::start_with(house.areas, config, database)).await;
    for (paused, state) in [(true, "paused"), (false, "waiting")] {
        for name in house.workflows.iter().map(|workflow| workflow.name) {
            app.database
                .run(&format!(
                    "INSERT INTO workflow_control (workflow, paused) VALUES ('{name}', {paused})
                     ON CONFLICT (workflow) DO UPDATE SET paused = excluded.paused"
                ))
                .await;
        }
        wait_until(&format!("all are {state}"), async || {
            let status = app.status().await;
            house.workflows.iter().all(|workflow| {
                status
                    .workflow(workflow.name)
                    .is_some_and(|own| (own.state.as_str() == "paused") == paused)
            })
        })
        .await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_can_be_paused_and_resumed_by_rows() {
    is_paused_by_rows(&House::program()).await;
}

/// The toy that the engine's tests work with fulfils the same, so that they prove something.
#[tokio::test(flavor = "multi_thread")]
async fn the_tests_own_stage_is_made_like_all_others() {
    let database = toy::database().await;
    let mut conn = database.connect().await;
    assert!(!toy::stage().has_due(&mut conn).await.unwrap());
    database
        .run("INSERT INTO work (toy_status) VALUES ('Queued')")
        .await;
    assert!(toy::stage().has_due(&mut conn).await.unwrap());
}
