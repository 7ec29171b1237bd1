//! Tenants: whose documents they are.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::Serialize;

use super::scope::TenantId;
use crate::db::statement::sql_query;

/// A tenant as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName)]
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
    /// Since when it is shut out.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

const COLUMNS: &str =
    "id, uid::text AS uid, name, quota_bytes, used_bytes, reserved_bytes, disabled_at, created_at";

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

/// All of them, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Tenant>> {
    sql_query(format!("SELECT {COLUMNS} FROM tenant ORDER BY name"))
        .load(conn)
        .await
}
