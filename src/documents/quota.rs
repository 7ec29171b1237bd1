//! A tenant's bytes: set aside before the first of them is kept, and counted once they are.
//!
//! What is set aside stands in the tenant's row, and beside it whose it is: a row of `reservation` for an upload in one piece, the row
//! of `upload` for a resumable one. Both are changed in one transaction, so their sum is the tenant's `reserved_bytes`, and
//! what a process that died had set aside is found and given back. Every decision is one conditional UPDATE: of any number of uploads
//! that race for the last bytes, as many win as fit.
//!
//! The order of locks, for all that changes documents: documents, uploads and reservations, then the tenant, then its blobs.

use diesel::sql_types::{BigInt, Integer, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;

use super::scope::TenantId;
use crate::db::statement::statement;

/// Why something is not taken in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The tenant's files would take more than its quota.
    #[error("the storage quota is used up: {free} of {quota} bytes are left")]
    Quota { free: i64, quota: i64 },
    /// As many documents wait as may.
    #[error("{0} documents wait already, which is as many as may; try again when some are done")]
    Queue(i32),
    /// What was set aside was given back in the meantime: the upload had been taken for dead.
    #[error("the upload took too long and was given up; send it again")]
    Lapsed,
    /// The file that was stored has been taken away before it could be counted.
    #[error("the file could not be stored; send it again")]
    Vanished,
    /// The place for files.
    #[error("the storage does not take the file")]
    Storage(#[source] std::io::Error),
    /// The database.
    #[error("the database does not answer")]
    Database(#[from] diesel::result::Error),
}

#[derive(QueryableByName)]
struct Room {
    #[diesel(sql_type = Integer)]
    max_queued: i32,
}

/// Sets bytes of the tenant's quota aside, and has its row locked until the end of the transaction.
async fn set_aside(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    bytes: i64,
) -> Result<i32, Refusal> {
    let room: Option<Room> = statement(
        "UPDATE tenant SET reserved_bytes = reserved_bytes + $2 \
         WHERE id = $1 AND disabled_at IS NULL AND used_bytes + reserved_bytes + $2 <= quota_bytes RETURNING max_queued",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<BigInt, _>(bytes)
    .get_result(conn)
    .await
    .optional()?;
    match room {
        Some(room) => Ok(room.max_queued),
        None => Err(full(conn, tenant).await?),
    }
}

/// The refusal for want of room.
pub(super) async fn full(conn: &mut AsyncPgConnection, tenant: TenantId) -> QueryResult<Refusal> {
    #[derive(QueryableByName)]
    struct Left {
        #[diesel(sql_type = BigInt)]
        free: i64,
        #[diesel(sql_type = BigInt)]
        quota_bytes: i64,
    }
    let left: Left = statement(
        "SELECT greatest(quota_bytes - used_bytes - reserved_bytes, 0) AS free, quota_bytes FROM tenant WHERE id = $1",
    )
    .bind::<BigInt, _>(tenant)
    .get_result(conn)
    .await?;
    Ok(Refusal::Quota {
        free: left.free,
        quota: left.quota_bytes,
    })
}

/// Refuses if as many documents wait as may, those on their way included. Under the lock of the tenant's row, so that it is exact.
async fn check_queue(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    most: i32,
) -> Result<(), Refusal> {
    #[derive(QueryableByName)]
    struct Waiting {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let waiting: Waiting = statement(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM documents \
             WHERE tenant_id = $1 AND process_status = 'Queued' AND deleted_at IS NULL LIMIT $2) AS queued) \
             + (SELECT count(*) FROM upload WHERE tenant_id = $1 AND document_id IS NULL) \
             + (SELECT count(*) FROM reservation WHERE tenant_id = $1) AS count",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<BigInt, _>(i64::from(most))
    .get_result(conn)
    .await?;
    if waiting.count >= i64::from(most) {
        return Err(Refusal::Queue(most));
    }
    Ok(())
}

/// Sets bytes aside for an upload in one piece, and tells the name of the reservation. In a transaction of the tenant's.
///
/// # Errors
/// [`Refusal::Quota`], [`Refusal::Queue`], [`Refusal::Database`].
pub async fn reserve(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    bytes: i64,
) -> Result<String, Refusal> {
    #[derive(QueryableByName)]
    struct Made {
        #[diesel(sql_type = Text)]
        id: String,
    }
    let max_queued = set_aside(conn, tenant, bytes).await?;
    check_queue(conn, tenant, max_queued).await?;
    let made: Made = statement(
        "INSERT INTO reservation (tenant_id, bytes, expires_at) VALUES ($1, $2, now() + interval '15 minutes') RETURNING id::text AS id",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<BigInt, _>(bytes)
    .get_result(conn)
    .await?;
    Ok(made.id)
}

/// Sets more aside for the same, and keeps it for another while; with no bytes, does that alone. In a transaction of the tenant's.
///
/// # Errors
/// [`Refusal::Quota`], [`Refusal::Lapsed`], [`Refusal::Database`].
pub async fn grow(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &str,
    bytes: i64,
) -> Result<(), Refusal> {
    let kept = statement(
        "UPDATE reservation SET bytes = bytes + $3, expires_at = now() + interval '15 minutes' WHERE tenant_id = $1 AND id = $2::uuid",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(id)
    .bind::<BigInt, _>(bytes)
    .execute(conn)
    .await?;
    if kept == 0 {
        return Err(Refusal::Lapsed);
    }
    if bytes > 0 {
        set_aside(conn, tenant, bytes).await?;
    }
    Ok(())
}

/// Gives all of it back. In a transaction of the tenant's.
///
/// # Errors
/// [`Refusal::Lapsed`] if it was given back already.
pub async fn refund(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    id: &str,
) -> Result<(), Refusal> {
    let given_back = statement(
        "WITH gone AS (DELETE FROM reservation WHERE tenant_id = $1 AND id = $2::uuid RETURNING bytes) \
         UPDATE tenant SET reserved_bytes = reserved_bytes - gone.bytes FROM gone WHERE tenant.id = $1",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(id)
    .execute(conn)
    .await?;
    if given_back == 0 {
        return Err(Refusal::Lapsed);
    }
    Ok(())
}

/// Sets the length of a resumable upload aside; its row is the caller's to make, in the same transaction.
///
/// # Errors
/// [`Refusal::Quota`], [`Refusal::Queue`], [`Refusal::Database`].
pub async fn announce(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    length: i64,
) -> Result<(), Refusal> {
    let max_queued = set_aside(conn, tenant, length).await?;
    check_queue(conn, tenant, max_queued).await
}

/// Gives back what a resumable upload had set aside, for its writer, who sees to its row in the same transaction.
///
/// # Errors
/// [`Refusal::Lapsed`] if it is not there any more, or somebody else writes to it.
pub(super) async fn release(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    upload: &str,
    writer: &str,
) -> Result<(), Refusal> {
    let given_back = statement(
        "WITH held AS (SELECT length FROM upload \
             WHERE tenant_id = $1 AND id = $2::uuid AND writer = $3::uuid AND document_id IS NULL FOR UPDATE) \
         UPDATE tenant SET reserved_bytes = reserved_bytes - held.length FROM held WHERE tenant.id = $1",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(upload)
    .bind::<Text, _>(writer)
    .execute(conn)
    .await?;
    if given_back == 0 {
        return Err(Refusal::Lapsed);
    }
    Ok(())
}

/// Counts bytes that are stored for good, if they fit; says whether they did.
pub(super) async fn charge_if_it_fits(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    bytes: i64,
) -> QueryResult<bool> {
    let charged = statement(
        "UPDATE tenant SET used_bytes = used_bytes + $2 WHERE id = $1 AND used_bytes + reserved_bytes + $2 <= quota_bytes",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<BigInt, _>(bytes)
    .execute(conn)
    .await?;
    Ok(charged == 1)
}

/// Gives bytes back that are stored no more.
pub(super) async fn discharge(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    bytes: i64,
) -> QueryResult<()> {
    statement("UPDATE tenant SET used_bytes = used_bytes - $2 WHERE id = $1")
        .bind::<BigInt, _>(tenant)
        .bind::<BigInt, _>(bytes)
        .execute(conn)
        .await?;
    Ok(())
}

/// Locks the tenant's row until the end of the transaction, and tells how many of its documents may wait.
pub(super) async fn lock(conn: &mut AsyncPgConnection, tenant: TenantId) -> QueryResult<i32> {
    let room: Room = statement("SELECT max_queued FROM tenant WHERE id = $1 FOR NO KEY UPDATE")
        .bind::<BigInt, _>(tenant)
        .get_result(conn)
        .await?;
    Ok(room.max_queued)
}

/// Lets one more document wait that is there already. In a transaction of the tenant's.
///
/// # Errors
/// [`Refusal::Queue`], [`Refusal::Database`].
pub(super) async fn admit(conn: &mut AsyncPgConnection, tenant: TenantId) -> Result<(), Refusal> {
    let max_queued = lock(conn, tenant).await?;
    check_queue(conn, tenant, max_queued).await
}
