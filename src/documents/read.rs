//! What is read of documents on behalf of their tenants: state, lists, text, files, usage.
//!
//! Each function is a transaction of its own in the tenant's [`scope`]. A document that is deleted, somebody else's or nobody's is `None`
//! alike.

mod text;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::result::Error as DieselError;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Double, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz,
};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::document::{NoUid, Uid};
use super::scope;
use super::scope::TenantId;
use crate::db::statement::statement;

pub use self::text::{Page, Piece, page, pages, pieces};

/// What a document can be.
pub const STATUSES: [&str; 5] = ["queued", "processing", "ready", "failed", "cancelled"];

/// A document as its tenant sees it.
#[derive(Clone, Debug, PartialEq, Serialize, QueryableByName, ToSchema)]
pub struct Document {
    #[diesel(sql_type = Text)]
    pub document_id: String,
    /// The e-mail that it was attached to.
    #[diesel(sql_type = Nullable<Text>)]
    pub parent_id: Option<String>,
    #[diesel(sql_type = Text)]
    pub filename: String,
    #[diesel(sql_type = Text)]
    pub original_filename: String,
    #[diesel(sql_type = Text)]
    pub mime_type: String,
    /// Bytes.
    #[diesel(sql_type = BigInt)]
    pub file_size: i64,
    /// Of the file, in hexadecimal.
    #[diesel(sql_type = Text)]
    pub sha256: String,
    /// One of [`STATUSES`].
    #[diesel(sql_type = Text)]
    pub status: String,
    /// Per cent.
    #[diesel(sql_type = SmallInt)]
    pub processing_progress: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub step: Option<String>,
    #[diesel(sql_type = Integer)]
    pub pages_done: i32,
    #[diesel(sql_type = Nullable<Integer>)]
    pub page_count: Option<i32>,
    /// Attempts since it was last asked for.
    #[diesel(sql_type = SmallInt)]
    pub attempt: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub error_message: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub retryable: Option<bool>,
    #[diesel(sql_type = Array<Integer>)]
    pub error_pages: Vec<i32>,
    #[diesel(sql_type = Array<Integer>)]
    pub pages_without_text: Vec<i32>,
    #[diesel(sql_type = Nullable<Text>)]
    pub language: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub title: Option<String>,
    #[diesel(sql_type = Integer)]
    pub total_chunks: i32,
    /// Code points of its text.
    #[diesel(sql_type = BigInt)]
    pub total_chars: i64,
    #[diesel(sql_type = Integer)]
    pub total_tokens: i32,
    #[diesel(sql_type = Bool)]
    pub has_macros: bool,
    #[diesel(sql_type = Nullable<Text>)]
    pub parser: Option<String>,
    #[diesel(sql_type = Jsonb)]
    #[schema(value_type = Object)]
    pub doc_metadata: Value,
    #[diesel(sql_type = Timestamptz)]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub processing_started_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub processing_completed_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "d.uid::text AS document_id, \
    (SELECT parent.uid::text FROM documents AS parent WHERE parent.id = d.parent_id AND parent.deleted_at IS NULL) AS parent_id, \
    d.filename, d.original_filename, d.mime_type, d.file_size, encode(d.sha256, 'hex') AS sha256, d.status, d.processing_progress, \
    d.step, d.pages_done, d.page_count, d.process_attempts AS attempt, d.error_code, d.error_message, d.retryable, d.error_pages, \
    d.pages_without_text, d.language, d.title, d.total_chunks, d.total_chars, d.total_tokens, d.has_macros, d.parser, d.doc_metadata, \
    d.created_at, d.updated_at, d.processing_started_at, d.processing_completed_at";

/// How long a document that waits, or is worked on, may yet take.
#[derive(Clone, Debug, Default, PartialEq, QueryableByName)]
struct Outlook {
    /// Its place among those of its tenant that wait, from 1; at most 1,001, which is that or more.
    #[diesel(sql_type = Nullable<BigInt>)]
    queue_position: Option<i64>,
    /// What the last documents of its tenant and lane took, in seconds: the median.
    #[diesel(sql_type = Nullable<Double>)]
    usual_seconds: Option<f64>,
    /// Since its attempt began.
    #[diesel(sql_type = Nullable<Double>)]
    elapsed_seconds: Option<f64>,
    /// Documents of its tenant that are worked at a time.
    #[diesel(sql_type = SmallInt)]
    at_a_time: i16,
}

impl Outlook {
    /// Seconds to go, as far as it can be told.
    fn seconds(&self, document: &Document) -> Option<i64> {
        let seconds = match document.status.as_str() {
            "queued" => {
                let position = f64::from(i32::try_from(self.queue_position?).ok()?);
                (position / f64::from(self.at_a_time.max(1))).ceil() * self.usual_seconds?
            }
            "processing" => {
                let elapsed = self.elapsed_seconds?;
                let (done, all) = (document.pages_done, document.page_count.unwrap_or(0));
                if done > 0 && all >= done {
                    elapsed * f64::from(all - done) / f64::from(done)
                } else {
                    self.usual_seconds? - elapsed
                }
            }
            _ => return None,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "bounded right before; of a fraction, nothing is left"
        )]
        let whole = seconds.clamp(1.0, 1e9).ceil() as i64;
        Some(whole)
    }
}

