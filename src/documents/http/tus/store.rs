//! Resumable uploads in the database. Each function in a transaction of the tenant's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Double, Jsonb, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::db::statement::{seconds, statement};
use crate::documents::blob::Sha256;
use crate::documents::document::Uid;
use crate::documents::intake::{Kept, Wish, clean_name};
use crate::documents::scope::TenantId;

/// What was asked for with an upload, and what is known of its file once that is whole: the column `options`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Options {
    allows_duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    /// In hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime: Option<String>,
}

/// One that was announced.
#[derive(QueryableByName)]
pub(super) struct Made {
    #[diesel(sql_type = Text)]
    pub(super) id: String,
    #[diesel(sql_type = Timestamptz)]
    pub(super) expires_at: DateTime<Utc>,
}

/// How far one is.
#[derive(QueryableByName)]
pub(super) struct Found {
    #[diesel(sql_type = BigInt)]
    pub(super) length: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) received: i64,
    #[diesel(sql_type = Timestamptz)]
    pub(super) expires_at: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    pub(super) is_expired: bool,
    /// The name of the document that it became.
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) document: Option<String>,
}

/// One that a request may write to.
#[derive(QueryableByName)]
pub(super) struct Written {
    /// The request.
    #[diesel(sql_type = Text)]
    pub(super) writer: String,
    #[diesel(sql_type = BigInt)]
    pub(super) length: i64,
    #[diesel(sql_type = Text)]
    pub(super) filename: String,
    #[diesel(sql_type = Jsonb)]
    options: Value,
}

/// What a writer tells.
pub(super) struct Saving<'a> {
    pub(super) writer: &'a str,
    pub(super) received: i64,
    pub(super) expiry: Duration,
    /// For how long it is alive without another word; `None` when it writes no more.
    pub(super) holds: Option<Duration>,
}

impl Written {
    fn options(&self) -> Options {
        // Written by ourselves.
        serde_json::from_value(self.options.clone()).unwrap_or_default()
    }

    pub(super) fn wish(&self) -> Wish {
        let options = self.options();
        Wish {
            name: self.filename.clone(),
            allows_duplicate: options.allows_duplicate,
            idempotency_key: options.idempotency_key,
        }
    }

    /// The file, if it was whole before.
    pub(super) fn kept(&self) -> Option<Kept> {
        let options = self.options();
        Some(Kept {
            sha256: parse(&options.sha256?)?,
            bytes: self.length,
            mime: options.mime?,
        })
    }
}

fn parse(text: &str) -> Option<Sha256> {
    let mut sha256 = Sha256::default();
    if text.len() != 2 * sha256.len() {
        return None;
    }
    for (at, byte) in sha256.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(sha256)
}

