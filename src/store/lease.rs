//! Leases: opened by a workflow's actor, renewed by its process's heartbeat, ended by closing or by time.

use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::sql_types::{BigInt, Double, Text};
use diesel_async::AsyncPgConnection;
use gleaner_actors::port::{Heart, LeaseId, PortError};

use crate::db::connect::Connector;
use crate::db::statement::statement;

#[derive(diesel::QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Opens a lease of `ttl` for a workflow of this node.
///
/// # Errors
/// Whatever the database answers.
pub async fn open(
    conn: &mut AsyncPgConnection,
    node: i64,
    workflow: &str,
    ttl: Duration,
) -> diesel::QueryResult<LeaseId> {
    let row: IdRow = sql_query(
        "INSERT INTO lease (node_id, workflow, expires_at) \
         VALUES ($1, $2, now() + make_interval(secs => $3)) RETURNING id",
    )
    .bind::<BigInt, _>(node)
    .bind::<Text, _>(workflow)
    .bind::<Double, _>(ttl.as_secs_f64())
    .get_result(conn)
    .await?;
    Ok(LeaseId(row.id))
}

/// Ends a lease now; what is still stamped with it is for the rescue.
///
/// # Errors
/// Whatever the database answers.
pub async fn end(conn: &mut AsyncPgConnection, lease: LeaseId) -> diesel::QueryResult<()> {
    sql_query("DELETE FROM lease WHERE id = $1")
        .bind::<BigInt, _>(lease.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Ends a lease now, whose holder lives and has let go of all that is stamped with it. What somebody else has locked meanwhile is for
/// the rescue, which gives its attempt back.
///
/// # Errors
/// Whatever the database answers.
pub async fn close(conn: &mut AsyncPgConnection, lease: LeaseId) -> diesel::QueryResult<()> {
    sql_query(
        "UPDATE lease SET expires_at = least(expires_at, now()), is_closed = true WHERE id = $1",
    )
    .bind::<BigInt, _>(lease.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the other leases of a node's workflow: an actor has one at a time. Those that were closed are kept for the rescue.
///
/// # Errors
/// Whatever the database answers.
pub async fn end_older(
    conn: &mut AsyncPgConnection,
    node: i64,
    workflow: &str,
    newest: LeaseId,
) -> diesel::QueryResult<()> {
    sql_query(
        "DELETE FROM lease WHERE node_id = $1 AND workflow = $2 AND id < $3 AND NOT is_closed",
    )
    .bind::<BigInt, _>(node)
    .bind::<Text, _>(workflow)
    .bind::<BigInt, _>(newest.0)
    .execute(conn)
    .await?;
    Ok(())
}

/// Renews all leases of a node that have not expired, in one statement, and returns them.
///
/// # Errors
/// Whatever the database answers.
pub async fn renew(
    conn: &mut AsyncPgConnection,
    node: i64,
    ttl: Duration,
) -> diesel::QueryResult<Vec<LeaseId>> {
    let rows: Vec<IdRow> = statement(
        "UPDATE lease SET expires_at = now() + make_interval(secs => $2) \
         WHERE node_id = $1 AND expires_at > now() RETURNING id",
    )
    .bind::<BigInt, _>(node)
    .bind::<Double, _>(ttl.as_secs_f64())
    .load(conn)
    .await?;
    Ok(rows.into_iter().map(|row| LeaseId(row.id)).collect())
}

/// Seconds until the first lease of a node other than `$1` ends, NULL when no other holds one: an expression.
///
/// Leases that have ended do not count: their rows are being seen to. Nor do bots', which last for minutes: they are left to the
/// regular look.
pub(super) const NEXT_EXPIRY: &str = "(SELECT extract(epoch FROM min(least(expires_at, now() + interval '1 day')) - now())::float8 FROM lease WHERE node_id <> $1 AND expires_at > now())";

/// What lies between the leases that stand, as `gap (above, below)`, both excluded: a common table expression. Whatever bears a
/// lease from there has nobody any more.
pub(super) const GAPS: &str = "gap AS MATERIALIZED (\
    SELECT above, below FROM (\
        SELECT lag(id, 1, -1::bigint) OVER (ORDER BY id) AS above, id AS below FROM lease WHERE expires_at > now() \
        UNION ALL SELECT coalesce(max(id), -1), 9223372036854775807 FROM lease WHERE expires_at > now()\
    ) AS pair WHERE above + 1 < below)";

/// Forgets leases that ended over an hour ago. Rows still stamped with one are rescued all the same. Those by which the rescue knows
/// whom not to charge are kept for a month: a lock may last.
///
/// # Errors
/// Whatever the database answers.
pub async fn prune(conn: &mut AsyncPgConnection) -> diesel::QueryResult<usize> {
    sql_query(
        "DELETE FROM lease WHERE expires_at < now() - interval '1 hour' AND (expires_at < now() - interval '30 days' \
         OR NOT (is_closed OR EXISTS (SELECT 1 FROM node WHERE node.id = lease.node_id AND node.stopping_at IS NOT NULL)))",
    )
    .execute(conn)
    .await
}

/// The heartbeat's side of the leases: a connection of its own, made again whenever it breaks, by another way where there is one.
pub struct LeaseHeart {
    /// The first is the one that is wanted.
    ways: Vec<Connector>,
    /// Which of them is tried by the next connection.
    way: usize,
    node: i64,
    connection: Option<AsyncPgConnection>,
}

impl LeaseHeart {
    /// A heart for this node's leases.
    #[must_use]
    pub fn new(connector: Connector, node: i64) -> Self {
        Self {
            ways: vec![connector],
            way: 0,
            node,
            connection: None,
        }
    }

    /// The same with another way to the same database, taken when the one before gives no answer: a lease is not to be lost
    /// while the rows themselves can be reached.
    #[must_use]
    pub fn or_through(mut self, connector: Connector) -> Self {
        self.ways.push(connector);
        self
    }
}

impl Heart for LeaseHeart {
    async fn beat(&mut self, ttl: Duration) -> Result<Vec<LeaseId>, PortError> {
        // Until this beat is answered, the next goes another way: also when this one is dropped for taking too long.
        let way = self.way;
        self.way = (way + 1) % self.ways.len();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = self.ways[way].connect().await;
                connection.map_err(|error| PortError::Unavailable(Box::new(error)))?
            }
        };
        // A beat that takes longer than half a lease is as good as none; the connection is dropped with it.
        let renewed = tokio::time::timeout(ttl / 2, renew(&mut connection, self.node, ttl)).await;
        match renewed {
            Ok(Ok(leases)) => {
                self.connection = Some(connection);
                self.way = way;
                Ok(leases)
            }
            Ok(Err(error)) => Err(PortError::Unavailable(Box::new(error))),
            Err(elapsed) => Err(PortError::Unavailable(Box::new(elapsed))),
        }
    }
}
