//! `notification/delivery`: webhooks and mail, to servers on loopback.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::time::Duration;

use gleaner::config::Config;
use gleaner::prices::notification_delivery::NotificationDelivery;
use gleaner::secret::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::support::TestApp;
use crate::support::app::start;
use crate::support::site::{Answer, Site};
use crate::support::smtp::MailServer;

const SECRET: &str = "s3cret";

/// A page with a price, and subscribers with these webhooks and addresses; one notification each.
const SETTING: &str = "
    INSERT INTO site (domain) VALUES ('shop-example.com');
    INSERT INTO product (name) VALUES ('Kettle');
    INSERT INTO product_url (product_id, site_id, raw_url, url, url_hash, title)
        VALUES (1, 1, 'https://shop-example.com/kettle', 'https://shop-example.com/kettle', 'h', 'Kettle 1.7 l');";

/// A subscriber and what is to be told.
fn notice(channel: &str, webhook: &str, email: &str) -> String {
    format!(
        "WITH who AS (INSERT INTO subscription (subscriber, product_url_id, webhook_url, email)
             SELECT 'kari-' || count(*), 1, nullif('{webhook}', ''), nullif('{email}', '') FROM subscription RETURNING id)
         INSERT INTO notification (subscription_id, product_url_id, channel, kind, message, old_price, new_price, currency, delivery_status)
             SELECT id, 1, '{channel}', 'price_drop', '899.00 NOK, was 1299.00 NOK', 1299.00, 899.00, 'NOK', 'Queued' FROM who;"
    )
}

async fn deliver(site: &Site, notices: &[String], change: impl FnOnce(&mut Config)) -> TestApp {
    let sql = format!("{SETTING}{}", notices.concat());
    let app = start(site, &["notification-delivery"], &sql, |config| {
        config
            .workflows
            .of_mut::<NotificationDelivery>()
            .max_attempts = 3.try_into().unwrap();
        let options = config.workflows.options_mut::<NotificationDelivery>();
        options.webhook_secret = Secret::new(SECRET);
        options.answer_timeout = Duration::from_secs(2);
        change(config);
    })
    .await;
    app.wait_settled("notification", "delivery").await;
    app
}