/// Announces one, for which as much is set aside.
pub(super) async fn create(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    length: i64,
    wish: &Wish,
    expiry: Duration,
) -> QueryResult<Made> {
    let options = Options {
        allows_duplicate: wish.allows_duplicate,
        idempotency_key: wish.idempotency_key.clone(),
        ..Options::default()
    };
    statement(
        "INSERT INTO upload (tenant_id, length, filename, options, expires_at) \
         VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5)) RETURNING id::text AS id, expires_at",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<BigInt, _>(length)
    .bind::<Text, _>(clean_name(&wish.name))
    .bind::<Jsonb, _>(json(&options)?)
    .bind::<Double, _>(seconds(expiry))
    .get_result(conn)
    .await
}

fn json(options: &Options) -> QueryResult<Value> {
    serde_json::to_value(options)
        .map_err(|error| diesel::result::Error::SerializationError(error.into()))
}

pub(super) async fn find(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &Uid,
) -> QueryResult<Option<Found>> {
    statement(
        "SELECT upload.length, upload.received, upload.expires_at, upload.expires_at <= now() AS is_expired, \
         (SELECT uid::text FROM documents WHERE documents.id = upload.document_id) AS document \
         FROM upload WHERE upload.tenant_id = $1 AND upload.id = $2::uuid",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(id.as_str())
    .get_result(conn)
    .await
    .optional()
}

/// Has a request write to it from this byte on, unless another does, or it is elsewhere.
pub(super) async fn begin(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &Uid,
    offset: i64,
    expiry: Duration,
) -> QueryResult<Option<Written>> {
    statement(
        "UPDATE upload SET writer = gen_random_uuid(), writer_until = now() + interval '15 seconds', \
             expires_at = now() + make_interval(secs => $4) \
         WHERE tenant_id = $1 AND id = $2::uuid AND received = $3 AND document_id IS NULL AND expires_at > now() \
             AND (writer IS NULL OR writer_until < now()) \
         RETURNING writer::text AS writer, length, filename, options",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(id.as_str())
    .bind::<BigInt, _>(offset)
    .bind::<Double, _>(seconds(expiry))
    .get_result(conn)
    .await
    .optional()
}

/// Notes how much is stored, and tells when the upload expires now; `None` if somebody else writes to it, or it is gone.
pub(super) async fn save(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &Uid,
    saving: &Saving<'_>,
) -> QueryResult<Option<DateTime<Utc>>> {
    #[derive(QueryableByName)]
    struct Saved {
        #[diesel(sql_type = Timestamptz)]
        expires_at: DateTime<Utc>,
    }
    let saved: Option<Saved> = statement(
        "UPDATE upload SET received = $4, expires_at = now() + make_interval(secs => $5), \
             writer = CASE WHEN $6 IS NOT NULL THEN writer END, writer_until = now() + make_interval(secs => $6) \
         WHERE tenant_id = $1 AND id = $2::uuid AND writer = $3::uuid AND document_id IS NULL RETURNING expires_at",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(id.as_str())
    .bind::<Text, _>(saving.writer)
    .bind::<BigInt, _>(saving.received)
    .bind::<Double, _>(seconds(saving.expiry))
    .bind::<Nullable<Double>, _>(saving.holds.map(seconds))
    .get_result(conn)
    .await
    .optional()?;
    Ok(saved.map(|saved| saved.expires_at))
}

/// Notes what the file is, now that it is whole, for whoever comes again before it is a document; whether this request still writes.
pub(super) async fn note(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &Uid,
    writer: &str,
    kept: &Kept,
) -> QueryResult<bool> {
    let sha256 = kept.sha256.iter().map(|byte| format!("{byte:02x}"));
    let options = Options {
        sha256: Some(sha256.collect()),
        mime: Some(kept.mime.clone()),
        ..Options::default()
    };
    let mut known = json(&options)?;
    if let Some(known) = known.as_object_mut() {
        known.remove("allows_duplicate");
    }
    let noted = statement(
        "UPDATE upload SET received = length, options = options || $4 \
         WHERE tenant_id = $1 AND id = $2::uuid AND writer = $3::uuid AND document_id IS NULL",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(id.as_str())
    .bind::<Text, _>(writer)
    .bind::<Jsonb, _>(known)
    .execute(conn)
    .await?;
    Ok(noted == 1)
}

/// Gives one up and back what it had set aside: whoever writes to it, or only if this request does. Whether there was one.
pub(super) async fn give_up(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &Uid,
    writer: Option<&str>,
) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Gone {
        #[diesel(sql_type = BigInt)]
        set_aside: i64,
    }
    let gone: Option<Gone> = statement(
        "DELETE FROM upload WHERE tenant_id = $1 AND id = $2::uuid AND ($3::uuid IS NULL OR writer = $3::uuid) \
         RETURNING CASE WHEN document_id IS NULL THEN length ELSE 0 END AS set_aside",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(id.as_str())
    .bind::<Nullable<Text>, _>(writer)
    .get_result(conn)
    .await
    .optional()?;
    let Some(gone) = gone else {
        return Ok(false);
    };
    statement("UPDATE tenant SET reserved_bytes = reserved_bytes - $2 WHERE id = $1")
        .bind::<BigInt, _>(tenant)
        .bind::<BigInt, _>(gone.set_aside)
        .execute(conn)
        .await?;
    Ok(true)
}
