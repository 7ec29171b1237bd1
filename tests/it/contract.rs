//! What every workflow must fulfil, over the whole table of workflows: a new one is covered by being in it.

use std::collections::HashSet;
use std::time::Duration;

use gleaner::config;
use gleaner::workflows;

use crate::support::app::test_config;
use crate::support::site::{Answer, Site};
use crate::support::toy;
use crate::support::{TestApp, TestDatabase, wait_until};

/// Everything that the pipeline leaves behind, without keys, times and what the engine keeps. Compared, not read.
const RESULTS: &[&str] = &[
    "SELECT place_id, name, website, phone, full_address, status, (SELECT domain FROM domain d WHERE d.id = domain_id) FROM local_business ORDER BY 1",
    "SELECT domain, registrable_domain, title, description, language, email_addresses, phone_numbers, home_url, total_sitemaps, status FROM domain ORDER BY 1",
    "SELECT url, sitemap_type, discovery_method, depth, url_count, is_gzipped, is_truncated, status FROM sitemap_file ORDER BY 1",
    "SELECT url, page_type, page_rule, title, contact_scrape_status, word_count, status FROM page ORDER BY 1",
    "SELECT kind, value, detail, raw, source, confidence, source_url FROM contact ORDER BY 1, 2",
    // No row was replaced by another.
    "SELECT 'business', id FROM local_business UNION ALL SELECT 'domain', id FROM domain UNION ALL SELECT 'sitemap', id FROM sitemap_file
     UNION ALL SELECT 'page', id FROM page UNION ALL SELECT 'contact', id FROM contact ORDER BY 1, 2",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_has_a_section_a_stage_and_a_name_of_its_own() {
    let database = TestDatabase::new().await;
    let known = workflows::known();
    let names: HashSet<&str> = known.iter().map(|workflow| workflow.name).collect();
    assert_eq!(names.len(), known.len());
    let stages: HashSet<String> = known.iter().map(|workflow| workflow.stage.name()).collect();
    assert_eq!(stages.len(), known.len());
    let config = config::load(&config::Sources::default()).unwrap();
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

/// A web on which every workflow has something to do.
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

async fn results(database: &TestDatabase) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in RESULTS {
        all.push(database.rows(sql).await);
    }
    all
}

async fn wait_done(app: &TestApp) {
    // A row is queued in the transaction that completes the one before, so this goes stage by stage.
    for workflow in workflows::known() {
        app.wait_settled(workflow.stage.table(), workflow.stage.column_group())
            .await;
    }
}

/// Every stage of every row again: working a row twice leaves what working it once does.
#[tokio::test(flavor = "multi_thread")]
async fn working_a_row_again_leaves_the_same_rows() {
    let site = web().await;
    let database = TestDatabase::new().await;
    database
        .run("INSERT INTO place (place_id, status) VALUES ('p1', 'Selected'), ('p2', 'Selected')")
        .await;
    let app = TestApp::start_on(database, |config| {
        config.fetch.proxy_hosts_to = Some(site.address);
        config.workflows.deep_scan.options.advance = true;
    })
    .await;
    app.wait_idle().await;
    wait_done(&app).await;
    let once = results(&app.database).await;
    for (rows, sql) in once.iter().zip(RESULTS) {
        assert!(!rows.is_empty(), "nothing to see by {sql}");
    }
    for workflow in workflows::known() {
        let (table, stage) = (workflow.stage.table(), workflow.stage.column_group());
        app.database
            .run(&format!("UPDATE {table} SET {stage}_status = 'Queued'"))
            .await;
        wait_done(&app).await;
        assert_eq!(results(&app.database).await, once, "{}", workflow.name);
    }
    app.stop().await;
}

/// What one workflow cannot read is charged to the row; no actor dies of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_workflow_s_actor_dies_of_rows_that_hold_anything() {
    let site = web().await;
    let database = TestDatabase::new().await;
    let nasty = "unnest(ARRAY['x', '://', 'https://', 'https://[', 'javascript:alert(1)', E'https://a\\nb.com/', repeat('é', 900), '%00%ff', '😀.com', 'https://kettle-example.com/'])";
    database
        .run(&format!(
            "INSERT INTO place (place_id, deep_scan_status) SELECT left(v, 500), 'Queued' FROM {nasty} AS v;
             INSERT INTO local_business (name, website, domain_extraction_status) SELECT 'n', v, 'Queued' FROM {nasty} AS v;
             INSERT INTO domain (domain, registrable_domain, metadata_status, sitemap_status)
                 SELECT lower(left(v, 250)), v, 'Queued', 'Queued' FROM {nasty} AS v;
             INSERT INTO sitemap_file (domain_id, url, import_status) SELECT id, v, 'Queued' FROM domain, {nasty} AS v WHERE domain = 'x';
             INSERT INTO page (domain_id, url, curation_status) SELECT id, v, 'Queued' FROM domain, {nasty} AS v WHERE domain = 'x'"
        ))
        .await;
    let app = TestApp::start_on(database, |config| {
        config.fetch.proxy_hosts_to = Some(site.address);
    })
    .await;
    wait_done(&app).await;
    for workflow in app.status().await.workflows {
        assert_eq!(
            (workflow.restarts, workflow.incarnation),
            (0, 1),
            "{}",
            workflow.name
        );
    }
    assert_eq!(
        app.database
            .count(
                "SELECT count(*) FROM attempt WHERE class IN ('panic', 'store', 'load', 'timeout')"
            )
            .await,
        0
    );
    app.stop().await;
}

/// Pause, resume and run-now are rows, so they reach every node.
#[tokio::test(flavor = "multi_thread")]
async fn each_can_be_paused_and_resumed_by_rows() {
    let database = TestDatabase::new().await;
    let mut config = test_config(&database);
    config.workflows.set_interval(Duration::from_secs(3600));
    let app = Box::pin(TestApp::start_on(database, |mine| *mine = config)).await;
    for (paused, state) in [(true, "paused"), (false, "waiting")] {
        for name in workflows::NAMES {
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
