//! F22: what cannot start is named, and the rest works.

use gleaner::leads::deep_scan::DeepScan;
use gleaner::prices::config::Bots;
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

/// What only a start can change is not in force, is named until then, and is not forgotten by the next reload.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_restart_is_named_and_not_in_force() {
    let site = Site::start().await;
    let app = start(&site, &[], "", |_| ()).await;
    let in_force = app.app().shared().config.get();
    let mut config = (*in_force).clone();
    config.engine.rescue_interval = std::time::Duration::from_secs(77);
    config.section_mut::<Bots>().max_bytes_in_flight = 64 << 20;
    config.http.admin_token = Secret::new("hunter2");
    config.engine.foreign_processing_after = std::time::Duration::from_secs(1_234);
    let waiting = [
        "bots.max_bytes_in_flight",
        "engine.rescue_interval",
        "http.admin_token",
    ];
    for round in ["first", "again"] {
        app.app().reload(Ok(config.clone()), None).await.unwrap();
        let now = app.app().shared().config.get();
        assert_eq!(
            now.engine.rescue_interval, in_force.engine.rescue_interval,
            "{round}"
        );
        assert_eq!(
            now.section::<Bots>().max_bytes_in_flight,
            in_force.section::<Bots>().max_bytes_in_flight,
            "{round}"
        );
        assert_eq!(now.engine.foreign_processing_after.as_secs(), 1_234);
        // On a busy machine a heartbeat may be late at any moment, which is told as well.
        let mut body = String::new();
        wait_until("it is ready all the same", async || {
            let (code, told) = get(&app.http("/health/ready")).await;
            body = told;
            code == 200
        })
        .await;
        let ready: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            ready["pending_restart"],
            serde_json::json!(waiting),
            "{round}"
        );
        let (_, body) = get(&app.http("/api/v1/status")).await;
        assert!(!body.contains("hunter2"), "{body}");
        assert!(body.contains("\"needs_restart\":true"), "{body}");
    }
    app.app()
        .reload(Ok((*in_force).clone()), None)
        .await
        .unwrap();
    let (_, body) = get(&app.http("/health/ready")).await;
    assert!(!body.contains("pending_restart"), "{body}");
    app.stop().await;
}
