//! `/api/notifications/`: what subscribers were told and whether it got there. Needs the admin token where there is one.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/notifications/?status=&kind=&channel=&subscriber=&limit=&before=` | notifications, newest first |
//! | `POST /api/notifications/{id}/send-again/` | queues one for delivery again that was not delivered; the notification |

use axum::Router;
use axum::extract::{Path, State as Held};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use tracing::info;
use utoipa::IntoResponses;

use crate::db::PooledConnection;
use crate::http::State;
use crate::http::listing;
use crate::http::listing::{Asked, Good, Numbered, Page, Refusal, Refusals};
use crate::http::openapi::Responses;
use crate::prices::notification;
use crate::prices::notification::{
    CHANNELS, Filter, KINDS, Notification, STATUSES, channels, kinds, statuses,
};
use crate::prices::notification_delivery::NotificationDelivery;
use crate::store::items;
use crate::store::items::{Items, ItemsError, Status};
use crate::workflow::Workflow;

/// Those that came to rest undelivered.
const UNDELIVERED: [Status; 3] = [Status::Error, Status::Filtered, Status::Cancelled];

pub(crate) fn routes() -> Router<State> {
    let mut router = Router::new();
    for slash in ["", "/"] {
        let send_again = format!("/api/notifications/{{id}}/send-again{slash}");
        router = router
            .route(&format!("/api/notifications{slash}"), get(list))
            .route(&send_again, post(self::send_again));
    }
    router
}

/// What can be asked; anything else in the query is of no interest.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Wanted {
    #[param(schema_with = statuses)]
    status: String,
    #[param(schema_with = kinds)]
    kind: String,
    #[param(schema_with = channels)]
    channel: String,
    /// To this subscriber.
    subscriber: String,
    #[param(schema_with = listing::described_limit)]
    limit: Option<i64>,
    /// Goes on with older rows: the next of the answer before.
    before: Option<i64>,
}

/// What subscribers were told, newest first.
#[utoipa::path(
    get, path = "/api/notifications/", operation_id = "notifications", params(Wanted),
    responses((status = 200, description = "Rows, maybe none.", body = Good<Page<Notification>>), Refusals),
    security(("admin" = []), ()),
)]
async fn list(Held(state): Held<State>, Asked(wanted): Asked<Wanted>) -> Result<Response, Refusal> {
    let subscriber = listing::text(&wanted.subscriber);
    let filter = Filter {
        status: listing::one_of("status", &wanted.status, &STATUSES)?,
        kind: listing::one_of("kind", &wanted.kind, &KINDS)?,
        channel: listing::one_of("channel", &wanted.channel, &CHANNELS)?,
        subscriber: subscriber.as_deref(),
        before: wanted.before,
        ..Filter::default()
    };
    let limit = listing::limit(wanted.limit);
    let mut conn = listing::connection(&state).await?;
    let notices = notification::list(&mut conn, &filter, limit)
        .await
        .map_err(|error| Refusal::database(&error))?;
    Ok(listing::page(notices, limit, |notice| notice.id))
}

/// Why a notification is not sent again.
struct NotSent;

impl IntoResponses for NotSent {
    fn responses() -> Responses {
        listing::change_refusals("no_notification", "not_failed")
    }
}

/// Queues a notification for delivery again that was not delivered.
#[utoipa::path(
    post, path = "/api/notifications/{id}/send-again/", operation_id = "sendAgain", params(Numbered),
    responses((status = 200, description = "The row as it is now.", body = Good<Notification>), NotSent),
    security(("admin" = []), ()),
)]
async fn send_again(
    Held(state): Held<State>,
    Path(number): Path<String>,
) -> Result<Response, Refusal> {
    let mut conn = listing::connection(&state).await?;
    let id = known(&mut conn, &number).await?.id;
    let queued = queue(&mut conn, id)
        .await
        .map_err(|error| Refusal::database(&error))?;
    if queued == 0 {
        let message = "only what was tried and not delivered can be sent again";
        return Err(Refusal::new(StatusCode::CONFLICT, "not_failed", message));
    }
    info!(notification = id, "notification queued again");
    Ok(listing::good(known(&mut conn, &number).await?))
}

/// Queues it as any operator may, if it is at rest undelivered. Returns how many that were.
async fn queue(conn: &mut PooledConnection, id: i64) -> Result<i64, ItemsError> {
    let filter = items::Filter {
        statuses: UNDELIVERED.to_vec(),
        ids: vec![id],
        ..items::Filter::default()
    };
    let items = Items::of(conn, &NotificationDelivery::stage()).await?;
    items.retry(conn, &filter).await
}

/// The notification of this number, as it is now.
async fn known(conn: &mut PooledConnection, number: &str) -> Result<Notification, Refusal> {
    let filter = Filter {
        // No notification has the number 0.
        ids: &[number.parse().unwrap_or(0)],
        ..Filter::default()
    };
    let found = notification::list(conn, &filter, 1)
        .await
        .map_err(|error| Refusal::database(&error))?;
    let message = "there is no such notification";
    let none = || Refusal::new(StatusCode::NOT_FOUND, "no_notification", message);
    found.into_iter().next().ok_or_else(none)
}