/// Why a document failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = DocumentFailure)]
pub struct Failure {
    /// Of a closed set.
    pub code: String,
    pub message: String,
    /// Whether trying again can help.
    pub retryable: bool,
    /// The pages concerned.
    pub pages: Vec<i32>,
}

/// How far a document is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = DocumentStatus)]
pub struct Status {
    pub document_id: String,
    pub filename: String,
    /// One of [`STATUSES`].
    pub status: String,
    /// Per cent.
    pub progress: i16,
    /// The same as the clients of task queues know it: `PENDING`, `PROCESSING`, `SUCCESS`, `FAILURE` or `REVOKED`.
    pub task_state: &'static str,
    /// The same in words.
    pub message: String,
    pub total_chunks: i32,
    pub ready: bool,
    pub step: Option<String>,
    pub pages_done: i32,
    pub page_count: Option<i32>,
    pub attempt: i16,
    /// Its place among those of its tenant that wait, from 1; of the first thousand.
    pub queue_position: Option<i64>,
    /// Seconds to go, where that can be told from what the last ones took.
    pub eta_seconds: Option<i64>,
    pub error: Option<Failure>,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: DateTime<Utc>,
}

/// Positions in a queue that are told apart.
const LONGEST_QUEUE: i64 = 1_000;

impl Status {
    /// Without a look at the queue.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        Self::with(document, &Outlook::default())
    }

    fn with(document: &Document, outlook: &Outlook) -> Self {
        let queue_position = outlook.queue_position;
        Self {
            document_id: document.document_id.clone(),
            filename: document.filename.clone(),
            status: document.status.clone(),
            progress: document.processing_progress,
            task_state: task_state(&document.status),
            message: message(document, queue_position),
            total_chunks: document.total_chunks,
            ready: document.status == "ready",
            step: document.step.clone(),
            pages_done: document.pages_done,
            page_count: document.page_count,
            attempt: document.attempt,
            queue_position: queue_position.filter(|position| *position <= LONGEST_QUEUE),
            eta_seconds: outlook.seconds(document),
            error: failure(document),
            updated_at: document.updated_at,
        }
    }
}

/// The state of the task, in the words of the task queue that clients knew before.
#[must_use]
pub fn task_state(status: &str) -> &'static str {
    match status {
        "queued" => "PENDING",
        "processing" => "PROCESSING",
        "ready" => "SUCCESS",
        "cancelled" => "REVOKED",
        _ => "FAILURE",
    }
}

fn message(document: &Document, queue_position: Option<i64>) -> String {
    match document.status.as_str() {
        "queued" => match queue_position {
            Some(1) => "Waiting: it is next of yours".to_owned(),
            Some(position) if position <= LONGEST_QUEUE => {
                format!("Waiting: {} of yours before it", position - 1)
            }
            _ => "Waiting".to_owned(),
        },
        "processing" => match (document.step.as_deref(), document.page_count) {
            (Some("fetch"), _) => "Opening the file".to_owned(),
            (Some("store"), _) => "Storing its text".to_owned(),
            (_, Some(all)) => format!("Reading: {} of {all} pages", document.pages_done),
            (_, None) => "Reading".to_owned(),
        },
        "ready" if document.pages_without_text.is_empty() => "Ready".to_owned(),
        "ready" => format!(
            "Ready; {} of its pages have no text",
            document.pages_without_text.len()
        ),
        "cancelled" => "Cancelled".to_owned(),
        _ => document
            .error_message
            .clone()
            .unwrap_or_else(|| "It could not be read".to_owned()),
    }
}

