//! Pins: who keeps row versions from being cleared away that nobody needs any more.
//!
//! A transaction that is open, prepared, or shown to this server by a replica or a replication slot, may still look at what was there when
//! it began. As long as it may, every version of a row written since stays, with its entries in the indexes.

use crate::db::statement::statement;
use diesel::sql_types::{BigInt, Bool, Double, Integer, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::Serialize;

/// A pin counts once so many transactions have been begun since: before that, what it keeps is no burden.
pub const COUNTS_AFTER: i64 = 100;
/// It is told to people once it is this old, in seconds: what takes less is work like any other.
const TOLD_AFTER_SECONDS: f64 = 10.0;

/// Somebody who pins row versions.
#[derive(Clone, Debug, PartialEq, QueryableByName, Serialize)]
pub struct Holder {
    /// `session`, `prepared transaction`, `replica` or `replication slot`.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// The server process; none has a prepared transaction, or a slot that nobody reads.
    #[diesel(sql_type = Nullable<Integer>)]
    pub pid: Option<i32>,
    /// The user, or who prepared it.
    #[diesel(sql_type = Nullable<Text>)]
    pub user: Option<String>,
    /// The application, or the name of the prepared transaction or of the slot.
    #[diesel(sql_type = Nullable<Text>)]
    pub name: Option<String>,
    /// Where it comes from.
    #[diesel(sql_type = Nullable<Text>)]
    pub address: Option<String>,
    /// What it does: `active`, `idle in transaction`, …
    #[diesel(sql_type = Nullable<Text>)]
    pub state: Option<String>,
    /// For how long, in seconds; `None` where the server does not say it, or not to us.
    #[diesel(sql_type = Nullable<Double>)]
    pub seconds: Option<f64>,
    /// Transactions begun since.
    #[diesel(sql_type = BigInt)]
    pub transactions: i64,
    /// Whether only versions in the server's own catalogue are kept, not those of our rows.
    #[diesel(sql_type = Bool)]
    pub only_catalogue: bool,
}

impl Holder {
    /// Whether it keeps versions of our rows.
    #[must_use]
    pub fn pins_rows(&self) -> bool {
        !self.only_catalogue
    }

    /// Whether people are to be told of it.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.seconds
            .is_none_or(|seconds| seconds >= TOLD_AFTER_SECONDS)
    }

    /// Who it is, and since when, in words.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = self.kind.clone();
        if let Some(pid) = self.pid {
            text.push_str(&format!(" {pid}"));
        }
        let who = [&self.user, &self.name, &self.address];
        let who: Vec<&str> = who.into_iter().flatten().map(String::as_str).collect();
        if !who.is_empty() {
            text.push_str(&format!(" ({})", who.join(", ")));
        }
        if let Some(state) = &self.state {
            text.push_str(&format!(" {state}"));
        }
        match self.seconds {
            Some(seconds) => text.push_str(&format!(" for {seconds:.0} s")),
            None => text.push_str(" since a time that is not shown"),
        }
        text.push_str(&format!(", {} transactions ago", self.transactions));
        text
    }

    /// How to be rid of it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.kind.as_str() {
            "prepared transaction" => "COMMIT PREPARED or ROLLBACK PREPARED it, in its database",
            "replica" => {
                "end the long query on the replica, or set hot_standby_feedback = off there"
            }
            "replication slot" => {
                "have its reader catch up, or drop it with pg_drop_replication_slot"
            }
            _ => "end it with pg_terminate_backend, and set idle_in_transaction_session_timeout",
        }
    }
}

/// Who pins row versions of this database since more than [`COUNTS_AFTER`] transactions, the oldest first, ten at most.
///
/// # Errors
/// Whatever the database answers.
pub async fn holders(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Holder>> {
    statement(include_str!("pin/holders.sql"))
        .bind::<BigInt, _>(COUNTS_AFTER)
        .load(conn)
        .await
}
