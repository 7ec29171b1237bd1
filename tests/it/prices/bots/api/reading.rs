//! What has been recorded, read over HTTP.

use serde_json::json;

use super::{Api, good};
use crate::support::exchange::exchange;

#[tokio::test]
async fn prices_and_pages_are_read_with_the_admin_token_only() {
    let api = Api::start_with(2, |config| {
        config.http.admin_token = gleaner::secret::Secret::new("s3cret");
    })
    .await;
    let job = api.pull_one("ann").await;
    assert_eq!(api.post_as("ann", "submit/", good(&job)).await.status, 201);
    api.app
        .database
        .run(
            "INSERT INTO price_history (product_url_id, price, currency, source, scraped_at) VALUES
                 (1, 19.9, 'EUR', 'AUTO', now() - interval '1 hour'), (1, 1299.0050, 'EUR', 'MANUAL', now()), (2, 5, 'EUR', 'AUTO', now())",
        )
        .await;
    let token = "Authorization: Bearer s3cret";
    let get = async |path: &str, lines: &[&str]| {
        exchange(api.address, &format!("GET {path}"), lines).await
    };
    for path in ["/api/price-history/?url_hash=h1", "/api/product-urls/"] {
        assert_eq!(get(path, &[]).await.status, 401, "{path}");
    }
    let history = get("/api/price-history/?url_hash=h1", &[token])
        .await
        .json()["data"]
        .clone();
    assert_eq!(history["count"], 2);
    assert_eq!(history["results"][0]["price"], "1299.0050");
    assert_eq!(history["results"][1]["source"], "AUTO");
    let one = get("/api/price-history?url_hash=h1&limit=1", &[token])
        .await
        .json();
    assert_eq!(one["data"]["count"], 1);
    let none = get("/api/price-history/?url_hash=nix", &[token])
        .await
        .json();
    assert_eq!(none["data"]["results"], json!([]));
    assert_eq!(get("/api/price-history/", &[token]).await.status, 400);
    let urls = get("/api/product-urls/", &[token]).await.json()["data"]["results"].clone();
    assert_eq!(
        (&urls[0]["job_status"], &urls[1]["job_status"]),
        (&json!("pending"), &json!("done"))
    );
    let own = get("/api/product-urls/?domain=Shop-2.example", &[token])
        .await
        .json();
    assert_eq!(
        (
            &own["data"]["count"],
            &own["data"]["results"][0]["url_hash"]
        ),
        (&json!(1), &json!("h2"))
    );
}