fn failure(document: &Document) -> Option<Failure> {
    (document.status == "failed").then(|| Failure {
        code: document
            .error_code
            .clone()
            .unwrap_or_else(|| "internal".to_owned()),
        message: message(document, None),
        retryable: document.retryable.unwrap_or(true),
        pages: document.error_pages.clone(),
    })
}

/// The document of this name.
///
/// # Errors
/// Whatever the database answers.
pub async fn document(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> QueryResult<Option<Document>> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        one(conn, tenant, uid).await
    })
    .await
}

async fn one(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> QueryResult<Option<Document>> {
    statement(&format!(
        "SELECT {COLUMNS} FROM documents AS d WHERE d.tenant_id = $1 AND d.uid = $2::uuid AND d.deleted_at IS NULL"
    ))
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(uid.as_str())
    .get_result(conn)
    .await
    .optional()
}

/// How far the document of this name is.
///
/// # Errors
/// Whatever the database answers.
pub async fn status(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> QueryResult<Option<Status>> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        let Some(document) = one(conn, tenant, uid).await? else {
            return Ok(None);
        };
        let is_under_way = matches!(document.status.as_str(), "queued" | "processing");
        let outlook = if is_under_way {
            statement(include_str!("read/outlook.sql"))
                .bind::<BigInt, _>(tenant)
                .bind::<Text, _>(uid.as_str())
                .bind::<BigInt, _>(LONGEST_QUEUE)
                .get_result(conn)
                .await
                .optional()?
                .unwrap_or_default()
        } else {
            Outlook::default()
        };
        Ok(Some(Status::with(&document, &outlook)))
    })
    .await
}

/// Where a list goes on: behind this document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    created_at: DateTime<Utc>,
    uid: Uid,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.timestamp_micros(), self.uid)
    }
}

/// What is no cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor is none that an answer gave")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (micros, uid) = text.split_once('.').ok_or(NoCursor)?;
        let created_at = micros
            .parse()
            .ok()
            .and_then(DateTime::from_timestamp_micros)
            .filter(|at| (1_970..=9_999).contains(&chrono::Datelike::year(at)))
            .ok_or(NoCursor)?;
        let uid = uid.parse().map_err(|NoUid| NoCursor)?;
        Ok(Self { created_at, uid })
    }
}

/// Documents of a list, at most.
pub const LONGEST_LIST: i64 = 200;

/// Documents, newest first: of this status, or of all, behind the cursor. And where it goes on, if it does.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    status: Option<&str>,
    cursor: Option<&Cursor>,
    limit: i64,
) -> QueryResult<(Vec<Document>, Option<Cursor>)> {
    let limit = limit.clamp(1, LONGEST_LIST);
    let mut documents: Vec<Document> = conn
        .transaction::<_, DieselError, _>(async |conn| {
            scope::enter(conn, tenant).await?;
            statement(&format!(
                "SELECT {COLUMNS} FROM documents AS d WHERE d.tenant_id = $1 AND d.deleted_at IS NULL AND ($2 IS NULL OR d.status = $2) \
                 AND ($3 IS NULL OR (d.created_at, d.id) < ($3, \
                     coalesce((SELECT last.id FROM documents AS last WHERE last.tenant_id = $1 AND last.uid = $4::uuid), 0))) \
                 ORDER BY d.created_at DESC, d.id DESC LIMIT $5"
            ))
            .bind::<BigInt, _>(tenant)
            .bind::<Nullable<Text>, _>(status)
            .bind::<Nullable<Timestamptz>, _>(cursor.map(|cursor| cursor.created_at))
            .bind::<Nullable<Text>, _>(cursor.map(|cursor| cursor.uid.as_str()))
            .bind::<BigInt, _>(limit + 1)
            .load(conn)
            .await
        })
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let goes_on = documents.len() > limit;
    documents.truncate(limit);
    let last = documents.last().filter(|_| goes_on);
    let next = last.and_then(|last| {
        Some(Cursor {
            created_at: last.created_at,
            uid: last.document_id.parse().ok()?,
        })
    });
    Ok((documents, next))
}

/// Of these documents those that are there.
///
/// # Errors
/// Whatever the database answers.
pub async fn some(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uids: &[String],
) -> QueryResult<Vec<Document>> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        statement(&format!(
            "SELECT {COLUMNS} FROM documents AS d WHERE d.tenant_id = $1 AND d.uid = ANY ($2::uuid[]) AND d.deleted_at IS NULL"
        ))
        .bind::<BigInt, _>(tenant)
        .bind::<Array<Text>, _>(uids)
        .load(conn)
        .await
    })
    .await
}

