//! Notifications: written with the price they tell of.

use super::{result, site, start};

/// PT-5, PT-6: told once per event, by the observation before it, on every channel that is configured.
#[tokio::test(flavor = "multi_thread")]
async fn pt5_pt6_subscribers_are_told_of_events_once() {
    let database = site(2).await;
    database
        .run(
            "INSERT INTO product (name) VALUES ('Brass kettle');
             UPDATE product_url SET product_id = 1;
             INSERT INTO subscription (subscriber, product_id, target_price, min_drop_percent, notify_restock, webhook_url)
             VALUES ('anna', 1, 80, 5, true, 'https://hooks.example/anna');
             INSERT INTO subscription (subscriber, product_url_id, notify_drop, email) VALUES ('bert', 1, true, 'bert@mail.example');
             INSERT INTO subscription (subscriber, product_url_id, active) VALUES ('carl', 1, false)",
        )
        .await;
    let app = start(database, None).await;
    let told = async || {
        app.database
            .rows(
                "SELECT subscriber, channel, kind, message, old_price, new_price, delivery_status FROM notification n
                 JOIN subscription s ON s.id = n.subscription_id ORDER BY subscriber, kind, channel",
            )
            .await
    };
    let see = async |second, seen| {
        result(&app.database, 1, second, seen).await;
        app.wait_settled("crawl_result", "auto_record").await;
    };
    see(10, "100 EUR OutOfStock").await;
    assert_eq!(told().await, Vec::<String>::new());
    see(20, "79 EUR InStock").await;
    let drop = "Brass kettle: price fell by 21.0 % from 100 to 79 EUR|100|79|";
    let target = "Brass kettle: price is 79 EUR, your target is 80|100|79|";
    let restock = "Brass kettle: back in stock at 79 EUR|100|79|";
    let expected = [
        format!("anna|list|price_drop|{drop}"),
        format!("anna|webhook|price_drop|{drop}Queued"),
        format!("anna|list|restock|{restock}"),
        format!("anna|webhook|restock|{restock}Queued"),
        format!("anna|list|target_reached|{target}"),
        format!("anna|webhook|target_reached|{target}Queued"),
        format!("bert|email|price_drop|{drop}Queued"),
        format!("bert|list|price_drop|{drop}"),
    ];
    assert_eq!(told().await, expected);
    // The same again, and a late result: nothing new.
    see(30, "79 EUR InStock").await;
    see(15, "79 EUR OutOfStock").await;
    app.database
        .run("UPDATE crawl_result SET auto_record_status = 'Queued'")
        .await;
    app.wait_settled("crawl_result", "auto_record").await;
    assert_eq!(told().await, expected);
    app.stop().await;
}
