//! PostgreSQL: connections, poolers, prepared statements, migrations. It knows no table.

pub mod connect;
mod dial;
pub mod estimate;
pub mod halves;
pub mod keyed;
pub mod locks;
pub mod migrations;
pub mod names;
pub mod notify;
pub mod pooler;
pub mod sqlstate;
pub mod statement;
mod wire;

use std::time::Duration;

use deadpool::managed::QueueMode;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::deadpool::{Hook, HookError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use gleaner_actors::port::PortError;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::secret::Secret;

/// Where the rows are, and how to reach them.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The database, as a `postgres://` URL.
    pub url: Secret,
    /// The same without a pooler between; empty for `url`.
    pub direct_url: Secret,
    /// Connections in the pool.
    pub pool_size: usize,
    /// Limit on making a connection, and on waiting for a free one.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Limit on one statement.
    #[serde(with = "humantime_serde")]
    pub statement_timeout: Duration,
    pub listen: bool,
}

impl Config {
    /// The URL for LISTEN, migrations and heartbeats.
    #[must_use]
    pub fn direct(&self) -> &Secret {
        if self.direct_url.is_empty() {
            &self.url
        } else {
            &self.direct_url
        }
    }

    /// Checks the URLs, if there are any.
    ///
    /// # Errors
    /// The key, and [`DbError::BadUrl`].
    pub fn check_urls(&self) -> Result<(), (&'static str, DbError)> {
        for (key, url) in [
            ("database.url", &self.url),
            ("database.direct_url", &self.direct_url),
        ] {
            if !url.is_empty() {
                connect::parse(url).map_err(|error| (key, error))?;
            }
        }
        Ok(())
    }
}

pub type Pool = diesel_async::pooled_connection::deadpool::Pool<AsyncPgConnection>;

pub type PooledConnection = diesel_async::pooled_connection::deadpool::Object<AsyncPgConnection>;

/// Trouble with the database itself. What a statement may answer is a [`diesel::result::Error`].
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// No database was named.
    #[error("no database is configured: set database.url, DATABASE_URL or --database-url")]
    NoUrl,
    /// The URL does not parse; its text may hold a password and is not repeated.
    #[error("the database URL is malformed: {0}")]
    BadUrl(String),
    /// TLS cannot be set up.
    #[error("cannot set up TLS to the database")]
    Tls(#[source] rustls::Error),
    /// No connection.
    #[error("cannot connect to the database at {place}")]
    Connect {
        /// Host and database, without credentials.
        place: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No connection of the pool became free in time, or a new one could not be made.
    #[error("no database connection to be had")]
    Pool(#[from] diesel_async::pooled_connection::deadpool::PoolError),
    /// The pool cannot be built.
    #[error("cannot build the connection pool")]
    Build(#[from] diesel_async::pooled_connection::deadpool::BuildError),
    /// A statement failed.
    #[error("the database refused a statement")]
    Query(#[from] DieselError),
    /// Migrations failed.
    #[error("cannot migrate the database")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A pooler that loses prepared statements stands between.
    #[error(
        "the connection pooler at {place} loses prepared statements (PgBouncer before 1.21 in transaction mode): \
        use pool_mode = session, PgBouncer 1.21 or newer with max_prepared_statements, or point database.url at PostgreSQL itself"
    )]
    Pooler {
        /// Host and database, without credentials.
        place: String,
    },
    /// The schema is older than the program.
    #[error("the database lacks migrations: {}; run `gleaner migrate`", .0.join(", "))]
    Pending(Vec<String>),
}

/// A connection that was used this recently is used again without asking it for a sign of life, which would be a round trip.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

/// Builds the pool, whose connections live on the runtime that this is called on. Connects to nothing yet.
///
/// # Errors
/// [`DbError::NoUrl`], [`DbError::BadUrl`], [`DbError::Tls`], [`DbError::Build`].
pub fn pool(config: &Config) -> Result<Pool, DbError> {
    let connector = connect::Connector::new(&config.url, config)?.impatient();
    // A connection is carried by the runtime that makes it. Whoever asks for one, from whatever threads: it is to be carried where
    // the pool was built, for everybody uses it after that.
    let home = Handle::try_current().ok();
    let mut manager = ManagerConfig::default();
    manager.custom_setup = Box::new(move |_| {
        let (connector, home) = (connector.clone(), home.clone());
        Box::pin(async move {
            let connected = match home {
                Some(home) => home
                    .spawn(async move { connector.connect().await })
                    .await
                    .map_err(|error| diesel::ConnectionError::BadConnection(error.to_string()))?,
                None => connector.connect().await,
            };
            connected.map_err(|error| {
                diesel::ConnectionError::BadConnection(crate::telemetry::chain(&error))
            })
        })
    });
    // A server that goes away says so, and the client has noticed by the next use. Only a connection that has been idle can
    // have been dropped in silence, by a router say.
    manager.recycling_method = RecyclingMethod::Fast;
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new_with_config("", manager);
    let sign_of_life = Hook::async_fn(|conn: &mut AsyncPgConnection, metrics| {
        Box::pin(async move {
            if metrics.last_used() >= TRUSTED_FOR {
                conn.batch_execute("")
                    .await
                    .map_err(|error| HookError::Message(crate::telemetry::chain(&error).into()))?;
            }
            Ok(())
        })
    });
    Ok(Pool::builder(manager)
        .max_size(config.pool_size)
        // The one used last: its statements are prepared, and the others may rest.
        .queue_mode(QueueMode::Lifo)
        .pre_recycle(sign_of_life)
        .runtime(deadpool::Runtime::Tokio1)
        .wait_timeout(Some(config.connect_timeout))
        .create_timeout(Some(config.connect_timeout))
        .recycle_timeout(Some(config.connect_timeout))
        .build()?)
}

/// Whether an error is the database's trouble, which passes, rather than the statement's or its data's, which stays.
///
/// The server's own code decides. What comes without one never reached the server, or its answer never reached us: the client
/// library's word for a connection that is gone.
#[must_use]
pub fn is_trouble(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, _) => match sqlstate::code(error) {
            Some(code) => sqlstate::is_trouble(code),
            None => matches!(
                kind,
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand
            ),
        },
        DieselError::BrokenTransactionManager
        | DieselError::RollbackTransaction
        | DieselError::RollbackErrorOnCommit { .. } => true,
        _ => false,
    }
}

