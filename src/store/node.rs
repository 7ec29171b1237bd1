//! Nodes: one row per run of a process, with the last status of its actors.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Jsonb, Nullable, Text};
use diesel_async::AsyncPgConnection;
use gleaner_actors::port::LeaseId;

use crate::db::statement::{statement, storable};

/// Registers this process and returns its identity, new at every start.
///
/// # Errors
/// Whatever the database answers.
pub async fn register(conn: &mut AsyncPgConnection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "unknown".to_owned());
    let row: Row =
        sql_query("INSERT INTO node (host, pid, version) VALUES ($1, $2, $3) RETURNING id")
            .bind::<Text, _>(host)
            .bind::<Integer, _>(own_pid())
            .bind::<Text, _>(env!("CARGO_PKG_VERSION"))
            .get_result(conn)
            .await?;
    Ok(row.id)
}

/// The id of this process, as its row has it.
#[must_use]
pub fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap_or(0)
}

/// Stores the status of this process's actors.
///
/// # Errors
/// Whatever the database answers.
pub async fn report(
    conn: &mut AsyncPgConnection,
    node: i64,
    status: &serde_json::Value,
) -> QueryResult<()> {
    statement("UPDATE node SET seen_at = now(), status = $2 WHERE id = $1")
        .bind::<BigInt, _>(node)
        .bind::<Jsonb, _>(storable(status))
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that this process begins to stop in good order: what it leaves behind from now on is not charged with its death.
///
/// # Errors
/// Whatever the database answers.
pub async fn stopping(conn: &mut AsyncPgConnection, node: i64) -> QueryResult<()> {
    sql_query("UPDATE node SET stopping_at = now() WHERE id = $1")
        .bind::<BigInt, _>(node)
        .execute(conn)
        .await?;
    Ok(())
}

/// A lease that a process left.
#[derive(Debug, QueryableByName)]
pub struct Left {
    #[diesel(sql_type = BigInt)]
    lease: i64,
    /// The workflow that had it.
    #[diesel(sql_type = Text)]
    pub workflow: String,
}

impl Left {
    #[must_use]
    pub fn lease(&self) -> LeaseId {
        LeaseId(self.lease)
    }
}

/// Notes for a process that is gone that it stopped in good order, and returns the leases that it left. Nothing where no such process
/// was.
///
/// # Errors
/// Whatever the database answers.
pub async fn has_stopped(
    conn: &mut AsyncPgConnection,
    node: i64,
    pid: i32,
) -> QueryResult<Vec<Left>> {
    let noted = sql_query(
        "UPDATE node SET stopping_at = coalesce(stopping_at, now()), stopped_at = coalesce(stopped_at, now()) WHERE id = $1 AND pid = $2",
    )
    .bind::<BigInt, _>(node)
    .bind::<Integer, _>(pid)
    .execute(conn)
    .await?;
    if noted == 0 {
        return Ok(Vec::new());
    }
    sql_query("SELECT id AS lease, workflow FROM lease WHERE node_id = $1 ORDER BY id")
        .bind::<BigInt, _>(node)
        .load(conn)
        .await
}

/// Notes that this process stopped in good order.
///
/// # Errors
/// Whatever the database answers.
pub async fn stopped(conn: &mut AsyncPgConnection, node: i64) -> QueryResult<()> {
    sql_query("UPDATE node SET stopped_at = now(), seen_at = now() WHERE id = $1")
        .bind::<BigInt, _>(node)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets processes not seen for thirty days.
///
/// # Errors
/// Whatever the database answers.
pub async fn prune(conn: &mut AsyncPgConnection) -> QueryResult<usize> {
    sql_query("DELETE FROM node WHERE seen_at < now() - interval '30 days'")
        .execute(conn)
        .await
}

/// A process, for the status command.
#[derive(Clone, Debug, QueryableByName, serde::Serialize)]
pub struct Node {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// The host it runs on.
    #[diesel(sql_type = Text)]
    pub host: String,
    /// Its process id there.
    #[diesel(sql_type = Integer)]
    pub pid: i32,
    #[diesel(sql_type = Text)]
    pub version: String,
    #[diesel(sql_type = Double)]
    pub up_seconds: f64,
    /// Seconds since it last reported.
    #[diesel(sql_type = Double)]
    pub seen_seconds: f64,
    /// Whether it holds a lease that stands.
    #[diesel(sql_type = Bool)]
    pub alive: bool,
    /// The last status of its actors.
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub status: Option<serde_json::Value>,
}

/// Processes that run or were seen within the last hour and did not stop in good order.
///
/// # Errors
/// Whatever the database answers.
pub async fn recent(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Node>> {
    sql_query(
        "SELECT id, host, pid, version, extract(epoch FROM now() - least(greatest(started_at, '1900-01-01Z'), now()))::float8 AS up_seconds, \
         extract(epoch FROM now() - least(seen_at, now()))::float8 AS seen_seconds, \
         EXISTS (SELECT 1 FROM lease WHERE node_id = node.id AND expires_at > now()) AS alive, status \
         FROM node WHERE stopped_at IS NULL AND seen_at > now() - interval '1 hour' ORDER BY id",
    )
    .load(conn)
    .await
}
