//! Sessions: signing in by key or by Telegram, and what ends it.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::net::SocketAddr;

use chrono::Utc;
use gleaner::config::Config;
use gleaner::documents::config::Documents;
use gleaner::secret::Secret;
use serde_json::{Value, json};

use crate::support::exchange::{Answer, exchange, exchange_body};
use crate::support::{TestApp, TestDatabase};

const BOT: &str = "123456:test-token";

/// A program with a bot for Telegram, the tenant `acme`, and its key that may write.
async fn start(change: impl FnOnce(&mut Config)) -> (TestApp, SocketAddr, String) {
    let app = TestApp::start_on(TestDatabase::new().await, |config| {
        config.workflows.keep_only(&[]);
        let section = config.section_mut::<Documents>();
        section.telegram_bot_token = Secret::new(BOT);
        section.quota_bytes = 1_000;
        change(config);
    })
    .await;
    let address = app.app().http_address().unwrap();
    app.database
        .run("INSERT INTO tenant (name, quota_bytes) VALUES ('acme', 5000)")
        .await;
    let key = key_of(&app, "acme", "write").await;
    (app, address, key)
}

/// A new key of this tenant.
async fn key_of(app: &TestApp, tenant: &str, scope: &str) -> String {
    let count = app.database.count("SELECT count(*) FROM api_key").await;
    let key = format!("gld_{count:064x}");
    app.database
        .run(&format!(
            "INSERT INTO api_key (tenant_id, name, digest, scope) \
             SELECT id, 'test', sha256('{key}'), '{scope}' FROM tenant WHERE name = '{tenant}'"
        ))
        .await;
    key
}

async fn send(address: SocketAddr, request: &str, lines: &[&str], body: &Value) -> Answer {
    let body = body.to_string();
    let length = format!("Content-Length: {}", body.len());
    let mut all = vec!["Content-Type: application/json", &length];
    all.extend(lines);
    exchange_body(address, request, &all, body.as_bytes()).await
}

async fn sign_in(address: SocketAddr, key: &str) -> Answer {
    send(address, "POST /api/session", &[], &json!({ "key": key })).await
}

/// The header with which a browser sends back what it was told to keep.
fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let line = answer.header("set-cookie").unwrap();
    format!("Cookie: other=1; {}", line.split(';').next().unwrap())
}

/// Who is signed in by these headers: the tenant's name, or nothing.
async fn who(address: SocketAddr, lines: &[&str]) -> Option<String> {
    let told = exchange(address, "GET /api/session", lines).await.json();
    assert_eq!(told["success"], true);
    assert_eq!(told["signed_in"], told["tenant"].is_object(), "{told}");
    told["tenant"]["name"].as_str().map(str::to_owned)
}

/// As Telegram signs them, under this token.
fn signed(token: &str, pairs: &[(&str, String)]) -> Value {
    let mut pairs = pairs.to_vec();
    pairs.sort();
    let lines: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let key = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.as_ref());
    let tag = ring::hmac::sign(&key, lines.join("\n").as_bytes());
    let hash: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    pairs.push(("hash", hash));
    let pairs = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.into()));
    Value::Object(pairs.collect())
}

fn ada(age: i64) -> Value {
    let at = Utc::now().timestamp() - age;
    signed(
        BOT,
        &[
            ("id", "42".to_owned()),
            ("first_name", "Ada".to_owned()),
            ("auth_date", at.to_string()),
        ],
    )
}

async fn telegram(address: SocketAddr, fields: &Value) -> Answer {
    send(address, "POST /api/auth/telegram", &[], fields).await
}