/// Whether a row can have brought an error about, by what it holds or by the rules that hold for it: others may do better.
#[must_use]
pub fn is_of_a_row(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(..) => sqlstate::code(error).is_some_and(sqlstate::is_of_a_row),
        DieselError::DeserializationError(_) | DieselError::SerializationError(_) => true,
        _ => false,
    }
}

/// An error in one line, with the table, column and rule that the server names. Not with its detail, which may quote whole rows.
#[must_use]
pub fn described(error: &DieselError) -> String {
    let DieselError::DatabaseError(_, information) = error else {
        return error.to_string();
    };
    let named = [
        ("table", information.table_name()),
        ("column", information.column_name()),
        ("constraint", information.constraint_name()),
    ];
    let named: Vec<String> = named
        .iter()
        .filter_map(|(what, name)| Some(format!("{what} {}", (*name)?)))
        .collect();
    if named.is_empty() {
        error.to_string()
    } else {
        format!("{error} ({})", named.join(", "))
    }
}

/// Why the database did not do what it was asked, though it is there.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// A row stands in the way.
    #[error("a row is at fault: {}", described(.0))]
    Row(DieselError),
    /// The schema, the privileges or the statement.
    #[error("a statement does not fit the database ({}); `gleaner doctor` looks at the schema", described(.0))]
    Statement(DieselError),
}

/// What an error is to the engine: an outage, which passes by itself, or something that does not.
#[must_use]
pub fn port_error(error: DieselError) -> PortError {
    if is_trouble(&error) {
        PortError::unavailable(error)
    } else if is_of_a_row(&error) {
        PortError::Refused(Box::new(Refusal::Row(error)))
    } else {
        PortError::Refused(Box::new(Refusal::Statement(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_waiting_mends_is_told_as_that() {
        let message = || Box::new("value out of range".to_owned());
        let gone = DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, message());
        assert!(matches!(port_error(gone), PortError::Unavailable(_)));
        for (error, expected) in [
            (
                DieselError::DeserializationError(message().to_string().into()),
                "the store answers, but refuses what it was asked: a row is at fault: value out of range",
            ),
            (
                DieselError::DatabaseError(DatabaseErrorKind::Unknown, message()),
                "the store answers, but refuses what it was asked: a statement does not fit the database (value out of range); \
                 `gleaner doctor` looks at the schema",
            ),
        ] {
            assert_eq!(crate::telemetry::chain(&port_error(error)), expected);
        }
    }

    #[test]
    fn without_a_code_only_a_connection_that_is_gone_is_trouble() {
        let message = || Box::new("terminating connection, connection closed".to_owned());
        for (error, expected) in [
            (
                DieselError::DatabaseError(DatabaseErrorKind::UnableToSendCommand, message()),
                true,
            ),
            (
                DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, message()),
                true,
            ),
            (
                DieselError::DatabaseError(DatabaseErrorKind::Unknown, message()),
                false,
            ),
            (
                DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, message()),
                false,
            ),
            (DieselError::BrokenTransactionManager, true),
            (DieselError::NotFound, false),
            (
                DieselError::DeserializationError(message().to_string().into()),
                false,
            ),
        ] {
            assert_eq!(is_trouble(&error), expected, "{error:?}");
        }
    }
}
