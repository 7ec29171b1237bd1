//! People who come from an identity provider, and the tenants that they are.
//!
//! A provider says of some fields, which came by way of the browser, who it is that they speak of. Whoever comes for the first time
//! becomes the tenant `PROVIDER:SUBJECT`, made by then or by an operator before.

mod telegram;

use std::collections::BTreeMap;

use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Bool, Jsonb, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use serde_json::Value;

use self::telegram::Telegram;
use super::config::Documents;
use super::scope::TenantId;
use super::tenant;
use crate::db::statement::sql_query;

/// What a provider said, field by field.
pub type Fields = BTreeMap<String, String>;

/// Somebody at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who it is there: a word (see `session::is_word`), and always the same for the same person.
    pub subject: String,
    /// What else is told of them: an object.
    pub profile: Value,
}

/// Why fields are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disbelief {
    /// They are not of the form that the provider gives them.
    Malformed,
    /// The provider has not signed them.
    Unsigned,
    /// It did so too long ago, or at a time yet to come.
    Stale,
}

/// Whoever can tell who somebody is.
pub trait IdentityProvider: Send + Sync {
    /// Its name in addresses and in the database: a word.
    fn name(&self) -> &'static str;

    /// Where a browser goes to be told who is in front of it; it comes back to `back`, an address of the page at `origin`.
    fn address(&self, origin: &str, back: &str) -> String;

    /// Who it is that these fields speak of; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`Disbelief`].
    fn judge(&self, fields: &Fields, now: i64) -> Result<Person, Disbelief>;
}

/// Those that the configuration has something to judge by.
#[must_use]
pub fn providers(config: &Documents) -> Vec<Box<dyn IdentityProvider>> {
    let telegram = Telegram::new(config.telegram_bot_token.expose());
    telegram
        .map(|telegram| Box::new(telegram) as Box<dyn IdentityProvider>)
        .into_iter()
        .collect()
}

/// How a login came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Tenant(TenantId),
    /// The tenant is shut out.
    Disabled,
    /// There is no such tenant, and nobody may become one.
    Unknown,
}

#[derive(QueryableByName)]
struct Entered {
    #[diesel(sql_type = BigInt)]
    tenant_id: TenantId,
    #[diesel(sql_type = Bool)]
    is_disabled: bool,
}

/// The tenant that somebody is; made, with this quota, if there is none and `may_sign_up`.
///
/// # Errors
/// Whatever the database answers.
pub async fn enter(
    conn: &mut AsyncPgConnection,
    provider: &str,
    person: &Person,
    may_sign_up: bool,
    quota_bytes: i64,
) -> QueryResult<Entry> {
    conn.transaction::<_, DieselError, _>(async |conn| {
        if let Some(entry) = seen(conn, provider, person).await? {
            return Ok(entry);
        }
        let name = format!("{provider}:{}", person.subject);
        if may_sign_up {
            // Whoever is first: somebody else's row is waited for, and is the same.
            tenant::create(conn, &name, quota_bytes).await?;
        }
        let Some(tenant) = tenant::find(conn, &name).await? else {
            return Ok(Entry::Unknown);
        };
        sql_query(
            "INSERT INTO tenant_identity (provider, subject, tenant_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind::<Text, _>(provider)
        .bind::<Text, _>(&person.subject)
        .bind::<BigInt, _>(tenant.id)
        .execute(conn)
        .await?;
        let entry = seen(conn, provider, person).await?;
        Ok(entry.unwrap_or(Entry::Unknown))
    })
    .await
}

/// The tenant that somebody was before; takes note of their coming.
async fn seen(
    conn: &mut AsyncPgConnection,
    provider: &str,
    person: &Person,
) -> QueryResult<Option<Entry>> {
    let entered: Option<Entered> = sql_query(
        "UPDATE tenant_identity SET last_seen_at = now(), profile = $3 FROM tenant \
         WHERE tenant.id = tenant_id AND provider = $1 AND subject = $2 \
         RETURNING tenant_id, disabled_at IS NOT NULL AS is_disabled",
    )
    .bind::<Text, _>(provider)
    .bind::<Text, _>(&person.subject)
    .bind::<Jsonb, _>(&person.profile)
    .get_result(conn)
    .await
    .optional()?;
    Ok(entered.map(|entered| {
        if entered.is_disabled {
            Entry::Disabled
        } else {
            Entry::Tenant(entered.tenant_id)
        }
    }))
}
