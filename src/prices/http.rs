//! What is served of prices: the bots' API, and the lists of prices, flags and notifications.

pub(crate) mod bot;
mod flags;
mod history;
mod notifications;
mod openapi;

use std::sync::Arc;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

use super::flag;
use crate::app::state::Shared;
use crate::http::Routes;

/// Flags that the status document shows.
const FLAGS_SHOWN: i64 = 10;

/// All routes.
pub(super) fn routes(shared: &Arc<Shared>) -> Routes {
    let (operators_api, outsiders_api) = described();
    Routes {
        operators: history::routes()
            .merge(flags::routes())
            .merge(notifications::routes()),
        outsiders: bot::routes(bot::State::new(shared)),
        turned_away: bot::turned_away(),
        operators_api,
        outsiders_api,
    }
}

/// What is said of the operators' routes, and of the outsiders'.
pub(crate) fn described() -> (OpenApi, OpenApi) {
    (openapi::Lists::openapi(), bot::Described::openapi())
}

/// The newest open flags, and how many are open.
pub(super) async fn status(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Value>> {
    let open = flag::Filter {
        statuses: &flag::OPEN,
        ..flag::Filter::default()
    };
    let flags = flag::list(conn, &open, FLAGS_SHOWN).await?;
    let count = flag::count_open(conn).await?;
    Ok(vec![json!(flags), json!(count)])
}
