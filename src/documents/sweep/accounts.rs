//! Tenants' accounts, reconciled with what there is: bytes used, bytes set aside, references to files.
//!
//! They are kept exact by the transactions that change them, so a difference is a fault, of the program or of who wrote to its tables.
//! It is put right, told, and shown as a metric. A tenant's row is locked while its account is taken: whoever changes what is
//! counted changes that row, too, or the blob's, in the same transaction.

use diesel::sql_types::{BigInt, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde::Serialize;

use crate::db::statement::sql_query;
use crate::documents::metrics;

/// An account that was off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName)]
pub struct Account {
    /// The tenant's uid.
    #[diesel(sql_type = Text)]
    pub tenant: String,
    #[diesel(sql_type = Text)]
    pub name: String,
    /// As it stood, and as it is.
    #[diesel(sql_type = BigInt)]
    pub used_was: i64,
    #[diesel(sql_type = BigInt)]
    pub used: i64,
    #[diesel(sql_type = BigInt)]
    pub reserved_was: i64,
    #[diesel(sql_type = BigInt)]
    pub reserved: i64,
    /// Files whose references were miscounted.
    #[diesel(sql_type = BigInt)]
    pub files: i64,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Documents that refer to a file, as they are.
const REFERENCES: &str = "(SELECT count(*) FROM documents WHERE documents.tenant_id = blob.tenant_id \
    AND documents.sha256 = blob.sha256 AND deleted_at IS NULL)";

/// Reconciles all accounts, and returns those that were off. With `is_trial` nothing is written.
///
/// # Errors
/// Whatever the database answers.
pub async fn reconcile(conn: &mut AsyncPgConnection, is_trial: bool) -> QueryResult<Vec<Account>> {
    let tenants: Vec<Id> = sql_query("SELECT id FROM tenant ORDER BY id")
        .load(conn)
        .await?;
    let mut off = Vec::new();
    for Id { id } in tenants {
        let account = conn
            .transaction::<_, diesel::result::Error, _>(async |conn| one(conn, id, is_trial).await)
            .await?;
        off.extend(account);
    }
    if !is_trial {
        let drift = off.iter().map(|account| {
            (account.used_was - account.used).abs()
                + (account.reserved_was - account.reserved).abs()
        });
        metrics::drift(drift.sum());
    }
    Ok(off)
}

async fn one(
    conn: &mut AsyncPgConnection,
    id: i64,
    is_trial: bool,
) -> QueryResult<Option<Account>> {
    // What is counted below is seen by statements that begin after the locks are had.
    sql_query("SELECT 1 FROM tenant WHERE id = $1 FOR NO KEY UPDATE")
        .bind::<BigInt, _>(id)
        .execute(conn)
        .await?;
    sql_query(format!(
        "SELECT 1 FROM blob WHERE tenant_id = $1 AND refs <> {REFERENCES} ORDER BY sha256 FOR UPDATE"
    ))
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await?;
    // The bytes are summed over what the references are to be.
    let account: Option<Account> = sql_query(format!(
        "WITH counted AS MATERIALIZED (SELECT sha256, bytes, refs, {REFERENCES} AS actual FROM blob WHERE tenant_id = $1), \
              actual AS (SELECT coalesce(sum(bytes) FILTER (WHERE actual > 0), 0)::bigint AS used, \
                  count(*) FILTER (WHERE refs <> actual) AS files FROM counted), \
              aside AS (SELECT (coalesce((SELECT sum(length) FROM upload WHERE tenant_id = $1 AND document_id IS NULL), 0) \
                  + coalesce((SELECT sum(bytes) FROM reservation WHERE tenant_id = $1), 0))::bigint AS reserved) \
         SELECT uid::text AS tenant, name, used_bytes AS used_was, actual.used, reserved_bytes AS reserved_was, aside.reserved, actual.files \
         FROM tenant, actual, aside \
         WHERE id = $1 AND (used_bytes <> actual.used OR reserved_bytes <> aside.reserved OR actual.files > 0)"
    ))
    .bind::<BigInt, _>(id)
    .get_result(conn)
    .await
    .optional()?;
    let account = match account {
        Some(account) if !is_trial => account,
        account => return Ok(account),
    };
    sql_query(
        "UPDATE tenant SET used_bytes = $2, reserved_bytes = $3, updated_at = now() WHERE id = $1",
    )
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(account.used)
    .bind::<BigInt, _>(account.reserved)
    .execute(conn)
    .await?;
    sql_query(format!(
        "UPDATE blob SET refs = {REFERENCES} WHERE tenant_id = $1 AND refs <> {REFERENCES}"
    ))
    .bind::<BigInt, _>(id)
    .execute(conn)
    .await?;
    Ok(Some(account))
}
