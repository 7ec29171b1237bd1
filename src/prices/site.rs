//! Sites, as operators set them: what of a site is theirs to say.

use crate::db::statement::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
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
    /// Whether the scripts of its pages may POST to its own hosts.
    #[diesel(sql_type = Bool)]
    pub render_post: bool,
    /// Hosts of its own under other domains.
    #[diesel(sql_type = Array<Text>)]
    pub render_hosts: Vec<String>,
    /// The currency of prices that name none.
    #[diesel(sql_type = Nullable<Text>)]
    pub currency: Option<String>,
    /// Its pages that are tracked.
    #[diesel(sql_type = BigInt)]
    pub urls: i64,
}

/// What is to be changed of a site; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change<'a> {
    /// Whether it is crawled at all.
    pub enabled: Option<bool>,
    /// Whether its pages need a browser.
    pub render: Option<bool>,
    /// Whether the scripts of its pages may POST to its own hosts.
    pub render_post: Option<bool>,
    /// Hosts of its own under other domains: all of them, in place of those before.
    pub render_hosts: Option<&'a [String]>,
    /// The currency of prices that name none (ISO 4217).
    pub currency: Option<&'a str>,
}

/// All sites, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Site>> {
    sql_query(
        "SELECT domain, enabled, render, render_post, render_hosts, currency, (SELECT count(*) FROM product_url WHERE site_id = site.id AND is_active) AS urls \
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
        "INSERT INTO site AS own (domain, enabled, render, currency, render_post, render_hosts) \
         VALUES ($1, coalesce($2, true), coalesce($3, false), $4, coalesce($5, false), coalesce($6, '{}')) \
         ON CONFLICT (domain) DO UPDATE SET enabled = coalesce($2, own.enabled), render = coalesce($3, own.render), \
             currency = coalesce($4, own.currency), render_post = coalesce($5, own.render_post), \
             render_hosts = coalesce($6, own.render_hosts)",
    )
    .bind::<Text, _>(domain)
    .bind::<Nullable<Bool>, _>(change.enabled)
    .bind::<Nullable<Bool>, _>(change.render)
    .bind::<Nullable<Text>, _>(change.currency)
    .bind::<Nullable<Bool>, _>(change.render_post)
    .bind::<Nullable<Array<Text>>, _>(change.render_hosts)
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
