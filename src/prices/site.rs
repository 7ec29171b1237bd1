//! Sites, as operators set them: what of a site is theirs to say.

use crate::db::statement::sql_query;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::Serialize;

/// A site as `gleaner site list` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, QueryableByName)]
pub struct Site {
    /// Its registrable domain.
    #[diesel(sql_type = Text)]
    pub domain: String,
    /// Whether it is crawled at all.
    #[diesel(sql_type = Bool)]
    pub enabled: bool,
    /// Whether its pages need a browser.
    #[diesel(sql_type = Bool)]
    pub render: bool,
    /// The currency of prices that name none.
    #[diesel(sql_type = Nullable<Text>)]
    pub currency: Option<String>,
    /// Its pages that are tracked.
    #[diesel(sql_type = BigInt)]
    pub urls: i64,
}

/// What is to be changed of a site; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// Whether it is crawled at all.
    pub enabled: Option<bool>,
    /// Whether its pages need a browser.
    pub render: Option<bool>,
    /// The currency of prices that name none (ISO 4217).
    pub currency: Option<&'a str>,
}

/// All sites, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Site>> {
    sql_query(
        "SELECT domain, enabled, render, currency, (SELECT count(*) FROM product_url WHERE site_id = site.id AND is_active) AS urls \
         FROM site ORDER BY domain",
    )
    .load(conn)
    .await
}

/// Changes a site. One that is not known yet is stored, so that what is set holds from its first page on.
///
/// # Errors
/// Whatever the database answers.
pub async fn set(
    conn: &mut AsyncPgConnection,
    domain: &str,
    change: &Change<'_>,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO site AS own (domain, enabled, render, currency) \
         VALUES ($1, coalesce($2, true), coalesce($3, false), $4) \
         ON CONFLICT (domain) DO UPDATE SET enabled = coalesce($2, own.enabled), render = coalesce($3, own.render), \
             currency = coalesce($4, own.currency)",
    )
    .bind::<Text, _>(domain)
    .bind::<Nullable<Bool>, _>(change.enabled)
    .bind::<Nullable<Bool>, _>(change.render)
    .bind::<Nullable<Text>, _>(change.currency)
    .execute(conn)
    .await?;
    Ok(())
}

/// How many sites that are crawled need a browser.
///
/// # Errors
/// Whatever the database answers.
pub async fn rendered(conn: &mut AsyncPgConnection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        sites: i64,
    }
    let count: Count = sql_query("SELECT count(*) AS sites FROM site WHERE render AND enabled")
        .get_result(conn)
        .await?;
    Ok(count.sites)
}
