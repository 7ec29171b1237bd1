//! API keys: how tenants' programs say who they are.
//!
//! A key is 32 random bytes, shown once. What is stored is its SHA-256: for a random key nothing slower is needed.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::scope::TenantId;
use crate::db::statement::{sql_query, statement};
use crate::secret::Secret;

/// What every key begins with, so that it is known where it is found.
pub const PREFIX: &str = "gld_";
/// The longest name of one, in characters.
pub const LONGEST_NAME: usize = 100;
/// For how many days one may be made.
pub const TERMS: RangeInclusive<u32> = 1..=36_500;

/// What a key, or a session, may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = KeyScope)]
pub enum Scope {
    /// Look, search, download.
    Read,
    /// Upload, change and delete as well.
    Write,
}

impl Scope {
    /// As the database has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Whose a key is, and what it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub tenant: TenantId,
    pub scope: Scope,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    tenant_id: i64,
    #[diesel(sql_type = Text)]
    scope: String,
    #[diesel(sql_type = Text)]
    uid: String,
}

impl Found {
    fn holder(&self) -> Holder {
        Holder {
            tenant: self.tenant_id,
            scope: if self.scope == Scope::Write.as_str() {
                Scope::Write
            } else {
                Scope::Read
            },
        }
    }
}

/// The key of which this holds, if it works; takes note of its use once a minute.
macro_rules! found {
    ($by:literal) => {
        concat!(
            "WITH found AS ( \
                 SELECT api_key.id, api_key.uid, tenant_id, scope, last_used_at FROM api_key JOIN tenant ON tenant.id = tenant_id \
                 WHERE ",
            $by,
            " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND disabled_at IS NULL \
             ), noted AS ( \
                 UPDATE api_key SET last_used_at = now() FROM found \
                 WHERE api_key.id = found.id AND (found.last_used_at IS NULL OR found.last_used_at < now() - interval '1 minute') \
             ) SELECT tenant_id, scope, uid::text AS uid FROM found"
        )
    };
}

/// A new key.
///
/// # Errors
/// When the system has no random bytes.
pub fn generate() -> Result<Secret, rand::rand_core::OsError> {
    Secret::random(PREFIX)
}

/// What is stored of a key.
#[must_use]
pub fn hash(key: &str) -> Vec<u8> {
    digest(&SHA256, key.as_bytes()).as_ref().to_vec()
}

/// Who comes with this key; nobody, if it is unknown, revoked or expired, or its tenant is shut out. Takes note of its use once a minute.
///
/// # Errors
/// Whatever the database answers.
pub async fn find(conn: &mut AsyncPgConnection, key: &str) -> QueryResult<Option<Holder>> {
    let found = find_named(conn, key).await?;
    Ok(found.map(|(holder, _uid)| holder))
}

/// The same, and the key's uid.
///
/// # Errors
/// As [`find`].
pub async fn find_named(
    conn: &mut AsyncPgConnection,
    key: &str,
) -> QueryResult<Option<(Holder, String)>> {
    let found: Option<Found> = statement(found!("digest = $1"))
        .bind::<Binary, _>(&hash(key))
        .get_result(conn)
        .await
        .optional()?;
    Ok(found.map(|found| (found.holder(), found.uid)))
}

/// Who holds the key with this uid, on the same conditions.
///
/// # Errors
/// Whatever the database answers; also when it is no uuid.
pub async fn find_by_uid(conn: &mut AsyncPgConnection, uid: &str) -> QueryResult<Option<Holder>> {
    let found: Option<Found> = statement(found!("api_key.uid = $1::text::uuid"))
        .bind::<Text, _>(uid)
        .get_result(conn)
        .await
        .optional()?;
    Ok(found.map(|found| found.holder()))
}

/// Stores a key of this tenant, and tells its name.
///
/// # Errors
/// Whatever the database answers.
pub async fn store(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    key: &Secret,
    name: &str,
    scope: Scope,
    expires_at: Option<DateTime<Utc>>,
) -> QueryResult<String> {
    #[derive(QueryableByName)]
    struct Stored {
        #[diesel(sql_type = Text)]
        uid: String,
    }
    let stored: Stored = sql_query(
        "INSERT INTO api_key (tenant_id, name, digest, scope, expires_at) VALUES ($1, $2, $3, $4, $5) RETURNING uid::text AS uid",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(name)
    .bind::<Binary, _>(&hash(key.expose()))
    .bind::<Text, _>(scope.as_str())
    .bind::<Nullable<Timestamptz>, _>(expires_at)
    .get_result(conn)
    .await?;
    Ok(stored.uid)
}

/// The same for so many days from now; for ever without.
///
/// # Errors
/// Whatever the database answers.
pub async fn store_for(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    key: &Secret,
    name: &str,
    scope: Scope,
    days: Option<u32>,
) -> QueryResult<String> {
    #[derive(QueryableByName)]
    struct Ends {
        #[diesel(sql_type = Nullable<Timestamptz>)]
        at: Option<DateTime<Utc>>,
    }
    let days = days.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
    let ends: Ends = sql_query("SELECT now() + make_interval(days => $1) AS at")
        .bind::<Nullable<Integer>, _>(days)
        .get_result(conn)
        .await?;
    store(conn, tenant, key, name, scope, ends.at).await
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName, ToSchema)]
#[schema(as = TenantKey)]
pub struct Known {
    #[diesel(sql_type = Text)]
    pub id: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = Text)]
    pub scope: String,
    #[diesel(sql_type = Timestamptz)]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The keys of a tenant, oldest first, those that work no more included.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(conn: &mut AsyncPgConnection, tenant: TenantId) -> QueryResult<Vec<Known>> {
    sql_query(
        "SELECT uid::text AS id, name, scope, created_at, expires_at, last_used_at, revoked_at \
         FROM api_key WHERE tenant_id = $1 ORDER BY api_key.id",
    )
    .bind::<BigInt, _>(tenant)
    .load(conn)
    .await
}

/// Has a key of this tenant work no more, from the next request on. Whether there is one of this name; once revoked it stays so.
///
/// # Errors
/// Whatever the database answers.
pub async fn revoke(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    uid: &str,
) -> QueryResult<bool> {
    // PostgreSQL knows no such text.
    if uid.contains('\0') {
        return Ok(false);
    }
    let revoked = sql_query(
        "UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE tenant_id = $1 AND uid::text = lower($2)",
    )
    .bind::<BigInt, _>(tenant)
    .bind::<Text, _>(uid)
    .execute(conn)
    .await?;
    Ok(revoked == 1)
}
