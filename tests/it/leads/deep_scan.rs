//! `place/deep_scan` against a Places API that answers in every way.

use gleaner::leads::deep_scan::DeepScan;
use std::time::Duration;

use crate::support::app::start;
use crate::support::site::{Answer, Site};
use crate::support::wait_until;

const API: &str = "places.example.com/maps/api/place/details/json";

const STATES: &str = "SELECT place_id || ' ' || deep_scan_status || ' ' || deep_scan_attempts \
    || coalesce(' ' || deep_scan_error, '') FROM place ORDER BY place_id";

const BUSINESSES: &str = "SELECT name, website, phone, city, country_code, main_category, monday_hours, status FROM local_business ORDER BY place_id";

fn details(name: &str) -> Answer {
    Answer::json(&format!(
        r#"{{"status":"OK","result":{{"name":"{name}","website":"https://kettle-example.com/","international_phone_number":"+44 20 7946 0018",
        "types":["bakery","food"],"opening_hours":{{"weekday_text":["Monday: 9–5","Tuesday: Closed","W: x","T: x","F: x","S: x","S: x"]}},
        "address_components":[{{"long_name":"Bath","short_name":"Bath","types":["postal_town"]}},
        {{"long_name":"United Kingdom","short_name":"GB","types":["country","political"]}}]}}}}"#
    ))
}

fn said(status: &str) -> Answer {
    Answer::json(&format!(
        r#"{{"status":"{status}","error_message":"that is why"}}"#
    ))
}

fn places(count: usize) -> String {
    format!(
        "INSERT INTO place (place_id, status) SELECT 'p' || n, 'Selected' FROM generate_series(1, {count}) AS n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selected_place_becomes_a_business() {
    let site = Site::start().await;
    site.put(API, details("Brass Kettle"));
    let app = start(&site, &["deep-scan"], &places(1), |_| ()).await;
    app.wait_settled("place", "deep_scan").await;
    assert_eq!(app.database.rows(STATES).await, ["p1 Completed 1"]);
    assert_eq!(
        app.database.rows(BUSINESSES).await,
        ["Brass Kettle|https://kettle-example.com/|+44 20 7946 0018|Bath|GB|bakery|9–5|New"]
    );
    // What is asked for is what is stored.
    let asked = &site.hits(API)[0].place;
    assert!(
        asked.contains("place_id=p1")
            && asked.contains("key=test-key")
            && asked.contains("fields="),
        "{asked}"
    );
    app.stop().await;
}

/// F2.
#[tokio::test(flavor = "multi_thread")]
async fn a_503_is_tried_again_when_due_and_no_sooner() {
    let site = Site::start().await;
    site.script(
        API,
        vec![
            Answer::status(503).with("retry-after", "2"),
            details("Brass Kettle"),
        ],
    );
    let app = start(&site, &["deep-scan"], &places(1), |_| ()).await;
    wait_until("the first attempt has failed", async || {
        app.database
            .count("SELECT count(*) FROM attempt WHERE outcome = 'retried'")
            .await
            == 1
    })
    .await;
    let due: bool = app
        .database
        .scalar("SELECT deep_scan_due_at - settled_at = interval '2 seconds' FROM place, attempt")
        .await;
    assert!(due);
    app.wait_settled("place", "deep_scan").await;
    assert_eq!(app.database.rows(STATES).await, ["p1 Completed 2"]);
    let hits = site.hits(API);
    assert_eq!(hits.len(), 2);
    let between = hits[1].at - hits[0].at;
    assert!(between >= Duration::from_secs(2), "{between:?}");
    assert_eq!(
        app.database
            .rows("SELECT attempt, outcome FROM attempt ORDER BY settled_at")
            .await,
        ["1|retried", "2|completed"]
    );
    app.stop().await;
}

/// A retry is not left to the interval, which may be an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_is_due_does_not_wait_for_the_interval() {
    let site = Site::start().await;
    site.script(
        API,
        vec![
            Answer::status(503).with("retry-after", "1"),
            details("Brass Kettle"),
        ],
    );
    let app = start(&site, &["deep-scan"], &places(1), |config| {
        config.workflows.set_interval(Duration::from_secs(3600));
    })
    .await;
    app.wait_settled("place", "deep_scan").await;
    assert_eq!(app.database.rows(STATES).await, ["p1 Completed 2"]);
    app.stop().await;
}

