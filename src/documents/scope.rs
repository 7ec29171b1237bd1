//! Whom a transaction serves.
//!
//! Row-level security decides by the setting `gleaner.tenant` and the role `gleaner_tenant` what a transaction sees. All that is done
//! on behalf of a tenant begins with [`enter`]; what is the program's own work (claims, processing, sweeps) does not.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;

use crate::db::statement::statement;

/// Key of a tenant.
pub type TenantId = i64;

/// The role of whoever serves a tenant.
pub const ROLE: &str = "gleaner_tenant";

/// Both hold until the end of the transaction. Where there is no such role, the setting alone decides, by the policy that holds for
/// everybody; `gleaner doctor` tells of it.
const ENTER: &str = "SELECT set_config('gleaner.tenant', $1::text, true) AS tenant, \
    (SELECT set_config('role', rolname, true) FROM pg_roles WHERE rolname = $2) AS role";

#[derive(QueryableByName)]
struct Entered {
    #[diesel(sql_type = Text)]
    tenant: String,
}

/// From here to the end of the transaction only this tenant's rows are there. The first statement of every transaction on its behalf.
///
/// # Errors
/// Whatever the database answers.
pub async fn enter(conn: &mut AsyncPgConnection, tenant: TenantId) -> QueryResult<()> {
    let entered: Entered = statement(ENTER)
        .bind::<BigInt, _>(tenant)
        .bind::<Text, _>(ROLE)
        .get_result(conn)
        .await?;
    debug_assert_eq!(entered.tenant, tenant.to_string());
    Ok(())
}
