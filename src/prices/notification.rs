//! Notifications, as people see them: what was told to whom, and whether it got there.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Object;

use crate::http::openapi::one_of;

/// A notification.
#[derive(Clone, Debug, PartialEq, QueryableByName, Serialize, ToSchema)]
pub struct Notification {
    /// Its key, which webhooks carry as `Gleaner-Delivery`.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// `price_drop`, `target_reached` or `restock`.
    #[diesel(sql_type = Text)]
    #[schema(schema_with = kinds)]
    pub kind: String,
    /// `list`, `webhook` or `email`.
    #[diesel(sql_type = Text)]
    #[schema(schema_with = channels)]
    pub channel: String,
    /// How far its delivery is, by the stage's name in lower case; `none` for one that is only kept to be read.
    #[diesel(sql_type = Text)]
    #[schema(schema_with = statuses)]
    pub status: String,
    /// Attempts to deliver it since it was last asked for.
    #[diesel(sql_type = SmallInt)]
    pub attempts: i16,
    /// Why it was not delivered, so far or for good.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required)]
    pub error: Option<String>,
    /// Who asked to be told.
    #[diesel(sql_type = Text)]
    pub subscriber: String,
    /// The page it is about.
    #[diesel(sql_type = Text)]
    pub url: String,
    /// The message.
    #[diesel(sql_type = Text)]
    pub message: String,
    /// The price before, a decimal.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required)]
    pub old_price: Option<String>,
    /// The price then, a decimal.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required)]
    pub new_price: Option<String>,
    /// Their currency.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required)]
    pub currency: Option<String>,
    /// RFC 3339, UTC.
    #[diesel(sql_type = Text)]
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When its receiver accepted it.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required, format = DateTime)]
    pub delivered_at: Option<String>,
    /// When its subscriber read it, if their system says so.
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required, format = DateTime)]
    pub read_at: Option<String>,
}

/// What notifications tell of.
pub const KINDS: [&str; 3] = ["price_drop", "target_reached", "restock"];

/// The ways they take.
pub const CHANNELS: [&str; 3] = ["list", "webhook", "email"];

/// How far a delivery may be.
pub const STATUSES: [&str; 7] = [
    "none",
    "queued",
    "processing",
    "completed",
    "error",
    "filtered",
    "cancelled",
];

/// A kind, as it is described.
pub(crate) fn kinds() -> Object {
    one_of(&KINDS)
}

/// A way, as it is described.
pub(crate) fn channels() -> Object {
    one_of(&CHANNELS)
}

/// How far a delivery is, as it is described.
pub(crate) fn statuses() -> Object {
    one_of(&STATUSES)
}

/// Which notifications are meant: those for which all that is given holds.
#[derive(Clone, Debug, Default)]
pub struct Filter<'a> {
    /// Whose delivery is so far.
    pub status: Option<&'a str>,
    pub kind: Option<&'a str>,
    /// That go this way.
    pub channel: Option<&'a str>,
    pub subscriber: Option<&'a str>,
    /// One of these; empty for any.
    pub ids: &'a [i64],
    /// Older than this one.
    pub before: Option<i64>,
}

/// Notifications, the newest first, at most `limit`.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(
    conn: &mut AsyncPgConnection,
    filter: &Filter<'_>,
    limit: i64,
) -> QueryResult<Vec<Notification>> {
    sql_query(include_str!("notification/list.sql"))
        .bind::<Nullable<Text>, _>(filter.status)
        .bind::<Nullable<Text>, _>(filter.kind)
        .bind::<Nullable<Text>, _>(filter.channel)
        .bind::<Nullable<Text>, _>(filter.subscriber)
        .bind::<Array<BigInt>, _>(filter.ids)
        .bind::<Nullable<BigInt>, _>(filter.before)
        .bind::<BigInt, _>(limit)
        .load(conn)
        .await
}