/// F12.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_again_keeps_what_people_and_later_stages_wrote() {
    let site = Site::start().await;
    site.script(API, vec![details("Old Name"), details("New Name")]);
    let app = start(
        &site,
        &["deep-scan", "domain-extraction"],
        &places(1),
        |config| config.workflows.options_mut::<DeepScan>().advance = true,
    )
    .await;
    let kept = "SELECT status, notes, domain_id, domain_extraction_status, domain_extraction_attempts, domain_extraction_due_at, created_at \
        FROM local_business";
    wait_until("the domain is extracted", async || {
        app.database
            .count(
                "SELECT count(*) FROM local_business WHERE domain_extraction_status = 'Completed'",
            )
            .await
            == 1
    })
    .await;
    app.database
        .run("UPDATE local_business SET notes = 'call again'")
        .await;
    for status in ["Selected", "Maybe"] {
        app.database
            .run(&format!("UPDATE local_business SET status = '{status}'"))
            .await;
        let before = app.database.rows(kept).await;
        app.database
            .run("UPDATE place SET deep_scan_status = 'Queued'")
            .await;
        app.wait_settled("place", "deep_scan").await;
        assert_eq!(app.database.rows(kept).await, before);
        assert_eq!(
            app.database.rows("SELECT name FROM local_business").await,
            ["New Name"]
        );
    }
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM attempt WHERE stage = 'local_business/domain_extraction'")
            .await,
        1
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_decide_and_the_key_stays_out_of_the_errors() {
    let site = Site::start().await;
    for (answer, expected) in [
        (
            said("NOT_FOUND"),
            "p1 Error 1 places_api: the Places API answered NOT_FOUND: that is why",
        ),
        (
            said("UNKNOWN_ERROR"),
            "p1 Error 2 places_api: the Places API answered UNKNOWN_ERROR: that is why",
        ),
        (Answer::status(403), "p1 Error 1 "),
        (Answer::json("<html>"), "p1 Error 2 places_api: "),
    ] {
        site.put(API, answer);
        let app = start(&site, &["deep-scan"], &places(1), |config| {
            config.workflows.of_mut::<DeepScan>().max_attempts = 2.try_into().unwrap();
        })
        .await;
        app.wait_settled("place", "deep_scan").await;
        let state = app.database.rows(STATES).await.concat();
        assert!(state.starts_with(expected), "{state}");
        assert!(!state.contains("test-key"), "{state}");
        assert_eq!(
            app.database
                .count("SELECT count(*) FROM attempt WHERE message LIKE '%test-key%'")
                .await,
            0
        );
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_rests_the_whole_workflow_and_burns_no_attempt() {
    let site = Site::start().await;
    site.script(API, vec![said("OVER_QUERY_LIMIT"), details("Brass Kettle")]);
    let app = start(&site, &["deep-scan"], &places(5), |config| {
        config.workflows.of_mut::<DeepScan>().concurrency = 1.try_into().unwrap();
        config.workflows.set_interval(Duration::from_millis(20));
    })
    .await;
    wait_until("it rests", async || {
        app.database
            .count("SELECT count(*) FROM attempt WHERE outcome = 'snoozed'")
            .await
            == 1
    })
    .await;
    let status = app.status().await;
    let rest = status
        .workflow("deep-scan")
        .unwrap()
        .snoozed_for_ms
        .unwrap();
    assert!((50_000..=60_000).contains(&rest), "{rest}");
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM place WHERE deep_scan_status = 'Queued' AND deep_scan_attempts = 0")
            .await,
        5
    );
    assert_eq!(site.hits(API).len(), 1);
    // Its being held back is not a stall: the process stays ready.
    let (code, body) = crate::support::http::get(&app.http("/health/ready")).await;
    assert_eq!(code, 200, "{body}");
    // An operator knows better.
    app.app().tree().run_now("deep-scan").await.unwrap();
    wait_until("the others are done", async || {
        app.database
            .count("SELECT count(*) FROM place WHERE deep_scan_status = 'Completed' AND deep_scan_attempts = 1")
            .await
            == 4
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_rests_the_workflow_for_as_long_as_the_api_says() {
    let site = Site::start().await;
    site.script(
        API,
        vec![
            Answer::status(429).with("retry-after", "1"),
            details("Brass Kettle"),
        ],
    );
    let app = start(&site, &["deep-scan"], &places(3), |config| {
        config.workflows.of_mut::<DeepScan>().concurrency = 1.try_into().unwrap();
        config.workflows.set_interval(Duration::from_millis(20));
    })
    .await;
    app.wait_settled("place", "deep_scan").await;
    assert_eq!(
        app.database.rows(STATES).await,
        ["p1 Completed 1", "p2 Completed 1", "p3 Completed 1"]
    );
    let hits = site.hits(API);
    assert_eq!(hits.len(), 4);
    assert!(hits[1].at - hits[0].at >= Duration::from_secs(1));
    app.stop().await;
}
