//! What every workflow must fulfil, over the whole table of workflows: a new one is covered by being in it.

use std::collections::HashSet;
use std::time::Duration;

use gleaner::areas;
use gleaner::config;
use gleaner::workflows::Known;

use crate::support::app::test_config;
use crate::support::site::{Answer, Site};
use crate::support::toy;
use crate::support::{TestApp, TestDatabase, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn each_has_a_section_a_stage_and_a_name_of_its_own() {
    let database = TestDatabase::new().await;
    let known = areas::workflows();
    let names: HashSet<&str> = known.iter().map(|workflow| workflow.name).collect();
    assert_eq!(names.len(), known.len());
    let stages: HashSet<String> = known.iter().map(|workflow| workflow.stage.name()).collect();
    assert_eq!(stages.len(), known.len());
    let config = areas::load(&config::Sources::default()).unwrap();
    let settings = config.workflows.settings(&config.engine);
    assert_eq!(settings.len(), known.len());
    for workflow in known {
        assert!(settings.contains_key(workflow.name), "{}", workflow.name);
        assert!(
            config::DEFAULTS.contains(&format!("\n[workflows.{}]", workflow.name)),
            "{} has no section in config/gleaner.toml",
            workflow.name
        );
        let mut conn = database.connect().await;
        assert!(!workflow.stage.has_due(&mut conn).await.unwrap());
        let gauge = workflow.stage.gauge(&mut conn, 10).await.unwrap();
        assert_eq!((gauge.queued, gauge.held), (0, 0));
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

/// The sample of one workflow, worked by it alone, as often as told. What it leaves.
async fn worked(site: &Site, workflow: &Known, times: usize) -> (Vec<String>, Vec<String>) {
    let database = TestDatabase::new().await;
    let app = Box::pin(TestApp::start_on(database, |config| {
        config.fetch.proxy_hosts_to = Some(site.address);
        config.workflows.keep_only(&[workflow.name.to_owned()]);
    }))
    .await;
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
#[tokio::test(flavor = "multi_thread")]
async fn each_works_its_sample_through_and_working_it_again_leaves_the_same_rows() {
    let site = web().await;
    for workflow in areas::workflows() {
        let (statuses, once) = worked(&site, workflow, 1).await;
        assert!(!statuses.is_empty(), "{}: no sample", workflow.name);
        assert!(
            statuses
                .iter()
                .all(|status| ["Completed", "Filtered"].contains(&status.as_str())),
            "{}: {statuses:?}",
            workflow.name
        );
        let (_, twice) = worked(&site, workflow, 2).await;
        assert_eq!(once, twice, "{}", workflow.name);
    }
}

/// Whatever a table may hold in a text of its own, and people or other software might write there.
const ANYTHING: &str = "ARRAY['x', '://', 'https://', 'https://[', 'javascript:alert(1)', E'https://a\nb.com/', repeat('é', 900), '%00%ff', '😀.com', '{}', '']";

/// What one workflow cannot read is charged to the row; no actor dies of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_workflow_s_actor_dies_of_rows_that_hold_anything() {
    let site = web().await;
    for workflow in areas::workflows() {
        let database = TestDatabase::new().await;
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
        let app = Box::pin(TestApp::start_on(database, |config| {
            config.fetch.proxy_hosts_to = Some(site.address);
            config.workflows.keep_only(&[workflow.name.to_owned()]);
        }))
        .await;
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
#[tokio::test(flavor = "multi_thread")]
async fn each_can_be_paused_and_resumed_by_rows() {
    let database = TestDatabase::new().await;
    let mut config = test_config(&database);
    config.workflows.set_interval(Duration::from_secs(3600));
    let app = Box::pin(TestApp::start_on(database, |mine| *mine = config)).await;
    for (paused, state) in [(true, "paused"), (false, "waiting")] {
        for name in areas::workflows().iter().map(|workflow| workflow.name) {
            app.database
                .run(&format!(
                    "INSERT INTO workflow_control (workflow, paused) VALUES ('{name}', {paused})
                     ON CONFLICT (workflow) DO UPDATE SET paused = excluded.paused"
                ))
                .await;
        }
        wait_until(&format!("all are {state}"), async || {
            app.status()
                .await
                .workflows
                .iter()
                .all(|workflow| (workflow.state.as_str() == "paused") == paused)
        })
        .await;
    }
    app.stop().await;
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
