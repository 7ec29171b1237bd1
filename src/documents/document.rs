//! What is done with a document once it is there: deleted, renamed, cancelled, tried again. Each in a transaction of its tenant's, which
//! the caller opens and enters.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use serde::Serialize;

use super::intake::{STAGE, renamed};
use super::password;
use super::quota;
use super::quota::Refusal;
use super::scope::TenantId;
use crate::db::statement::{seconds, statement};
use crate::store::stage::Request;

/// Statements that make a document which nothing has read yet, of a tenant of its own, to try a workflow with.
pub(super) const SAMPLE: &str = "
    INSERT INTO tenant (uid, name, used_bytes) VALUES ('00000000-0000-4000-8000-000000000001', 'sample', 28);
    INSERT INTO blob (tenant_id, sha256, bytes, refs)
        SELECT id, sha256('The kettle is made of brass.'), 28, 1 FROM tenant;
    INSERT INTO documents (uid, tenant_id, filename, original_filename, mime_type, file_size, sha256)
        SELECT '00000000-0000-4000-8000-000000000002', tenant_id, 'kettle.txt', 'kettle.txt', 'text/plain', bytes, sha256 FROM blob";

/// The name of a document towards its tenant, in the form in which the database writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Uid(String);

impl Uid {
    /// What this text names; `None` if it names nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_right = |(at, byte): (usize, u8)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        let fits = text.len() == 36 && text.bytes().enumerate().all(is_right);
        fits.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is no uid, and so no document's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no document has such an id")]
pub struct NoUid;

impl FromStr for Uid {
    type Err = NoUid;

    fn from_str(text: &str) -> Result<Self, NoUid> {
        Self::parse(text).ok_or(NoUid)
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// There is none, or it is somebody else's.
    #[error("there is no such document")]
    NotFound,
    /// It is in a state in which this makes no sense.
    #[error("it is {status}: {advice}")]
    Status {
        status: String,
        advice: &'static str,
    },
    /// Trying again cannot help.
    #[error("trying again cannot help: {0}")]
    Hopeless(String),
    /// Another process can do it, and this one cannot.
    #[error("{0}")]
    Elsewhere(&'static str),
    /// It is not let in with those that wait.
    #[error(transparent)]
    Refused(Refusal),
    /// The database.
    #[error("the database does not answer")]
    Database(#[from] diesel::result::Error),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Database(error) => Self::Database(error),
            refusal => Self::Refused(refusal),
        }
    }
}

/// A document as these functions leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName)]
pub struct Document {
    #[diesel(sql_type = BigInt)]
    #[serde(skip)]
    pub id: i64,
    #[diesel(sql_type = Text)]
    #[serde(rename = "document_id")]
    pub uid: String,
    #[diesel(sql_type = Text)]
    pub filename: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Nullable<Bool>)]
    #[serde(skip)]
    retryable: Option<bool>,
    #[diesel(sql_type = Nullable<Text>)]
    #[serde(skip)]
    error_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    #[serde(skip)]
    error_message: Option<String>,
}

macro_rules! columns {
    () => {
        "item.id, item.uid::text AS uid, item.filename, item.status, item.retryable, item.error_code, item.error_message"
    };
}

/// Has the transaction wait longer than others for a lock. What is stored of a large document takes a while on a busy machine, and its row is
/// locked meanwhile; whoever asks for a change then is to get it, not to be told to ask again.
async fn wait_longer(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    conn.batch_execute("SET LOCAL lock_timeout = '6s'").await
}