#[tokio::test]
async fn a_key_signs_in_and_may_do_no_more_than_before() {
    let (app, address, key) = start(|_| ()).await;
    let told = exchange(address, "GET /api/session", &[]).await;
    assert_eq!(told.status, 200);
    assert_eq!(told.json()["signed_in"], false);
    let way = told.json()["login"]["telegram"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        way.contains("bot_id=123456&origin=http%3A%2F%2Flocalhost&"),
        "{way}"
    );

    for wrong in [
        "",
        "gld_",
        "gld_00",
        &key.to_uppercase(),
        &format!("{key}0"),
        &"x".repeat(300),
    ] {
        let refused = sign_in(address, wrong).await;
        assert_eq!(refused.status, 401, "{wrong}");
        assert_eq!(refused.json()["code"], "unauthorized");
        assert_eq!(refused.header("set-cookie"), None);
    }
    for body in [
        json!({}),
        json!([]),
        json!({ "key": 1 }),
        json!({ "key": key, "more": 1 }),
    ] {
        let refused = send(address, "POST /api/session", &[], &body).await;
        assert_eq!(
            (refused.status, &refused.json()["code"]),
            (400, &json!("invalid")),
            "{body}"
        );
    }

    let answer = sign_in(address, &format!(" {key}\n")).await;
    let line = answer.header("set-cookie").unwrap().to_owned();
    assert!(line.starts_with("gleaner_session=k."), "{line}");
    assert!(
        line.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=604800"),
        "{line}"
    );
    assert!(!line.contains(&key), "{line}");
    let told = answer.json();
    assert_eq!(told["scope"], "write");
    assert_eq!(
        (
            &told["quota_bytes"],
            &told["used_bytes"],
            &told["reserved_bytes"]
        ),
        (&json!(5000), &json!(0), &json!(0))
    );
    let cookie = cookie(&answer);
    assert_eq!(who(address, &[&cookie]).await.as_deref(), Some("acme"));
    // Of a public host, cookies go over TLS, and by another name.
    assert_eq!(
        who(address, &[&cookie, "X-Forwarded-Proto: https"]).await,
        None
    );
    // A key that does not work is not made good by a cookie.
    assert_eq!(
        who(address, &[&cookie, "Authorization: Bearer gld_00"]).await,
        None
    );
    let bearer = format!("Authorization: Bearer {key}");
    assert_eq!(who(address, &[&bearer]).await.as_deref(), Some("acme"));

    let gone = exchange(address, "DELETE /api/session", &["X-Requested-By: test"]).await;
    assert_eq!(gone.status, 200);
    assert!(gone.header("set-cookie").unwrap().contains("Max-Age=0"));
    app.stop().await;
}

#[tokio::test]
async fn what_ends_a_key_ends_its_sessions() {
    let (app, address, _) = start(|_| ()).await;
    for ending in [
        "UPDATE api_key SET revoked_at = now()",
        "UPDATE api_key SET expires_at = now() - interval '1 second'",
        "UPDATE tenant SET disabled_at = now()",
        "DELETE FROM api_key",
    ] {
        app.database
            .run("UPDATE tenant SET disabled_at = NULL")
            .await;
        let key = key_of(&app, "acme", "read").await;
        let answer = sign_in(address, &key).await;
        assert_eq!(answer.json()["scope"], "read");
        let cookie = cookie(&answer);
        assert_eq!(who(address, &[&cookie]).await.as_deref(), Some("acme"));
        app.database.run(ending).await;
        assert_eq!(who(address, &[&cookie]).await, None, "{ending}");
        assert_eq!(sign_in(address, &key).await.status, 401, "{ending}");
    }
    app.stop().await;
}

#[tokio::test]
async fn sessions_outlive_a_process_that_has_a_secret_of_its_own_only_then() {
    let secret = "0123456789abcdef0123456789abcdef";
    for (secret, expected) in [(secret, Some("acme")), ("", None)] {
        let set = |config: &mut Config| {
            config.section_mut::<Documents>().session_secret = Secret::new(secret);
        };
        let (app, address, key) = start(set).await;
        let cookie = cookie(&sign_in(address, &key).await);
        let (_, database) = app.stop().await;
        let app = TestApp::start_on(database, |config| {
            config.workflows.keep_only(&[]);
            set(config);
        })
        .await;
        let address = app.app().http_address().unwrap();
        assert_eq!(who(address, &[&cookie]).await.as_deref(), expected);
        app.stop().await;
    }
}

#[tokio::test]
async fn no_foreign_page_signs_anybody_in_or_out() {
    let (app, address, key) = start(|_| ()).await;
    let foreign = ["Sec-Fetch-Site: cross-site"];
    for (request, body) in [
        ("POST /api/session", json!({ "key": key })),
        ("DELETE /api/session", json!({})),
        ("POST /api/auth/telegram", ada(0)),
    ] {
        let refused = send(address, request, &foreign, &body).await;
        assert_eq!(refused.status, 403, "{request}");
        assert_eq!(refused.json()["code"], "cross_site", "{request}");
        assert_eq!(refused.header("set-cookie"), None, "{request}");
    }
    app.stop().await;
}

