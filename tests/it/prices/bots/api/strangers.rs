//! Who is let in, to what, how often, and how much they may send.

use gleaner::prices::config::Bots;
use gleaner::prices::config::Crawl;
use serde_json::json;

use super::{Api, TOKEN, good, is, refusal};
use crate::support::exchange::exchange;

/// W-39: one answer for every failure to log in, and it says nothing.
#[tokio::test]
async fn w39_all_failures_to_log_in_look_alike() {
    let api = Api::start(1).await;
    api.app
        .database
        .run("UPDATE bot SET enabled = false WHERE bot_id = 'bob'")
        .await;
    let mut bodies = Vec::new();
    for (bot, token) in [
        ("ann", "wrong"),
        ("ann", &TOKEN[1..]),
        ("ann", &TOKEN.to_uppercase()),
        ("bob", TOKEN),
        ("bob", "wrong"),
        ("nobody", TOKEN),
        ("'; DROP TABLE bot; --", TOKEN),
        (
            "ann",
            "\\x0000000000000000000000000000000000000000000000000000000000000000",
        ),
    ] {
        for path in [
            "pull/",
            "submit/",
            "heartbeat/",
            "release/",
            "submit-batch/",
        ] {
            let body = json!({"bot_id": bot, "api_token": token, "job_id": 1, "success": false});
            let answer = api.post(path, &body.to_string()).await;
            assert_eq!(
                refusal(&answer),
                is(401, "authentication_error"),
                "{bot} {path}"
            );
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            bodies.push(answer.body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1);
    assert_eq!(api.states().await, ["1 Queued 0"], "nothing happened");
    let stored: String = api
        .app
        .database
        .scalar("SELECT token_hash::text FROM bot LIMIT 1")
        .await;
    assert!(!stored.contains("horse") && stored.len() == 66, "{stored}");
}

/// W-31, W-39: so many pulls a minute, counted in the database, so that a second node changes nothing.
#[tokio::test]
async fn w31_a_bot_that_pulls_too_often_is_told_when() {
    let api = Api::start(1).await;
    api.app
        .database
        .run("UPDATE bot SET rate_limit_per_minute = 3 WHERE bot_id = 'ann'")
        .await;
    let mut config = crate::support::app::test_config(&api.app.database);
    config.section_mut::<Crawl>().interval = std::time::Duration::from_secs(3600);
    let second = gleaner::app::App::start(config, None).await.unwrap();
    let other = Api {
        address: second.http_address().expect("it serves"),
        ..api
    };
    let api = Api {
        address: other.app.app().http_address().expect("it serves"),
        ..other
    };
    let second = second.http_address().expect("it serves");
    let pull = async |address| {
        let body = json!({"bot_id": "ann", "api_token": TOKEN}).to_string();
        let length = format!("Content-Length: {}", body.len());
        crate::support::exchange::exchange_body(
            address,
            "POST /api/crawl/pull/",
            &[&length],
            body.as_bytes(),
        )
        .await
    };
    for address in [api.address, second, api.address] {
        assert_eq!(pull(address).await.status, 200);
    }
    for address in [api.address, second] {
        let answer = pull(address).await;
        assert_eq!(refusal(&answer), is(429, "rate_limited"));
        let seconds: u64 = answer
            .header("retry-after")
            .expect("a time")
            .parse()
            .unwrap();
        assert!((1..=61).contains(&seconds), "{seconds}");
    }
    assert_eq!(
        api.post_as("bob", "pull/", json!({})).await.status,
        200,
        "others are not held up"
    );
    api.app
        .database
        .run("UPDATE bot SET window_started_at = now() - interval '61 seconds'")
        .await;
    assert_eq!(pull(second).await.status, 200);
}

/// W-31 and E29: cap, domains and times of a bot's own are kept to, and a domain is no part of another's name.
#[tokio::test]
async fn w31_caps_domains_and_times_are_kept() {
    let database = Api::database(0).await;
    database
        .run(
            "INSERT INTO site (domain) VALUES ('amazon.co.jp'), ('notamazon.co.jp'), ('other.example');
             INSERT INTO product_url (site_id, raw_url, url, url_hash) VALUES
                 (1, 'x', 'https://www.amazon.co.jp/1', 'a'), (1, 'x', 'https://amazon.co.jp/2', 'b'),
                 (2, 'x', 'https://notamazon.co.jp/3', 'c'), (3, 'x', 'https://shop.other.example:8443/4', 'd');
             UPDATE site SET delay_seconds = 0;
             UPDATE bot SET max_jobs_per_pull = 2, lock_ttl_seconds = 77 WHERE bot_id = 'ann';
             UPDATE bot SET allowed_domains = '{other.example}' WHERE bot_id = 'bob'",
        )
        .await;
    database
        .run("UPDATE crawl_job SET crawl_status = 'Queued', plan = 1000")
        .await;
    let api = Api::start_on(database, |_| {}).await;
    let urls = async |bot: &str, fields| {
        let jobs = api.pull(bot, fields).await;
        let urls: Vec<String> = jobs
            .iter()
            .map(|job| job["url"].as_str().expect("a url").to_owned())
            .collect();
        let tokens: Vec<_> = jobs
            .iter()
            .map(|job| json!({"job_id": job["job_id"], "lease_token": job["lease_token"]}))
            .collect();
        if !tokens.is_empty() {
            api.post_as(bot, "release/", json!({"jobs": tokens})).await;
        }
        urls
    };
    assert_eq!(urls("ann", json!({"max_jobs": 100})).await.len(), 2);
    for (domain, expected) in [
        (
            "amazon.co.jp",
            vec!["https://www.amazon.co.jp/1", "https://amazon.co.jp/2"],
        ),
        ("WWW.Amazon.co.jp.", vec!["https://www.amazon.co.jp/1"]),
        ("zon.co.jp", vec![]),
        ("co.jp", vec![]),
        (
            "shop.other.example",
            vec!["https://shop.other.example:8443/4"],
        ),
        ("op.other.example", vec![]),
        ("%", vec![]),
    ] {
        let mut found = urls("ann", json!({"domain": domain})).await;
        found.sort();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(found, expected, "{domain}");
    }
    assert_eq!(
        urls("bob", json!({})).await,
        ["https://shop.other.example:8443/4"]
    );
    assert_eq!(
        urls("bob", json!({"domain": "amazon.co.jp"})).await,
        Vec::<String>::new()
    );
    let jobs = api.pull("ann", json!({"max_jobs": 1})).await;
    assert_eq!(jobs[0]["timeout_seconds"], 77);
}

/// W-31, PT-12: a site's switch and pace hold over all bots.
#[tokio::test]
async fn pt12_a_sites_pace_holds_over_all_bots() {
    let database = Api::database(0).await;
    database
        .run(
            "INSERT INTO site (domain, delay_seconds, rate_per_minute, enabled) VALUES
                 ('slow.example', 3, 10, true), ('few.example', NULL, 2, true), ('free.example', 0, NULL, true), ('off.example', 0, NULL, true);
             INSERT INTO product_url (site_id, raw_url, url, url_hash)
                 SELECT site, 'x', 'https://' || domain || '/' || n, site || '-' || n FROM (SELECT id AS site, domain FROM site) AS s, generate_series(1, 5) AS n",
        )
        .await;
    database
        .run(
            "UPDATE crawl_job SET crawl_status = 'Queued', plan = 1000;
             UPDATE bot SET max_jobs_per_pull = 100;
             ALTER TABLE site DISABLE TRIGGER site_job_update;
             UPDATE site SET enabled = false WHERE domain = 'off.example'",
        )
        .await;
    let api = Api::start_on(database, |_| {}).await;
    let jobs = api.pull("ann", json!({"max_jobs": 15})).await;
    let of = |domain: &str| {
        jobs.iter()
            .filter(|job| job["url"].as_str().is_some_and(|url| url.contains(domain)))
            .count()
    };
    assert_eq!(
        ["off", "few", "slow", "free"].map(|name| of(&format!("{name}.example"))),
        [0, 2, 5, 5]
    );
    let next = api
        .app
        .database
        .rows("SELECT domain, round(extract(epoch FROM next_pull_at - now())) FROM site WHERE domain IN ('slow.example', 'few.example') ORDER BY domain")
        .await;
    assert_eq!(next, ["few.example|60", "slow.example|30"]);
    // One comes free: of the sites whose turn is not yet, still nothing.
    api.post_as(
        "ann",
        "release/",
        json!({"jobs": [{"job_id": jobs[0]["job_id"], "lease_token": jobs[0]["lease_token"]}]}),
    )
    .await;
    let more = api.pull("bob", json!({"max_jobs": 10})).await;
    assert!(
        more.iter().all(|job| job["url"]
            .as_str()
            .is_some_and(|url| url.contains("free.example"))),
        "{more:?}"
    );
}

/// W-41: a body is bounded, and so is what is nested in it.
#[tokio::test]
async fn w41_bodies_are_bounded() {
    let api = Api::start_with(1, |config| {
        config.section_mut::<Bots>().max_body_bytes = 100_000;
        config.section_mut::<Bots>().max_html_bytes = 10_000;
    })
    .await;
    let job = api.pull_one("ann").await;
    let mut large = good(&job);
    large["raw_html"] = json!("x".repeat(200_000));
    assert_eq!(
        refusal(&api.post_as("ann", "submit/", large.clone()).await),
        is(413, "too_large")
    );
    large["raw_html"] = json!("x".repeat(20_000));
    let answer = api.post_as("ann", "submit/", large).await;
    assert_eq!(refusal(&answer), is(400, "validation_error"));
    let deep = format!(
        r#"{{"bot_id": "ann", "api_token": "{TOKEN}", "job_id": 1, "success": false, "parsed_data": {}1{}}}"#,
        "[".repeat(40_000),
        "]".repeat(40_000)
    );
    assert_eq!(
        refusal(&api.post("submit/", &deep).await),
        is(400, "validation_error")
    );
    let mut fits = good(&job);
    fits["raw_html"] = json!("y".repeat(9_000));
    assert_eq!(api.post_as("ann", "submit/", fits).await.status, 201);
}

/// The admin token is not the bots', and theirs opens nothing else.
#[tokio::test]
async fn bots_need_no_admin_token_and_have_none() {
    let api = Api::start_with(1, |config| {
        config.http.admin_token = gleaner::secret::Secret::new("s3cret");
        config.section_mut::<Bots>().listen = "127.0.0.1:0".to_owned();
    })
    .await;
    assert_eq!(api.pull("ann", json!({})).await.len(), 1);
    let bearer = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(
        exchange(api.address, "GET /api/v1/status", &[&bearer])
            .await
            .status,
        401
    );
    // Their own address knows them alone.
    let own = api.app.app().outside_addresses()[0];
    assert_eq!(exchange(own, "GET /health", &[]).await.status, 200);
    assert_eq!(
        exchange(own, "GET /api/openapi.json", &[]).await.status,
        200
    );
    for path in ["/api/v1/status", "/metrics", "/"] {
        assert_eq!(
            exchange(own, &format!("GET {path}"), &[]).await.status,
            404,
            "{path}"
        );
    }
    let wrong = exchange(own, "GET /api/crawl/pull/", &[]).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
}

/// W-43: without the database it says so, in words of its own.
#[tokio::test]
async fn w39_an_answer_never_quotes_the_database() {
    let api = Api::start(1).await;
    let job = api.pull_one("ann").await;
    api.app
        .database
        .run("ALTER TABLE crawl_result RENAME COLUMN price TO secret_column")
        .await;
    let answer = api.post_as("ann", "submit/", good(&job)).await;
    assert_eq!(refusal(&answer), is(503, "unavailable"));
    assert!(
        !answer.body.contains("column") && !answer.body.contains("price"),
        "{}",
        answer.body
    );
    assert!(answer.header("retry-after").is_some());
    // Nothing was half done.
    api.app
        .database
        .run("ALTER TABLE crawl_result RENAME COLUMN secret_column TO price")
        .await;
    assert_eq!(api.states().await, ["1 Processing 1 ann"]);
    assert_eq!(api.post_as("ann", "submit/", good(&job)).await.status, 201);
}
