//! What requests ask the database: always within a time, also where the server takes connections and then says nothing, be it that it
//! is frozen, or that the network swallows what is sent. Nothing else under `http` has a connection.
//!
//! A question that is given up leaves nothing behind. Its transaction was not committed, and its connection goes out of the pool; of one that
//! was about to be, the server may still hear: that is what idempotency keys are for, and the offsets of resumable uploads.

use std::time::Duration;

use crate::db::PooledConnection;

use super::State;
use super::trouble::Trouble;

/// In this time the database has to answer: connecting, waiting for a connection, and all statements of a transaction.
const ANSWER: Duration = Duration::from_secs(10);

/// What it answers in that time.
pub(super) async fn answered<T>(
    asking: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    tokio::time::timeout(ANSWER, asking)
        .await
        .unwrap_or_else(|elapsed| Err(Trouble::database(&elapsed)))
}

/// A connection of the pool, for the macros that bound what is done with it.
pub(super) async fn connection(state: &State) -> Result<PooledConnection, Trouble> {
    let conn = state.shared.pool.get().await;
    conn.map_err(|error| Trouble::database(&error))
}
