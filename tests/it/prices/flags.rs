//! Flags: over HTTP, and those of what looks the same.

use std::net::SocketAddr;

use gleaner::secret::Secret;
use serde_json::{Value, json};

use crate::cli::gleaner;
use crate::support::exchange::{Answer, exchange, exchange_body};
use crate::support::{TestApp, TestDatabase};

/// Two sites, and flags about them: 1 and 2 open, 3 resolved, 4 left as it is, 5 open about no site.
const FLAGS: &str = "
    INSERT INTO site (domain) VALUES ('one.example'), ('two.example');
    INSERT INTO product_url (site_id, raw_url, url, url_hash) VALUES (1, 'https://one.example/k', 'https://one.example/k', 'k');
    INSERT INTO flag (kind, site_id, product_url_id, message, status, resolved_by, resolved_at) VALUES
        ('price_jump', 1, 1, 'it jumped', 'pending', NULL, NULL),
        ('store_rate_limited', 2, NULL, 'lower its rate', 'in_progress', NULL, NULL),
        ('price_jump', 1, 1, 'it jumped before', 'resolved', 'gleaner', now()),
        ('fetch_failing_repeatedly', 2, NULL, 'it fails', 'wont_fix', 'operator', now()),
        ('pattern_generation_failed', NULL, NULL, 'odd', 'pending', NULL, NULL);";

async fn start(sql: &str) -> (TestApp, SocketAddr) {
    let database = TestDatabase::new().await;
    database.run(sql).await;
    let app = TestApp::start_on(database, |config| config.workflows.keep_only(&[])).await;
    let address = app.app().http_address().expect("it serves");
    (app, address)
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    exchange(address, &format!("GET {path}"), &[]).await
}

/// A POST by a program.
async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    let length = format!("Content-Length: {}", body.len());
    let lines = ["Content-Type: application/json", &length];
    exchange_body(address, &format!("POST {path}"), &lines, body.as_bytes()).await
}

fn ids(answer: &Answer) -> Vec<i64> {
    let results = answer.json()["data"]["results"].clone();
    let rows = results.as_array().expect("a list");
    rows.iter().filter_map(|row| row["id"].as_i64()).collect()
}

