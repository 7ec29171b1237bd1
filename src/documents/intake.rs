//! Intake: how a file becomes a document.
//!
//! bytes → `Draft` (written and hashed as they come, its beginning looked at, the tenant's quota set aside before) → [`keep`]
//! (the file is there for good) → [`settle`] (one transaction: what was set aside becomes what is used, the document is there and
//! queued). Whatever ends it in between gives back exactly what was set aside, and takes the draft away; a process that dies leaves
//! a reservation, a draft or a file that nothing refers to, all of which the sweeper takes. A document that was answered for is
//! never lost: its row and its place in the queue are one.
//!
//! The same bytes twice are one file, charged once, and as a rule one document.

mod draft;
mod kind;
mod name;

use std::sync::LazyLock;

use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};

use super::blob::{Blobs, Key, Sha256};
use super::quota;
use super::quota::Refusal;
use super::scope;
use super::scope::TenantId;
use crate::db::statement::statement;
use crate::store::stage::{Group, Request};

pub use draft::{Draft, Whole};
pub use kind::{HEAD, Head, of as kind_of};
pub use name::{clean as clean_name, renamed};

/// The stage of the documents.
pub const STAGE: Group = Group::new("documents", "process");

/// Files below these sizes are in the lanes 0 and 1; all others in 2.
const LANES: [i64; 2] = [2 << 20, 20 << 20];

/// A file that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub sha256: Sha256,
    pub bytes: i64,
    /// Its media type, by what it holds.
    pub mime: String,
}

/// What a document was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub id: i64,
    pub tenant: TenantId,
    /// How many documents it was in itself, one in the other.
    pub depth: i16,
}

/// How a file is to become a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// As it was sent.
    pub name: String,
    /// A new document, also where the tenant has one of the same bytes.
    pub allows_duplicate: bool,
    /// Two uploads with the same key are one.
    pub idempotency_key: Option<String>,
}

/// What was set aside for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    /// By this reservation.
    Reservation(String),
    /// By this resumable upload, which learns what it became.
    Upload { id: String, writer: String },
}

/// What an upload came to.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Accepted {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// Its name towards its tenant.
    #[diesel(sql_type = Text)]
    pub uid: String,
    #[diesel(sql_type = Text)]
    pub filename: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    /// It was there before.
    #[diesel(sql_type = Bool)]
    pub is_duplicate: bool,
}

/// What became of an attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// This document.
    Document(i64),
    /// None, for a reason.
    Skipped(&'static str),
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    STAGE.ask(
        "INSERT INTO documents (tenant_id, parent_id, depth, filename, original_filename, mime_type, file_size, sha256, lane, {columns}) \
         SELECT tenant.id, $2, $3, $4, $5, $6, $7, $8, $9, {values} FROM tenant WHERE tenant.id = $1 \
         RETURNING id, uid::text AS uid, filename, status, false AS is_duplicate",
        &[
            Request::Queue,
            Request::Prioritise("(tenant.tier * 10 - $9 * 3)::smallint"),
        ],
    )
});

const FIND_BY_KEY: &str = "SELECT documents.id, uid::text AS uid, filename, status, true AS is_duplicate \
     FROM idempotency JOIN documents ON documents.id = document_id \
     WHERE idempotency.tenant_id = $1 AND key = $2 AND documents.tenant_id = $1 AND deleted_at IS NULL";

const FIND_SAME: &str = "SELECT id, uid::text AS uid, filename, status, true AS is_duplicate FROM documents \
     WHERE tenant_id = $1 AND sha256 = $2 AND parent_id IS NOT DISTINCT FROM $3 AND deleted_at IS NULL ORDER BY id LIMIT 1";

/// The document that an idempotency key stands for already. In a transaction of the tenant's.
///
/// # Errors
/// Whatever the database answers.
pub async fn find_by_key(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    key: &str,
) -> QueryResult<Option<Accepted>> {
    statement(FIND_BY_KEY)
        .bind::<BigInt, _>(tenant)
        .bind::<Text, _>(key)
        .get_result(conn)
        .await
        .optional()
}

/// Makes a whole draft the tenant's file.
///
/// # Errors
/// [`Refusal::Storage`].
pub async fn keep(
    blobs: &dyn Blobs,
    tenant_uid: &str,
    whole: Whole,
    mime: &str,
) -> Result<Kept, Refusal> {
    let kept = Kept {
        sha256: whole.sha256,
        bytes: i64::try_from(whole.bytes)
            .map_err(|error| Refusal::Storage(std::io::Error::other(error)))?,
        mime: mime.to_owned(),
    };
    let key = Key {
        tenant: tenant_uid.to_owned(),
        sha256: kept.sha256,
    };
    whole.keep(blobs, &key).await.map_err(Refusal::Storage)?;
    Ok(kept)
}

