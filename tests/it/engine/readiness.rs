//! F22: what cannot start is named, and the rest works.

use gleaner::leads::deep_scan::DeepScan;
use gleaner::secret::Secret;

use gleaner_actors::State;

use crate::support::app::start;
use crate::support::app::test_config;
use crate::support::http::get;
use crate::support::site::Site;
use crate::support::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_without_its_key_is_no_trouble_until_it_is_asked_for() {
    let site = Site::start().await;
    let app = start(
        &site,
        &["deep-scan", "domain-extraction"],
        "INSERT INTO local_business (name, status) VALUES ('no site', 'Selected')",
        |config| config.workflows.options_mut::<DeepScan>().api_key = Secret::new(""),
    )
    .await;
    wait_until("it is idle, and all is ready", async || {
        let status = app.status().await;
        let own = status.workflow("deep-scan").unwrap();
        own.state == State::Idle
            && own.reason.as_deref().unwrap().contains("options.api_key")
            && get(&app.http("/health/ready")).await.0 == 200
    })
    .await;
    app.database
        .run("INSERT INTO place (place_id, status) VALUES ('p1', 'Selected')")
        .await;
    wait_until("readiness says what is missing", async || {
        let (code, body) = get(&app.http("/health/ready")).await;
        code == 503
            && body.contains("deep-scan")
            && body.contains("workflows.deep-scan.options.api_key")
    })
    .await;
    assert_eq!(get(&app.http("/health")).await.0, 200);
    app.wait_settled("local_business", "domain_extraction")
        .await;
    // Nothing was claimed for it.
    assert_eq!(
        app.database
            .rows("SELECT deep_scan_status, deep_scan_attempts FROM place")
            .await,
        ["Queued|0"]
    );
    // A reload brings the key, and with it the workflow.
    let mut config = test_config(&app.database);
    config.fetch.proxy_hosts_to = Some(site.address);
    app.app().reload(Ok(config), None).await.unwrap();
    wait_until("it is ready", async || {
        get(&app.http("/health/ready")).await.0 == 200
    })
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_changes_nothing_and_shows() {
    let site = Site::start().await;
    let app = start(&site, &[], "", |_| ()).await;
    let mut config = test_config(&app.database);
    config.fetch.user_agent = String::new();
    app.app().reload(Ok(config), None).await.unwrap_err();
    let (code, body) = get(&app.http("/health/ready")).await;
    assert_eq!(code, 200, "{body}");
    assert!(body.contains("user_agent"), "{body}");
    let mut config = test_config(&app.database);
    config.fetch.proxy_hosts_to = Some(site.address);
    app.app().reload(Ok(config), None).await.unwrap();
    let (_, body) = get(&app.http("/health/ready")).await;
    assert!(body.contains("\"reload_failure\":null"), "{body}");
    app.stop().await;
}
