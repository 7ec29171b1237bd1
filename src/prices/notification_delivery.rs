//! `notification/delivery`: what subscribers are told → their webhook or mailbox.
//!
//! The notification is written with the price that caused it, by whoever records prices; here it only leaves the house. It is
//! delivered at least once: a process that dies between the receiver's answer and its own note of it sends again, under the
//! same number, by which the receiver knows it. What is not configured sends nothing, and says so on the row.

mod mail;
mod webhook;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};

use crate::db::statement::statement;
use crate::live::Live;
use crate::secret::Secret;
use crate::settings::{self, Problem};
use crate::telemetry::chain;
use crate::web::fetch::Client;
use crate::workflow::{Configured, Done, ItemId, Services, Workflow, WorkflowError};

/// Options of the workflow `notification-delivery`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Key that webhooks are signed with; empty: none is sent.
    pub webhook_secret: Secret,
    /// The mail server, as `smtps://user:password@host`; empty: no mail is sent.
    pub smtp_url: Secret,
    /// The sender of mail, as `Name <address>`.
    pub mail_from: String,
    /// How long a webhook's or the mail server's answer is waited for.
    #[serde(with = "humantime_serde")]
    pub answer_timeout: Duration,
}

impl settings::Options for Options {
    fn check(&self) -> Result<(), Problem> {
        mail::check(self).map_err(|error| (error.key().to_owned(), chain(&error)))
    }
}

/// The workflow.
pub struct NotificationDelivery {
    client: Client,
    options: Live<Options>,
}

impl Configured for NotificationDelivery {
    type Options = Options;

    const SAMPLE: &'static str =
        "INSERT INTO site (domain) VALUES ('kettle-example.com');
        INSERT INTO product_url (site_id, raw_url, url, url_hash, title)
            SELECT id, 'https://kettle-example.com/kettle', 'https://kettle-example.com/kettle', 'kettle', 'Kettle' FROM site;
        INSERT INTO subscription (subscriber, product_url_id) SELECT 'ann', id FROM product_url;
        INSERT INTO notification (subscription_id, product_url_id, channel, kind, message, old_price, new_price, currency)
            SELECT id, product_url_id, 'list', 'price_drop', 'it fell', 29.90, 24.90, 'EUR' FROM subscription";

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self {
            client: services.fetch.clone(),
            options,
        }
    }
}

/// A notification with all that is told of it.
#[derive(Clone, Debug, QueryableByName)]
pub struct Notice {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    channel: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    message: String,
    #[diesel(sql_type = Nullable<Text>)]
    old_price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    new_price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    /// RFC 3339, UTC.
    #[diesel(sql_type = Text)]
    created_at: String,
    #[diesel(sql_type = Text)]
    subscriber: String,
    #[diesel(sql_type = Bool)]
    is_active: bool,
    #[diesel(sql_type = Nullable<Text>)]
    webhook_url: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    email: Option<String>,
    #[diesel(sql_type = BigInt)]
    product_url_id: i64,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Nullable<Text>)]
    title: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    product: Option<String>,
}

#[cfg(test)]
impl Notice {
    /// A price drop that somebody is told of.
    fn for_tests() -> Self {
        Self {
            id: 7,
            channel: "email".to_owned(),
            kind: "price_drop".to_owned(),
            message: "899.00 NOK, was 1299.00 NOK".to_owned(),
            old_price: Some("1299.00".to_owned()),
            new_price: Some("899.00".to_owned()),
            currency: Some("NOK".to_owned()),
            created_at: "2026-01-02T03:04:05Z".to_owned(),
            subscriber: "kari".to_owned(),
            is_active: true,
            webhook_url: None,
            email: None,
            product_url_id: 3,
            url: "https://shop.example/kettle".to_owned(),
            title: Some("Kettle".to_owned()),
            product: None,
        }
    }
}

impl Workflow for NotificationDelivery {
    const NAME: &'static str = "notification-delivery";
    const TABLE: &'static str = "notification";
    const STAGE: &'static str = "delivery";
    const TOUCHES: bool = false;
    type Input = Notice;
    type Output = ();

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Notice)>> {
        let notices: Vec<Notice> = sql_query(include_str!("notification_delivery.sql"))
            .bind::<Array<BigInt>, _>(ids)
            .load(conn)
            .await?;
        Ok(notices
            .into_iter()
            .map(|notice| (notice.id, notice))
            .collect())
    }

    async fn run(&self, notice: Notice) -> Result<Done<()>, WorkflowError> {
        let options = self.options.get();
        let quiet = |reason: &str| Ok(Done::Filtered(reason.to_owned(), None));
        if !notice.is_active {
            return quiet("the subscription is no longer active");
        }
        match (notice.channel.as_str(), &notice.webhook_url, &notice.email) {
            ("webhook", Some(url), _) if !options.webhook_secret.is_empty() => {
                let sent_at = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs());
                webhook::post(&self.client, &options, url, &notice, sent_at).await?;
            }
            ("email", _, Some(address)) if !options.smtp_url.is_empty() => {
                mail::send(&options, address, &notice).await?;
            }
            ("webhook", None, _) => return quiet("the subscription has no webhook"),
            ("email", _, None) => return quiet("the subscription has no e-mail address"),
            ("webhook", ..) => {
                return quiet(&format!("{} is not set", Self::option("webhook_secret")));
            }
            ("email", ..) => {
                return quiet(&format!("{} is not set", Self::option("smtp_url")));
            }
            _ => return quiet("kept to be read in the list"),
        }
        Ok(Done::Completed(()))
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &())],
    ) -> QueryResult<()> {
        let delivered: Vec<i64> = outputs.iter().map(|(id, ())| *id).collect();
        statement(
            "UPDATE notification SET delivered_at = now() WHERE id = ANY($1) AND delivered_at IS NULL",
        )
        .bind::<Array<BigInt>, _>(delivered)
        .execute(conn)
        .await?;
        Ok(())
    }
}