/// Where a document's file is.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Stored {
    /// The tenant's uid.
    #[diesel(sql_type = Text)]
    pub tenant: String,
    #[diesel(sql_type = Binary)]
    pub sha256: Vec<u8>,
    #[diesel(sql_type = Text)]
    pub filename: String,
    #[diesel(sql_type = Text)]
    pub mime_type: String,
}

/// Where the file of this document is.
///
/// # Errors
/// Whatever the database answers.
pub async fn stored(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &Uid,
) -> QueryResult<Option<Stored>> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        statement(
            "SELECT tenant.uid::text AS tenant, d.sha256, d.filename, d.mime_type \
             FROM documents AS d JOIN tenant ON tenant.id = d.tenant_id \
             WHERE d.tenant_id = $1 AND d.uid = $2::uuid AND d.deleted_at IS NULL",
        )
        .bind::<BigInt, _>(tenant)
        .bind::<Text, _>(uid.as_str())
        .get_result(conn)
        .await
        .optional()
    })
    .await
}

/// What a tenant has, and may have.
#[derive(Clone, Debug, PartialEq, Serialize, QueryableByName, ToSchema)]
#[schema(as = TenantUsage)]
pub struct Usage {
    /// The tenant's uid.
    #[diesel(sql_type = Text)]
    pub tenant: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = BigInt)]
    pub quota_bytes: i64,
    #[diesel(sql_type = BigInt)]
    pub used_bytes: i64,
    /// Of uploads under way.
    #[diesel(sql_type = BigInt)]
    pub reserved_bytes: i64,
    #[diesel(sql_type = BigInt)]
    pub total_documents: i64,
    #[diesel(sql_type = BigInt)]
    pub total_chunks: i64,
    #[diesel(sql_type = BigInt)]
    pub total_pages: i64,
    /// How many there are of each status.
    #[diesel(sql_type = Jsonb)]
    #[schema(value_type = Object)]
    pub documents_by_status: Value,
    #[diesel(sql_type = Timestamptz)]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: DateTime<Utc>,
}

/// What the tenant has; `None` if there is no such tenant.
///
/// # Errors
/// Whatever the database answers.
pub async fn usage(conn: &mut AsyncPgConnection, tenant: TenantId) -> QueryResult<Option<Usage>> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        statement(include_str!("read/usage.sql"))
            .bind::<BigInt, _>(tenant)
            .get_result(conn)
            .await
            .optional()
    })
    .await
}

/// How long the document that has waited longest has done so, in seconds; `None` if none waits. Of all tenants: for health checks.
///
/// # Errors
/// Whatever the database answers.
pub async fn oldest_wait(conn: &mut AsyncPgConnection) -> QueryResult<Option<f64>> {
    #[derive(QueryableByName)]
    struct Oldest {
        #[diesel(sql_type = Nullable<Double>)]
        seconds: Option<f64>,
    }
    let oldest: Oldest = statement(
        "SELECT extract(epoch FROM now() - min(process_due_at))::double precision AS seconds FROM documents \
         WHERE process_status = 'Queued' AND process_due_at <= now()",
    )
    .get_result(conn)
    .await?;
    Ok(oldest.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_and_cursors_are_taken_as_they_are_given_and_nothing_else() {
        let uid: Uid = "0B7E9A52-1d2c-4e3f-8a9b-0c1d2e3f4a5b"
            .parse()
            .expect("a uid");
        assert_eq!(uid.as_str(), "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b");
        for wrong in [
            "",
            "1",
            "0b7e9a521d2c4e3f8a9b0c1d2e3f4a5b",
            "{0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b}",
            "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5g",
            "0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4aé",
        ] {
            assert_eq!(wrong.parse::<Uid>(), Err(NoUid), "{wrong}");
        }
        let cursor = format!("1700000000000001.{uid}");
        let parsed: Cursor = cursor.parse().expect("a cursor");
        assert_eq!(parsed.to_string(), cursor);
        for wrong in [
            "",
            ".",
            "1",
            "x.y",
            "9223372036854775807.0b7e9a52-1d2c-4e3f-8a9b-0c1d2e3f4a5b",
        ] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NoCursor), "{wrong}");
        }
    }
}