async fn states(app: &TestApp) -> Vec<String> {
    app.database
        .rows(
            "SELECT delivery_status, delivery_attempts, delivered_at IS NOT NULL, coalesce(delivery_error, '')
             FROM notification ORDER BY id",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_a_signed_post() {
    let site = Site::start().await;
    site.put("hooks-example.com/prices", Answer::status(204));
    let notices = [notice("webhook", "http://hooks-example.com/prices", "")];
    let app = deliver(&site, &notices, |_| ()).await;
    assert_eq!(states(&app).await, ["Completed|1|t|"]);

    let hits = site.hits("hooks-example.com/prices");
    let [hit] = hits.as_slice() else {
        panic!("{hits:?}");
    };
    let told: serde_json::Value = serde_json::from_str(&hit.body).unwrap();
    assert_eq!(told["old_price"], "1299.00");
    assert_eq!(told["new_price"], "899.00");
    assert_eq!(told["product"], "Kettle");
    assert_eq!(
        told["product_url"]["url"],
        "https://shop-example.com/kettle"
    );
    assert_eq!(told["id"], 1);
    assert_eq!(hit.headers["gleaner-delivery"], "1");
    // As a receiver would check it.
    let signature = hit.headers["gleaner-signature"].to_str().unwrap();
    let (time, sent) = signature.split_once(",v1=").unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{}.{}", time.strip_prefix("t=").unwrap(), hit.body).as_bytes());
    let computed: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(sent, computed);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_tried_again_unless_nobody_listens_there() {
    let site = Site::start().await;
    site.script(
        "slow-example.com/",
        vec![Answer::status(503), Answer::status(200)],
    );
    site.put("broken-example.com/", Answer::status(500));
    site.put("gone-example.com/", Answer::status(410));
    site.put(
        "moved-example.com/",
        Answer::redirect("http://slow-example.com/"),
    );
    let notices = [
        notice("webhook", "http://slow-example.com/", ""),
        notice("webhook", "http://broken-example.com/", ""),
        notice("webhook", "http://gone-example.com/", ""),
        notice("webhook", "http://moved-example.com/", ""),
        notice("webhook", "no url", ""),
    ];
    let app = deliver(&site, &notices, |_| ()).await;
    assert_eq!(
        states(&app).await,
        [
            "Completed|2|t|",
            "Error|3|f|http: the webhook answered 500",
            "Error|1|f|http: the webhook answered 410",
            "Error|3|f|http: the webhook answered 302",
            "Error|1|f|bad_url: relative URL without a base",
        ]
    );
    // A redirected notification goes nowhere else.
    assert_eq!(site.hits("slow-example.com/").len(), 2);
    app.stop().await;
}

/// PT-31: addresses that strangers give do not lead into the house.
#[tokio::test(flavor = "multi_thread")]
async fn webhooks_do_not_reach_private_addresses() {
    let site = Site::start().await;
    let own = format!("http://{}/inside", site.address);
    let notices = [
        notice("webhook", &own, ""),
        notice("webhook", "http://169.254.169.254/latest/meta-data", ""),
        notice("webhook", "file:///etc/passwd", ""),
        notice("webhook", &own.replace("127.0.0.1", "localhost"), ""),
        notice(
            "webhook",
            &own.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
            "",
        ),
    ];
    let app = deliver(&site, &notices, |_| ()).await;
    for state in states(&app).await {
        assert!(state.starts_with("Error|1|f|b"), "{state}");
    }
    assert!(site.hits("").is_empty());
    app.stop().await;
    // Led there by somebody who may be asked: the POST goes no further.
    site.put(
        "outside-example.com/",
        Answer::status(307).with("location", &own),
    );
    let app = deliver(
        &site,
        &[notice("webhook", "http://outside-example.com/", "")],
        |_| (),
    )
    .await;
    assert_eq!(
        states(&app).await,
        ["Error|3|f|http: the webhook answered 307"]
    );
    assert!(
        site.hits("")
            .iter()
            .all(|hit| hit.place == "outside-example.com/")
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_sent_and_tried_again() {
    let site = Site::start().await;
    let server = MailServer::start().await;
    server.refuse("451 4.7.1 try again later");
    let notices = [
        notice("email", "", "kari@example.net"),
        notice("email", "", "not an address"),
    ];
    let url = format!("smtp://{}", server.address);
    let app = deliver(&site, &notices, |config| {
        let options = config.workflows.options_mut::<NotificationDelivery>();
        options.smtp_url = Secret::new(&url);
        "Prices <prices@example.org>".clone_into(&mut options.mail_from);
    })
    .await;
    let states = states(&app).await;
    assert_eq!(states[0], "Completed|2|t|");
    assert!(
        states[1].starts_with("Error|1|f|bad_address: "),
        "{}",
        states[1]
    );
    let mails = server.mails();
    let [mail] = mails.as_slice() else {
        panic!("{mails:?}");
    };
    assert!(mail.contains("Subject: Price drop: Kettle"), "{mail}");
    assert!(mail.contains("899.00 NOK, was 1299.00 NOK"), "{mail}");
    app.stop().await;
}

/// Quiet by default: what is not configured sends nothing, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_configured_is_not_sent() {
    let site = Site::start().await;
    let notices = [
        notice("webhook", "http://hooks-example.com/", ""),
        notice("email", "", "kari@example.net"),
        notice("list", "", ""),
        notice("webhook", "", ""),
    ];
    let app = deliver(&site, &notices, |config| {
        config
            .workflows
            .options_mut::<NotificationDelivery>()
            .webhook_secret = Secret::new("");
    })
    .await;
    assert_eq!(
        states(&app).await,
        [
            "Filtered|1|f|workflows.notification-delivery.options.webhook_secret is not set",
            "Filtered|1|f|workflows.notification-delivery.options.smtp_url is not set",
            "Filtered|1|f|kept to be read in the list",
            "Filtered|1|f|the subscription has no webhook",
        ]
    );
    assert!(site.hits("").is_empty());
    app.stop().await;
}