#[tokio::test]
async fn flags_are_listed_by_what_is_asked() {
    let (_app, address) = start(FLAGS).await;
    for (query, expected) in [
        ("", &[5, 2, 1][..]),
        ("?status=open", &[5, 2, 1]),
        ("?status=all", &[5, 4, 3, 2, 1]),
        ("?status=resolved", &[3]),
        ("?status=all&kind=price_jump", &[3, 1]),
        ("?domain=Two.Example", &[2]),
        ("?domain=two.example&status=wont_fix", &[4]),
        ("?domain=none.example", &[]),
        ("?before=5", &[2, 1]),
        ("?limit=0", &[5]),
        ("?something=else", &[5, 2, 1]),
    ] {
        for slash in ["", "/"] {
            let answer = get(address, &format!("/api/flags{slash}{query}")).await;
            assert_eq!(answer.status, 200, "{query}: {}", answer.body);
            assert_eq!(ids(&answer), expected, "{query}");
        }
    }
    let flag = &get(address, "/api/flags/?kind=price_jump").await.json()["data"]["results"][0];
    assert!(flag["opened_at"].is_string());
    for (field, expected) in [
        ("kind", json!("price_jump")),
        ("status", json!("pending")),
        ("domain", json!("one.example")),
        ("url", json!("https://one.example/k")),
        ("message", json!("it jumped")),
        ("resolved_at", Value::Null),
    ] {
        assert_eq!(flag[field], expected, "{field}");
    }
    // Page by page.
    let first = get(address, "/api/flags/?status=all&limit=2").await;
    assert_eq!(ids(&first), [5, 4]);
    let next = first.json()["data"]["next"].as_i64().expect("more");
    let second = get(
        address,
        &format!("/api/flags/?status=all&limit=3&before={next}"),
    )
    .await;
    assert_eq!(ids(&second), [3, 2, 1]);
    let last = get(address, "/api/flags/?status=all&limit=4&before=3").await;
    assert_eq!(
        (ids(&last), &last.json()["data"]["next"]),
        (vec![2, 1], &Value::Null)
    );
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_named() {
    let (_app, address) = start(FLAGS).await;
    for (path, text) in [
        (
            "/api/flags/?status=shut",
            "status must be one of open, all, pending",
        ),
        (
            "/api/flags/?kind=%00",
            "kind must be one of pattern_generation_failed",
        ),
        ("/api/flags/?limit=many", "limit"),
        ("/api/flags/?before=1.5", "before"),
        ("/api/product-urls/?limit=x", "limit"),
        (
            "/api/notifications/?channel=pigeon",
            "channel must be one of list, webhook, email",
        ),
    ] {
        let answer = get(address, path).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (400, "bad_query"),
            "{path}"
        );
        assert!(answer.body.contains(text), "{path}: {}", answer.body);
    }
    for (path, body, status, code) in [
        ("/api/flags/99/close/", "", 404, "no_flag"),
        ("/api/flags/x/reopen/", "", 404, "no_flag"),
        ("/api/flags/3/close/", "", 409, "not_open"),
        ("/api/flags/1/reopen/", "", 409, "not_closed"),
        // Another one of its kind and subject is open.
        ("/api/flags/3/reopen/", "", 409, "not_closed"),
        ("/api/flags/1/close/", "{", 400, "bad_body"),
        (
            "/api/flags/1/close/",
            r#"{"as": "pending"}"#,
            400,
            "bad_body",
        ),
        ("/api/flags/1/close/", r#"{"by": ""}"#, 400, "bad_body"),
        ("/api/flags/1/close/", r#"{"who": "ann"}"#, 400, "bad_body"),
    ] {
        let answer = post(address, path, body).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{path} {body}"
        );
    }
    // A form of another site.
    let foreign = exchange(address, "POST /api/flags/1/close/", &[]).await;
    assert_eq!(
        (foreign.status, foreign.error_code().as_str()),
        (403, "cross_site")
    );
    assert_eq!(ids(&get(address, "/api/flags/").await), [5, 2, 1]);
}

#[tokio::test]
async fn flags_are_closed_and_opened_again() {
    let (app, address) = start(FLAGS).await;
    let closed = post(address, "/api/flags/1/close/", "").await;
    assert_eq!(closed.status, 200, "{}", closed.body);
    let flag = &closed.json()["data"];
    assert_eq!(
        (&flag["status"], &flag["resolved_by"]),
        (&json!("resolved"), &json!("operator"))
    );
    assert!(flag["resolved_at"].is_string());
    let body = r#"{"as": "wont_fix", "by": "ann"}"#;
    let left = post(address, "/api/flags/2/close", body).await.json();
    assert_eq!(left["data"]["status"], "wont_fix");
    let opened = post(address, "/api/flags/3/reopen/", "").await;
    assert_eq!(opened.status, 200, "{}", opened.body);
    assert_eq!(opened.json()["data"]["resolved_by"], Value::Null);
    assert_eq!(
        app.database
            .rows("SELECT id, status, resolved_by, resolved_at IS NOT NULL FROM flag ORDER BY id")
            .await,
        [
            "1|resolved|operator|t",
            "2|wont_fix|ann|t",
            "3|pending||f",
            "4|wont_fix|operator|t",
            "5|pending||f"
        ]
    );
}

#[tokio::test]
async fn the_lists_need_the_admin_token_where_there_is_one() {
    let app = TestApp::start_on(TestDatabase::new().await, |config| {
        config.workflows.keep_only(&[]);
        config.http.admin_token = Secret::new("s3cret");
    })
    .await;
    let address = app.app().http_address().expect("it serves");
    for path in ["/api/flags/", "/api/notifications/"] {
        let stranger = get(address, path).await;
        assert_eq!(
            (stranger.status, stranger.error_code().as_str()),
            (401, "unauthorized"),
            "{path}"
        );
        let known = exchange(
            address,
            &format!("GET {path}"),
            &["Authorization: Bearer s3cret"],
        )
        .await;
        assert_eq!(
            known.json(),
            json!({"success": true, "data": {"count": 0, "next": null, "results": []}}),
            "{path}"
        );
    }
    for path in ["/api/flags/1/close/", "/api/notifications/1/send-again/"] {
        assert_eq!(post(address, path, "").await.status, 401, "{path}");
    }
}

/// Sites 1 and 2; products 1 to 6, of which page n shows product n. By GTIN, 1 and 2 are the same, in two of its lengths; by
/// article number 3 and 4; 5 and 6 have one too, but GTINs that differ. Pages 7 and 8 have the same address, and no product.
const ALIKE: &str = "
    INSERT INTO site (domain) VALUES ('one.example'), ('two.example');
    INSERT INTO product (name, brand, sku, gtin) VALUES
        ('Kettle', 'Acme', 'K1', '0012345678905'), ('A kettle', NULL, NULL, '012345678905'),
        ('Pot', 'Acme', 'P 1', NULL), ('The pot', 'ACME ', 'p 1', '4006381333931'),
        ('Lid, red', 'Acme', 'L', '5901234123457'), ('Lid, blue', 'Acme', 'L', '9780201379624');
    INSERT INTO product_url (site_id, raw_url, url, url_hash, product_id, canonical_url)
        SELECT CASE n WHEN 2 THEN 2 ELSE 1 END, 'https://one.example/' || n, 'https://one.example/' || n, n, CASE WHEN n <= 6 THEN n END,
            'https://one.example/' || CASE WHEN n >= 7 THEN 'lamp' ELSE n::text END
        FROM generate_series(1, 8) AS n;";

/// The same from the command line.
#[tokio::test(flavor = "multi_thread")]
async fn flags_are_closed_and_opened_by_command() {
    let database = TestDatabase::new().await;
    database.run(FLAGS).await;
    for (arguments, code, says) in [
        (&["flags", "resolve", "1", "3"] as &[_], 0, "closed 1"),
        (&["flags", "resolve", "1"], 2, "none of these flags is open"),
        (
            &["flags", "resolve", "2", "--as", "wont-fix"],
            0,
            "closed 1",
        ),
        (
            &["--json", "flags", "reopen", "2", "5"],
            0,
            r#"{"reopened":1}"#,
        ),
        // Of two about the same trouble, one is open.
        (&["flags", "reopen", "1", "3"], 0, "reopened 1"),
        (&["flags", "reopen", "3"], 2, "has an open one already"),
        (
            &["flags", "reopen", "99"],
            2,
            "none of these flags is closed",
        ),
    ] {
        let ran = gleaner(Some(&database), arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        let told = if code == 0 { &ran.stdout } else { &ran.stderr };
        assert!(told.contains(says), "{arguments:?}: {ran:?}");
    }
    assert_eq!(
        database
            .rows("SELECT id, status, coalesce(resolved_by, '') FROM flag ORDER BY id")
            .await,
        [
            "1|pending|",
            "2|pending|",
            "3|resolved|gleaner",
            "4|wont_fix|operator",
            "5|pending|",
        ]
    );
}

const DUPLICATES: &str = "SELECT product_url_id, status, message, coalesce(resolved_by, '') FROM flag WHERE kind = 'duplicate_products' ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_the_same_is_flagged_until_it_is_mended() {
    let database = TestDatabase::new().await;
    database.run(ALIKE).await;
    let check = || {
        let ran = gleaner(Some(&database), &["flags", "--check"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    };
    let shown = check();
    assert!(
        shown.contains("duplicate_products")
            && shown.contains("products 1, 2 have the same GTIN 12345678905"),
        "{shown}"
    );
    let expected = [
        "1|pending|products 1, 2 have the same GTIN 12345678905|",
        "3|pending|products 3, 4 have the same article number p 1 of acme|",
        "7|pending|pages 7, 8 have the same address https://one.example/lamp|",
    ];
    assert_eq!(database.rows(DUPLICATES).await, expected);
    // Looked at again, nothing is told twice; a third one of the same is.
    check();
    assert_eq!(database.rows(DUPLICATES).await, expected);
    database
        .run(
            "INSERT INTO product_url (site_id, raw_url, url, url_hash, canonical_url)
             VALUES (1, 'https://one.example/9', 'https://one.example/9', '9', 'https://one.example/lamp')",
        )
        .await;
    check();
    let third = database.rows(DUPLICATES).await;
    assert_eq!(third.len(), 3);
    assert_eq!(
        third[2],
        "7|pending|pages 7, 8, 9 have the same address https://one.example/lamp|"
    );
    // A person wants the pots left as they are; the kettles become one product, and one lamp is enough.
    database
        .run(
            "UPDATE flag SET status = 'wont_fix', resolved_by = 'ann' WHERE product_url_id = 3;
             UPDATE product_url SET product_id = 1 WHERE id = 2;
             UPDATE product_url SET is_active = false WHERE id IN (8, 9)",
        )
        .await;
    assert_eq!(check(), "no flags\n");
    assert_eq!(
        database.rows(DUPLICATES).await,
        [
            "1|resolved|products 1, 2 have the same GTIN 12345678905|gleaner",
            "3|wont_fix|products 3, 4 have the same article number p 1 of acme|ann",
            "7|resolved|pages 7, 8, 9 have the same address https://one.example/lamp|gleaner",
        ]
    );
    // Left as they are only as long as it is the same.
    database
        .run("INSERT INTO product (brand, sku) VALUES ('Acme', 'P 1'); UPDATE product_url SET product_id = 7 WHERE id = 7")
        .await;
    let shown = check();
    assert!(
        shown.contains("products 3, 4, 7 have the same article number"),
        "{shown}"
    );
}
