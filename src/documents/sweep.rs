//! Takes away what nobody needs any more: uploads that were given up, files without rows, keys that have served. All of it is safe on
//! any number of nodes, and beside uploads under way.
//!
//! A file goes only while its row is locked, or has a row made for it first; and never one that was kept a moment ago: whoever keeps
//! a file does so before it writes the row.

pub mod accounts;
mod files;
pub mod ticker;

use std::io;
use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Double, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::Serialize;

use super::blob::Blobs;
use super::metrics;
use crate::db::statement::{seconds, sql_query};

pub use files::orphans;

/// How often it is looked how things stand, and for what is left of uploads on this machine.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// What nobody speaks of for so long is nobody's: files, and drafts that nobody writes to.
pub const GRACE: Duration = Duration::from_secs(3_600);
/// How long a key by which a program says that two uploads are one is remembered.
const KEYS_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Rows of one statement.
const BATCH: i64 = 500;

/// What went, or would go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Resumable uploads that were given up.
    pub uploads: usize,
    /// Reservations whose process is gone.
    pub reservations: usize,
    /// Drafts that nobody writes to.
    pub drafts: usize,
    /// Files that no document refers to any more.
    pub files: usize,
    /// Files that no row has ever spoken of, or none does any more.
    pub orphans: usize,
    /// Idempotency keys.
    pub keys: usize,
}

/// Why it could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database refused.
    #[error("the database refuses")]
    Database(#[from] DieselError),
    /// The storage refused.
    #[error("the storage refuses")]
    Storage(#[from] io::Error),
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Everything but a look through the whole storage, for which see [`orphans`]. With `is_trial` it is only counted.
///
/// # Errors
/// Whatever database or storage answer.
pub async fn sweep(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    is_trial: bool,
) -> Result<Swept, SweepError> {
    let mut swept = Swept {
        uploads: uploads(conn, blobs, is_trial).await?,
        reservations: reservations(conn, is_trial).await?,
        keys: keys(conn, is_trial).await?,
        ..Swept::default()
    };
    swept.files = files::released(conn, blobs, GRACE, is_trial).await?;
    swept.drafts = files::drafts(conn, blobs, GRACE, is_trial).await?;
    if !is_trial {
        swept.count();
    }
    Ok(swept)
}

impl Swept {
    fn count(&self) {
        for (kind, number) in [
            ("uploads", self.uploads),
            ("reservations", self.reservations),
            ("drafts", self.drafts),
            ("files", self.files),
            ("orphans", self.orphans),
            ("keys", self.keys),
        ] {
            metrics::swept(kind, number);
        }
    }
}

/// Gives up resumable uploads whose time is over: what was set aside for them is given back, and their drafts go.
async fn uploads(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    is_trial: bool,
) -> Result<usize, SweepError> {
    if is_trial {
        return Ok(count(
            conn,
            "SELECT count(*) AS number FROM upload WHERE expires_at < now()",
        )
        .await?);
    }
    let mut gone = 0;
    loop {
        // One that is complete has nothing set aside, nor a draft.
        let names: Vec<Name> = sql_query(
            "WITH gone AS ( \
                 DELETE FROM upload WHERE id IN ( \
                     SELECT id FROM upload WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED) \
                 RETURNING id, tenant_id, length, document_id \
             ), given_back AS ( \
                 UPDATE tenant SET reserved_bytes = greatest(reserved_bytes - own.bytes, 0) \
                 FROM (SELECT tenant_id, sum(length)::bigint AS bytes FROM gone WHERE document_id IS NULL GROUP BY tenant_id ORDER BY tenant_id) AS own \
                 WHERE tenant.id = own.tenant_id \
             ) SELECT id::text AS name FROM gone",
        )
        .bind::<BigInt, _>(BATCH)
        .load(conn)
        .await?;
        let drafts = blobs.drafts().await?;
        for Name { name } in &names {
            match tokio::fs::remove_file(drafts.join(name)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        gone += names.len();
        if names.len() < as_count(BATCH) {
            return Ok(gone);
        }
    }
}

/// Gives back what was set aside for uploads whose process is gone.
async fn reservations(conn: &mut AsyncPgConnection, is_trial: bool) -> QueryResult<usize> {
    if is_trial {
        return count(
            conn,
            "SELECT count(*) AS number FROM reservation WHERE expires_at < now()",
        )
        .await;
    }
    count(
        conn,
        "WITH gone AS ( \
             DELETE FROM reservation WHERE id IN ( \
                 SELECT id FROM reservation WHERE expires_at < now() ORDER BY expires_at LIMIT 10000 FOR UPDATE SKIP LOCKED) \
             RETURNING tenant_id, bytes \
         ), given_back AS ( \
             UPDATE tenant SET reserved_bytes = greatest(reserved_bytes - own.bytes, 0) \
             FROM (SELECT tenant_id, sum(bytes)::bigint AS bytes FROM gone GROUP BY tenant_id ORDER BY tenant_id) AS own \
             WHERE tenant.id = own.tenant_id \
         ) SELECT count(*) AS number FROM gone",
    )
    .await
}

/// Forgets idempotency keys that have served.
async fn keys(conn: &mut AsyncPgConnection, is_trial: bool) -> QueryResult<usize> {
    const OLD: &str = "FROM idempotency WHERE created_at < now() - make_interval(secs => $1)";
    if is_trial {
        let counted: Number = sql_query(format!("SELECT count(*) AS number {OLD}"))
            .bind::<Double, _>(seconds(KEYS_KEPT))
            .get_result(conn)
            .await?;
        return Ok(as_count(counted.number));
    }
    sql_query(format!(
        "DELETE FROM idempotency WHERE ctid = ANY (ARRAY(SELECT ctid {OLD} LIMIT 10000 FOR UPDATE SKIP LOCKED))"
    ))
    .bind::<Double, _>(seconds(KEYS_KEPT))
    .execute(conn)
    .await
}

async fn count(conn: &mut AsyncPgConnection, sql: &str) -> QueryResult<usize> {
    let counted: Number = sql_query(sql).get_result(conn).await?;
    Ok(as_count(counted.number))
}

fn as_count(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}
