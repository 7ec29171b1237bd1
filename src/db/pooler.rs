//! Recognises a connection pooler that hands each transaction to whichever server connection is free.
//!
//! PgBouncer before 1.21 in that mode also loses what a session has prepared: a statement prepared on one server connection is
//! unknown on the next, and nine statements out of ten fail, at random. Better to say so at the start.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::DbError;
use super::connect::Connector;

/// What stands between us and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Nothing, or a pooler that keeps one server connection per session: everything works.
    Session,
    /// A pooler that keeps one per transaction, and prepared statements in order. LISTEN does not work through it.
    Transaction,
}

/// What a server says to a statement that it does not know, and to one under a name that another session has given away.
const LOST: [SqlState; 2] = [
    SqlState::INVALID_SQL_STATEMENT_NAME,
    SqlState::DUPLICATE_PSTATEMENT,
];

/// How often the server connections are shuffled before we believe that they stay put.
const TRIES: usize = 3;

/// How long a pooler with a single server connection may make a second client wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells what stands between: holds one server connection with a transaction while another session prepares a statement, lets
/// it go, and looks where that session's next statement ends up.
///
/// # Errors
/// [`DbError::Pooler`] when prepared statements are lost; [`DbError::Connect`].
pub async fn check(connector: &Connector) -> Result<Pooling, DbError> {
    let holder = connector.raw().await?;
    let other = connector.raw().await?;
    let mut pooling = Pooling::Session;
    for _ in 0..TRIES {
        if is_moved(connector, &holder, &other).await? {
            pooling = Pooling::Transaction;
        }
    }
    Ok(pooling)
}

async fn is_moved(connector: &Connector, holder: &Client, other: &Client) -> Result<bool, DbError> {
    let refused = |error: tokio_postgres::Error| {
        let place = connector.place();
        if error.code().is_some_and(|code| LOST.contains(code)) {
            DbError::Pooler { place }
        } else {
            DbError::Connect {
                place,
                source: Box::new(error),
            }
        }
    };
    holder.batch_execute("BEGIN").await.map_err(refused)?;
    let prepared = tokio::time::timeout(PATIENCE, async {
        let before: i32 = other
            .query_one("SELECT pg_backend_pid()", &[])
            .await?
            .get(0);
        let statement = other.prepare("SELECT pg_backend_pid() + $1::int4").await?;
        Ok((before, statement))
    })
    .await;
    holder.batch_execute("COMMIT").await.map_err(refused)?;
    match prepared {
        Ok(Ok((before, statement))) => {
            let after: i32 = other
                .query_one(&statement, &[&0_i32])
                .await
                .map_err(refused)?
                .get(0);
            Ok(before != after)
        }
        Ok(Err(error)) => Err(refused(error)),
        // One server connection for all: whoever holds a transaction keeps the others out, so it is shared per transaction.
        Err(_elapsed) => Ok(true),
    }
}