#[tokio::test]
async fn whoever_telegram_speaks_of_is_one_tenant_for_good() {
    let (app, address, _) = start(|_| ()).await;
    let fields = ada(0);
    let first = telegram(address, &fields).await;
    let told = first.json();
    assert_eq!(told["tenant"]["name"], "telegram:42");
    assert_eq!(
        (&told["quota_bytes"], &told["scope"]),
        (&json!(1_000), &json!("write"))
    );
    let cookie = cookie(&first);
    assert_eq!(
        who(address, &[&cookie]).await.as_deref(),
        Some("telegram:42")
    );
    // The same once more, a minute later, and ten at once: nothing is doubled.
    assert_eq!(
        telegram(address, &fields).await.json()["tenant"],
        told["tenant"]
    );
    let bob = signed(
        BOT,
        &[
            ("id", "43".to_owned()),
            ("auth_date", Utc::now().timestamp().to_string()),
        ],
    );
    let many = futures_util::future::join_all((0..10).map(|_| telegram(address, &bob))).await;
    for answer in &many {
        assert_eq!(
            answer.json()["tenant"],
            many[0].json()["tenant"],
            "{}",
            answer.body
        );
    }
    let rows = app
        .database
        .rows("SELECT subject, name, profile->>'first_name' FROM tenant_identity JOIN tenant ON tenant.id = tenant_id ORDER BY 1")
        .await;
    assert_eq!(rows, ["42|telegram:42|Ada", "43|telegram:43|"]);

    // As a link: to the page, signed in.
    let query: Vec<String> = fields
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_str().unwrap()))
        .collect();
    let back = exchange(
        address,
        &format!("GET /api/auth/telegram?{}", query.join("&")),
        &[],
    )
    .await;
    assert_eq!(
        (back.status, back.header("location")),
        (303, Some("/documents"))
    );
    assert!(
        back.header("set-cookie")
            .unwrap()
            .starts_with("gleaner_session=i.telegram.42.")
    );

    app.database
        .run("UPDATE tenant SET disabled_at = now() WHERE name = 'telegram:42'")
        .await;
    assert_eq!(who(address, &[&cookie]).await, None);
    let refused = telegram(address, &fields).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (403, &json!("disabled"))
    );
    app.database
        .run("UPDATE tenant SET disabled_at = NULL; DELETE FROM tenant_identity WHERE subject = '42'")
        .await;
    assert_eq!(who(address, &[&cookie]).await, None);
    app.stop().await;
}

#[tokio::test]
async fn what_telegram_has_not_said_just_now_signs_nobody_in() {
    let (app, address, _) = start(|_| ()).await;
    let mut changed = ada(0);
    changed["id"] = "43".into();
    let mut repeated: Vec<String> = Vec::new();
    for (name, value) in ada(0).as_object().unwrap() {
        repeated.push(format!("{name}={}", value.as_str().unwrap()));
    }
    repeated.push("id=43".to_owned());
    let old = Utc::now().timestamp() - 1_000;
    for (what, fields, expected) in [
        (
            "a signature of 2001",
            signed(
                BOT,
                &[
                    ("id", "42".to_owned()),
                    ("auth_date", "1000000000".to_owned()),
                ],
            ),
            (401, "login_expired"),
        ),
        ("of yesterday", ada(25 * 3_600), (401, "login_expired")),
        ("of tomorrow", ada(-3_600), (401, "login_expired")),
        ("somebody else's name", changed, (401, "unauthorized")),
        (
            "another bot's",
            signed(
                "123456:other",
                &[("id", "42".to_owned()), ("auth_date", old.to_string())],
            ),
            (401, "unauthorized"),
        ),
        ("nothing", json!({}), (400, "invalid")),
        ("no object", json!([1]), (400, "invalid")),
        ("a list in it", json!({ "id": [1] }), (400, "invalid")),
    ] {
        let refused = telegram(address, &fields).await;
        assert_eq!(
            (refused.status, refused.json()["code"].as_str().unwrap()),
            expected,
            "{what}"
        );
        assert_eq!(refused.header("set-cookie"), None, "{what}");
    }
    let twice = format!("GET /api/auth/telegram?{}", repeated.join("&"));
    assert_eq!(exchange(address, &twice, &[]).await.status, 400);
    assert_eq!(
        app.database
            .count("SELECT count(*) FROM tenant_identity")
            .await,
        0
    );
    let other = send(address, "POST /api/auth/other", &[], &ada(0)).await;
    assert_eq!(
        (other.status, &other.json()["code"]),
        (404, &json!("not_found"))
    );
    app.stop().await;
}

#[tokio::test]
async fn without_sign_up_only_those_come_in_who_are_known() {
    let (app, address, _) = start(|config| {
        config.section_mut::<Documents>().telegram_sign_up = false;
    })
    .await;
    let refused = telegram(address, &ada(0)).await;
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (403, &json!("no_account"))
    );
    app.database
        .run("INSERT INTO tenant (name, quota_bytes) VALUES ('telegram:42', 7)")
        .await;
    assert_eq!(telegram(address, &ada(0)).await.json()["quota_bytes"], 7);
    let (_, database) = app.stop().await;

    let app = TestApp::start_on(database, |config| config.workflows.keep_only(&[])).await;
    let address = app.app().http_address().unwrap();
    assert_eq!(telegram(address, &ada(0)).await.status, 404);
    let told = exchange(address, "GET /api/session", &[]).await.json();
    assert_eq!(told["login"], json!({}));
    app.stop().await;
}
