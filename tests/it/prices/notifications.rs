//! Notifications over HTTP: what was told, whether it got there, and once more.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::exchange::{Answer, exchange};
use crate::support::{TestApp, TestDatabase};

/// Two subscribers, and a notification in every state: 1 only to be read, 2 delivered, 3 given up, 4 not configured, 5 waiting.
const TOLD: &str = "
    INSERT INTO site (domain) VALUES ('one.example');
    INSERT INTO product_url (site_id, raw_url, url, url_hash) VALUES (1, 'https://one.example/k', 'https://one.example/k', 'k');
    INSERT INTO subscription (subscriber, product_url_id) VALUES ('ann', 1), ('bert', 1);
    INSERT INTO notification (subscription_id, product_url_id, channel, kind, message, old_price, new_price, currency,
            delivery_status, delivery_attempts, delivery_error, delivered_at) VALUES
        (1, 1, 'list', 'price_drop', 'it fell', 12.50, 9.90, 'EUR', NULL, 0, NULL, NULL),
        (1, 1, 'webhook', 'price_drop', 'it fell', 12.50, 9.90, 'EUR', 'Completed', 1, NULL, now()),
        (2, 1, 'webhook', 'restock', 'it is back', NULL, 9.90, 'EUR', 'Error', 12, 'http: the webhook answered 500', NULL),
        (2, 1, 'email', 'restock', 'it is back', NULL, 9.90, 'EUR', 'Filtered', 1, 'smtp_url is not set', NULL),
        (2, 1, 'webhook', 'target_reached', 'your target', NULL, 9.90, 'EUR', 'Queued', 0, NULL, NULL);";

async fn start() -> (TestApp, SocketAddr) {
    let database = TestDatabase::new().await;
    database.run(TOLD).await;
    let app = TestApp::start_on(database, |config| config.workflows.keep_only(&[])).await;
    let address = app.app().http_address().expect("it serves");
    (app, address)
}

async fn get(address: SocketAddr, query: &str) -> Answer {
    exchange(address, &format!("GET /api/notifications/{query}"), &[]).await
}

#[tokio::test]
async fn notifications_are_listed_by_what_is_asked() {
    let (_app, address) = start().await;
    for (query, expected) in [
        ("", &[5, 4, 3, 2, 1][..]),
        ("?status=error", &[3]),
        ("?status=none", &[1]),
        ("?kind=restock&channel=email", &[4]),
        ("?subscriber=ann", &[2, 1]),
        ("?subscriber=an%00n", &[]),
        ("?limit=2&before=4", &[3, 2]),
    ] {
        let answer = get(address, query).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let data = &answer.json()["data"];
        let rows = data["results"].as_array().expect("a list");
        let ids: Vec<i64> = rows.iter().filter_map(|row| row["id"].as_i64()).collect();
        assert_eq!(ids, expected, "{query}");
        let next = if query.contains("limit") {
            json!(2)
        } else {
            Value::Null
        };
        assert_eq!(data["next"], next, "{query}");
    }
    let mut told = get(address, "?status=error").await.json()["data"]["results"][0].clone();
    assert!(told["created_at"].take().is_string());
    assert_eq!(
        told,
        json!({
            "id": 3, "kind": "restock", "channel": "webhook", "status": "error", "attempts": 12, "error": "http: the webhook answered 500",
            "subscriber": "bert", "url": "https://one.example/k", "message": "it is back", "old_price": null, "new_price": "9.90",
            "currency": "EUR", "created_at": null, "delivered_at": null, "read_at": null,
        })
    );
}

#[tokio::test]
async fn what_was_not_delivered_is_sent_again_and_nothing_else() {
    let (app, address) = start().await;
    let again = async |number: &str| {
        let request = format!("POST /api/notifications/{number}/send-again/");
        exchange(address, &request, &["X-Requested-By: test"]).await
    };
    for number in ["3", "4"] {
        let answer = again(number).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let told = &answer.json()["data"];
        assert_eq!(
            (&told["status"], &told["attempts"]),
            (&json!("queued"), &json!(0))
        );
        assert_eq!(told["error"], Value::Null);
    }
    for (number, status, code) in [
        ("1", 409, "not_failed"),
        ("2", 409, "not_failed"),
        ("3", 409, "not_failed"),
        ("5", 409, "not_failed"),
        ("6", 404, "no_notification"),
        ("-1", 404, "no_notification"),
        ("all", 404, "no_notification"),
    ] {
        let answer = again(number).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{number}"
        );
    }
    assert_eq!(
        app.database
            .rows(
                "SELECT id, delivery_status, delivery_due_at <= now() FROM notification ORDER BY id"
            )
            .await,
        [
            "1||",
            "2|Completed|",
            "3|Queued|t",
            "4|Queued|t",
            "5|Queued|t"
        ]
    );
}