/// Makes a file that is kept, and for which bytes were set aside, a document that is queued; or finds the one that it is already. All in
/// one transaction of its own. On failure nothing has changed: what was set aside is still the caller's to give back.
///
/// # Errors
/// [`Refusal::Lapsed`], [`Refusal::Vanished`], [`Refusal::Quota`] where more came than was set aside, [`Refusal::Database`].
pub async fn settle(
    conn: &mut AsyncPgConnection,
    blobs: &dyn Blobs,
    tenant: TenantId,
    tenant_uid: &str,
    kept: &Kept,
    wish: &Wish,
    aside: &Aside,
) -> Result<Accepted, Refusal> {
    conn.transaction::<_, Refusal, _>(async |conn| {
        scope::enter(conn, tenant).await?;
        match aside {
            Aside::Reservation(id) => quota::refund(conn, tenant, id).await?,
            Aside::Upload { id, writer } => quota::release(conn, tenant, id, writer).await?,
        }
        let accepted = insert(conn, tenant, kept, wish, None).await?;
        if let Aside::Upload { id, .. } = aside {
            complete(conn, tenant, id, accepted.id).await?;
        }
        // Its row is locked by us: a sweeper that had the file removed had to be done before.
        let key = Key {
            tenant: tenant_uid.to_owned(),
            sha256: kept.sha256,
        };
        if blobs.holds(&key).await.map_err(Refusal::Storage)? {
            Ok(accepted)
        } else {
            Err(Refusal::Vanished)
        }
    })
    .await
}

/// A resumable upload has become this document.
async fn complete(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &str,
    document: i64,
) -> QueryResult<()> {
    statement(
        "UPDATE upload SET document_id = $3, received = length, writer = NULL, writer_until = NULL \
         WHERE tenant_id = $1 AND id = $2::uuid",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(id)
    .bind::<BigInt, _>(document)
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes a kept file that was attached to a document a document of its own, in whatever transaction this is: against the same quota, and
/// one document however often the other is worked.
///
/// # Errors
/// Whatever the database answers. What the tenant has no room for is skipped, and no error.
pub async fn attach(
    conn: &mut AsyncPgConnection,
    parent: Parent,
    kept: &Kept,
    name: &str,
) -> QueryResult<Attached> {
    if parent.depth >= DEEPEST {
        return Ok(Attached::Skipped("it is in too many others"));
    }
    quota::lock(conn, parent.tenant).await?;
    let wish = Wish {
        name: name.to_owned(),
        ..Wish::default()
    };
    match insert(conn, parent.tenant, kept, &wish, Some(parent)).await {
        Ok(accepted) => Ok(Attached::Document(accepted.id)),
        Err(Refusal::Database(error)) => Err(error),
        Err(_full) => Ok(Attached::Skipped("the storage quota is used up")),
    }
}

/// How many documents one may be in, one in the other.
const DEEPEST: i16 = 3;

/// The document of a file; under the lock of the tenant's row.
async fn insert(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    kept: &Kept,
    wish: &Wish,
    parent: Option<Parent>,
) -> Result<Accepted, Refusal> {
    if let Some(key) = &wish.idempotency_key
        && let Some(known) = find_by_key(conn, tenant, key).await?
    {
        return Ok(known);
    }
    if !wish.allows_duplicate {
        let same: Option<Accepted> = statement(FIND_SAME)
            .bind::<BigInt, _>(tenant)
            .bind::<Binary, _>(kept.sha256.as_slice())
            .bind::<Nullable<BigInt>, _>(parent.map(|parent| parent.id))
            .get_result(conn)
            .await
            .optional()?;
        if let Some(same) = same {
            remember(conn, tenant, wish, same.id).await?;
            return Ok(same);
        }
    }
    if refer(conn, tenant, kept).await? == 1
        && !quota::charge_if_it_fits(conn, tenant, kept.bytes).await?
    {
        return Err(quota::full(conn, tenant).await?);
    }
    let lane = LANES.iter().filter(|most| kept.bytes >= **most).count();
    let name = clean_name(&wish.name);
    let accepted: Accepted = statement(&INSERT)
        .bind::<BigInt, _>(tenant)
        .bind::<Nullable<BigInt>, _>(parent.map(|parent| parent.id))
        .bind::<SmallInt, _>(parent.map_or(0, |parent| parent.depth + 1))
        .bind::<Text, _>(name.as_str())
        .bind::<Text, _>(name.as_str())
        .bind::<Text, _>(kept.mime.as_str())
        .bind::<BigInt, _>(kept.bytes)
        .bind::<Binary, _>(kept.sha256.as_slice())
        .bind::<SmallInt, _>(i16::try_from(lane).unwrap_or(i16::MAX))
        .get_result(conn)
        .await?;
    remember(conn, tenant, wish, accepted.id).await?;
    Ok(accepted)
}

/// One document more refers to these bytes; tells how many do.
async fn refer(conn: &mut AsyncPgConnection, tenant: TenantId, kept: &Kept) -> QueryResult<i32> {
    #[derive(QueryableByName)]
    struct Refs {
        #[diesel(sql_type = Integer)]
        refs: i32,
    }
    let refs: Refs = statement(
        "INSERT INTO blob AS known (tenant_id, sha256, bytes, refs) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (tenant_id, sha256) DO UPDATE SET refs = known.refs + 1, released_at = NULL RETURNING refs",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Binary, _>(kept.sha256.as_slice())
    .bind::<BigInt, _>(kept.bytes)
    .get_result(conn)
    .await?;
    Ok(refs.refs)
}

async fn remember(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    wish: &Wish,
    document: i64,
) -> QueryResult<()> {
    let Some(key) = &wish.idempotency_key else {
        return Ok(());
    };
    // One that stands for a deleted document stands for this from now on.
    statement(
        "INSERT INTO idempotency (tenant_id, key, document_id) VALUES ($1, $2, $3) \
         ON CONFLICT (tenant_id, key) DO UPDATE SET document_id = excluded.document_id, created_at = now()",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(key.as_str())
    .bind::<BigInt, _>(document)
    .execute(conn)
    .await?;
    Ok(())
}
