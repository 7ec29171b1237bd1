//! Tenants: whose documents they are.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::key;
use super::key::Scope;
use super::scope::TenantId;
use crate::db::statement::{sql_query, statement};
use crate::secret::Secret;

/// What quotas may be, in bytes.
pub const QUOTAS: RangeInclusive<i64> = 0..=1 << 50;
/// What names may be.
pub const NAMES: &str = "a tenant's name has 1 to 100 characters";

/// A tenant as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName, ToSchema)]
pub struct Tenant {
    #[diesel(sql_type = BigInt)]
    #[serde(skip)]
    pub id: TenantId,
    /// Its name towards others.
    #[diesel(sql_type = Text)]
    pub uid: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    #[diesel(sql_type = BigInt)]
    pub quota_bytes: i64,
    #[diesel(sql_type = BigInt)]
    pub used_bytes: i64,
    #[diesel(sql_type = BigInt)]
    pub reserved_bytes: i64,
    /// Documents of its that are worked at a time.
    #[diesel(sql_type = SmallInt)]
    pub max_running: i16,
    /// Documents of its that may wait.
    #[diesel(sql_type = Integer)]
    pub max_queued: i32,
    /// The documents of higher tiers come first.
    #[diesel(sql_type = SmallInt)]
    pub tier: i16,
    /// Since when it is shut out.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    #[schema(value_type = String, format = DateTime)]
    pub created_at: DateTime<Utc>,
}

const COLUMNS: &str = "id, uid::text AS uid, name, quota_bytes, used_bytes, reserved_bytes, max_running, max_queued, tier, disabled_at, created_at";

/// What is changed of a tenant; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = TenantChange)]
pub struct Change {
    pub quota_bytes: Option<i64>,
    pub tier: Option<i16>,
    pub max_running: Option<i16>,
    pub max_queued: Option<i32>,
    /// Whether it is shut out: none of its keys works, and what it sends is not taken.
    pub disabled: Option<bool>,
}

impl Change {
    /// Says what cannot be.
    ///
    /// # Errors
    /// In words.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_out = |value: Option<i64>, range: RangeInclusive<i64>| {
            value.is_some_and(|value| !range.contains(&value))
        };
        if is_out(self.quota_bytes, QUOTAS) {
            return Err("quota_bytes is 0 to 1 PiB");
        }
        if is_out(self.tier.map(i64::from), 0..=100) {
            return Err("tier is 0 to 100");
        }
        if is_out(self.max_running.map(i64::from), 1..=1_000) {
            return Err("max_running is 1 to 1000");
        }
        if is_out(self.max_queued.map(i64::from), 0..=i64::from(i32::MAX)) {
            return Err("max_queued is 0 or more");
        }
        if *self == Self::default() {
            return Err(
                "say what to change: quota_bytes, tier, max_running, max_queued or disabled",
            );
        }
        Ok(())
    }
}

/// The name of a tenant, if this can be one.
#[must_use]
pub fn name(given: &str) -> Option<&str> {
    let name = given.trim();
    let fits = (1..=100).contains(&name.chars().count()) && !name.contains('\0');
    fits.then_some(name)
}

/// Changes one.
///
/// # Errors
/// Whatever the database answers.
pub async fn change(
    conn: &mut AsyncPgConnection,
    tenant: TenantId,
    change: &Change,
) -> QueryResult<Tenant> {
    sql_query(format!(
        "UPDATE tenant SET quota_bytes = coalesce($2, quota_bytes), tier = coalesce($3, tier), \
             max_running = coalesce($4, max_running), max_queued = coalesce($5, max_queued), \
             disabled_at = CASE WHEN $6 THEN coalesce(disabled_at, now()) WHEN NOT $6 THEN NULL ELSE disabled_at END \
         WHERE id = $1 RETURNING {COLUMNS}"
    ))
    .bind::<BigInt, _>(tenant)
    .bind::<Nullable<BigInt>, _>(change.quota_bytes)
    .bind::<Nullable<SmallInt>, _>(change.tier)
    .bind::<Nullable<SmallInt>, _>(change.max_running)
    .bind::<Nullable<Integer>, _>(change.max_queued)
    .bind::<Nullable<Bool>, _>(change.disabled)
    .get_result(conn)
    .await
}

/// Creates one with its first key, which may do all. `None` if there is one of this name.
///
/// # Errors
/// Whatever the database answers.
pub async fn create_with_key(
    conn: &mut AsyncPgConnection,
    name: &str,
    quota_bytes: i64,
    secret: &Secret,
) -> QueryResult<Option<Tenant>> {
    conn.transaction::<_, diesel::result::Error, _>(async |conn| {
        let Some(created) = create(conn, name, quota_bytes).await? else {
            return Ok(None);
        };
        key::store(conn, created.id, secret, "", Scope::Write, None).await?;
        Ok(Some(created))
    })
    .await
}

/// Creates one. `None` if there is one of this name.
///
/// # Errors
/// Whatever the database answers.
pub async fn create(
    conn: &mut AsyncPgConnection,
    name: &str,
    quota_bytes: i64,
) -> QueryResult<Option<Tenant>> {
    sql_query(format!(
        "INSERT INTO tenant (name, quota_bytes) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING {COLUMNS}"
    ))
    .bind::<Text, _>(name)
    .bind::<BigInt, _>(quota_bytes)
    .get_result(conn)
    .await
    .optional()
}

/// The one of this name, or with this uid.
///
/// # Errors
/// Whatever the database answers.
pub async fn find(conn: &mut AsyncPgConnection, name: &str) -> QueryResult<Option<Tenant>> {
    // PostgreSQL knows no such text.
    if name.contains('\0') {
        return Ok(None);
    }
    sql_query(format!(
        "SELECT {COLUMNS} FROM tenant WHERE name = $1 OR uid::text = lower($1)"
    ))
    .bind::<Text, _>(name)
    .get_result(conn)
    .await
    .optional()
}

/// The one with this key.
///
/// # Errors
/// Whatever the database answers.
pub async fn by_id(conn: &mut AsyncPgConnection, id: TenantId) -> QueryResult<Option<Tenant>> {
    sql_query(format!("SELECT {COLUMNS} FROM tenant WHERE id = $1"))
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await
        .optional()
}

/// Its name towards others, by its key. In a transaction of its own, too.
///
/// # Errors
/// Whatever the database answers.
pub async fn uid(conn: &mut AsyncPgConnection, tenant: TenantId) -> QueryResult<String> {
    #[derive(QueryableByName)]
    struct Named {
        #[diesel(sql_type = Text)]
        uid: String,
    }
    let named: Named = statement("SELECT uid::text AS uid FROM tenant WHERE id = $1")
        .bind::<BigInt, _>(tenant)
        .get_result(conn)
        .await?;
    Ok(named.uid)
}

/// Whether there are any: where there are none, nobody uses documents.
///
/// # Errors
/// Whatever the database answers.
pub async fn are_any(conn: &mut AsyncPgConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Bool)]
        are_any: bool,
    }
    let row: Row = statement("SELECT EXISTS (SELECT FROM tenant) AS are_any")
        .get_result(conn)
        .await?;
    Ok(row.are_any)
}

/// All of them, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Tenant>> {
    sql_query(format!("SELECT {COLUMNS} FROM tenant ORDER BY name"))
        .load(conn)
        .await
}