/// The document, whose row is locked until the end of the transaction.
async fn lock(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> Result<Document, Obstacle> {
    wait_longer(conn).await?;
    let found: Option<Document> = statement(concat!(
        "SELECT ",
        columns!(),
        " FROM documents AS item WHERE tenant_id = $1 AND uid = $2::uuid AND deleted_at IS NULL FOR NO KEY UPDATE"
    ))
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(uid.as_str())
    .get_result(conn)
    .await
    .optional()?;
    found.ok_or(Obstacle::NotFound)
}

/// Runs a statement on one document that returns it.
async fn change(conn: &mut AsyncPgConnection, sql: &str, id: i64) -> QueryResult<Document> {
    statement(sql).bind::<BigInt, _>(id).get_result(conn).await
}

/// Deletes a document and what was attached to it: none of it is seen any more, its bytes count no more, its work ends. Tells how many
/// documents that were.
///
/// # Errors
/// [`Obstacle::NotFound`], [`Obstacle::Database`].
pub async fn delete(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> Result<usize, Obstacle> {
    #[derive(QueryableByName)]
    struct Gone {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    static CANCEL: LazyLock<String> = LazyLock::new(|| {
        STAGE.ask(
            "UPDATE {table} AS item SET {set}, deleted_at = now() WHERE item.tenant_id = $1 AND item.id = ANY($2)",
            &[Request::Cancel],
        )
    });
    wait_longer(conn).await?;
    let family: Vec<Gone> = statement(
        "WITH RECURSIVE family AS ( \
             SELECT id FROM documents WHERE tenant_id = $1 AND uid = $2::uuid AND deleted_at IS NULL \
             UNION ALL \
             SELECT child.id FROM documents AS child JOIN family ON child.parent_id = family.id \
             WHERE child.tenant_id = $1 AND child.deleted_at IS NULL \
         ) SELECT id FROM documents WHERE id IN (SELECT id FROM family) AND tenant_id = $1 AND deleted_at IS NULL \
         ORDER BY id FOR NO KEY UPDATE",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(uid.as_str())
    .load(conn)
    .await?;
    let ids: Vec<i64> = family.iter().map(|gone| gone.id).collect();
    if ids.is_empty() {
        return Err(Obstacle::NotFound);
    }
    quota::lock(conn, tenant).await?;
    statement(&CANCEL)
        .bind::<BigInt, _>(tenant)
        .bind::<Array<BigInt>, _>(ids.as_slice())
        .execute(conn)
        .await?;
    for sql in [
        "DELETE FROM chunk WHERE tenant_id = $1 AND document_id = ANY($2)",
        "DELETE FROM idempotency WHERE tenant_id = $1 AND document_id = ANY($2)",
    ] {
        statement(sql)
            .bind::<BigInt, _>(tenant)
            .bind::<Array<BigInt>, _>(ids.as_slice())
            .execute(conn)
            .await?;
    }
    let freed = release(conn, tenant, &ids).await?;
    quota::discharge(conn, tenant, freed).await?;
    Ok(ids.len())
}

/// The files of these documents have one reference less for each; tells the bytes of those that have none left.
async fn release(conn: &mut AsyncPgConnection, tenant: TenantId, ids: &[i64]) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Freed {
        #[diesel(sql_type = BigInt)]
        bytes: i64,
        #[diesel(sql_type = Integer)]
        refs: i32,
    }
    let blobs: Vec<Freed> = statement(
        "UPDATE blob SET refs = refs - gone.count, released_at = CASE WHEN refs = gone.count THEN now() END \
         FROM (SELECT sha256, count(*)::integer AS count FROM documents WHERE tenant_id = $1 AND id = ANY($2) GROUP BY sha256) AS gone \
         WHERE blob.tenant_id = $1 AND blob.sha256 = gone.sha256 RETURNING blob.bytes, blob.refs",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Array<BigInt>, _>(ids)
    .load(conn)
    .await?;
    Ok(blobs
        .iter()
        .filter(|blob| blob.refs == 0)
        .map(|blob| blob.bytes)
        .sum())
}

/// Gives a document another name, with the ending that it has.
///
/// # Errors
/// [`Obstacle::NotFound`], [`Obstacle::Database`].
pub async fn rename(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
    name: &str,
) -> Result<Document, Obstacle> {
    let document = lock(conn, tenant, uid).await?;
    let renamed = statement(concat!(
        "UPDATE documents AS item SET filename = $2 WHERE id = $1 RETURNING ",
        columns!()
    ))
    .bind::<BigInt, _>(document.id)
    .bind::<Text, _>(renamed(&document.filename, name))
    .get_result(conn)
    .await?;
    Ok(renamed)
}

/// Ends the work on a document, or its waiting.
///
/// # Errors
/// [`Obstacle::NotFound`]; [`Obstacle::Status`] when there is nothing to end; [`Obstacle::Database`].
pub async fn cancel(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> Result<Document, Obstacle> {
    static CANCEL: LazyLock<String> = LazyLock::new(|| {
        STAGE.ask(
            concat!(
                "UPDATE {table} AS item SET {set} WHERE item.id = $1 RETURNING ",
                columns!()
            ),
            &[Request::Cancel],
        )
    });
    let document = lock(conn, tenant, uid).await?;
    match document.status.as_str() {
        // It is, already.
        "cancelled" => Ok(document),
        "queued" | "processing" => Ok(change(conn, &CANCEL, document.id).await?),
        _ => Err(Obstacle::Status {
            status: document.status,
            advice: "there is nothing to cancel",
        }),
    }
}

static QUEUE: LazyLock<String> = LazyLock::new(|| {
    STAGE.ask(
        concat!(
            "UPDATE {table} AS item SET {set}, error_code = NULL, error_message = NULL, retryable = NULL, error_pages = '{}', \
                 unlocked_until = now() + make_interval(secs => $2) \
             WHERE item.id = $1 RETURNING ",
            columns!()
        ),
        &[Request::Queue],
    )
});

/// Has a document wait once more, if one more may: with a password that is known for so long, or without.
async fn queue(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: i64,
    unlocked_for: Option<Duration>,
) -> Result<Document, Obstacle> {
    quota::admit(conn, tenant).await?;
    let queued = statement(&QUEUE)
        .bind::<BigInt, _>(id)
        .bind::<Nullable<Double>, _>(unlocked_for.map(seconds))
        .get_result(conn)
        .await?;
    Ok(queued)
}

/// Has a document that failed, or was cancelled, worked again.
///
/// # Errors
/// [`Obstacle::NotFound`]; [`Obstacle::Status`] when it is neither; [`Obstacle::Hopeless`] when it would fail again;
/// [`Obstacle::Refused`] when as many wait as may; [`Obstacle::Database`].
pub async fn retry(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> Result<Document, Obstacle> {
    let document = lock(conn, tenant, uid).await?;
    match document.status.as_str() {
        "failed" if document.retryable == Some(false) => Err(Obstacle::Hopeless(
            document.error_message.unwrap_or_default(),
        )),
        "failed" | "cancelled" => queue(conn, tenant, document.id, None).await,
        _ => Err(Obstacle::Status {
            status: document.status,
            advice: "only what failed or was cancelled is tried again",
        }),
    }
}

/// Has a document that nobody works or waits for worked from the start, whatever came of it before.
///
/// # Errors
/// [`Obstacle::NotFound`]; [`Obstacle::Status`] when it waits or is worked; [`Obstacle::Refused`] when as many wait as may;
/// [`Obstacle::Database`].
pub async fn reprocess(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> Result<Document, Obstacle> {
    let document = lock(conn, tenant, uid).await?;
    match document.status.as_str() {
        "queued" | "processing" => Err(Obstacle::Status {
            status: document.status,
            advice: "it is worked in any case",
        }),
        _ => queue(conn, tenant, document.id, None).await,
    }
}

/// The same for one that could not be opened without a password, or with the one that was given: what its `error_code` says.
///
/// # Errors
/// [`Obstacle::NotFound`]; [`Obstacle::Status`] when it does not wait for one; [`Obstacle::Refused`] when as many wait as may;
/// [`Obstacle::Database`].
pub async fn unlock(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> Result<Document, Obstacle> {
    let document = lock(conn, tenant, uid).await?;
    let is_locked = matches!(
        document.error_code.as_deref(),
        Some("password_required" | "wrong_password")
    );
    if document.status != "failed" || !is_locked {
        return Err(Obstacle::Status {
            status: document.status,
            advice: "no password is asked for",
        });
    }
    queue(conn, tenant, document.id, Some(password::KEPT)).await
}
