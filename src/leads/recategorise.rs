//! Pages whose category is decided anew, in batches by key.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Float, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;

use super::import::PAGES;
use crate::store::stage::Request;

/// A stored page, as far as the rules look at it.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct StoredPage {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// Its normalised address.
    #[diesel(sql_type = Text)]
    pub url: String,
}

/// What the rules make of a page now.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The page.
    pub id: i64,
    /// What it is likely to be.
    pub page_type: &'static str,
    /// The rule that says so.
    pub rule: &'static str,
    /// How sure it is, from 0 to 1.
    pub confidence: f32,
    /// Segments in the path.
    pub path_depth: i16,
    /// `queue`, `keep` or `filter`.
    pub disposition: &'static str,
}

/// Pages that changed alike.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Changed {
    /// Their category before.
    #[diesel(sql_type = Text)]
    pub old_type: String,
    /// Their category now; the same where only the rule, its confidence or version is another.
    #[diesel(sql_type = Text)]
    pub new_type: String,
    /// What else happened: `queued` (Selected, to be fetched), `filtered`, `freed` (no longer filtered), `kept`.
    #[diesel(sql_type = Text)]
    pub effect: String,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub pages: i64,
}

/// The domain of this canonical host, if it is stored.
///
/// # Errors
/// Whatever the database answers.
pub async fn domain_id(conn: &mut AsyncPgConnection, host: &str) -> QueryResult<Option<i64>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let row: Option<Row> = sql_query("SELECT id FROM domain WHERE domain = $1")
        .bind::<Text, _>(host)
        .get_result(conn)
        .await
        .optional()?;
    Ok(row.map(|row| row.id))
}

/// The next pages after a key, of one domain or of all; by the primary key, or that of the domain's addresses.
///
/// # Errors
/// Whatever the database answers.
pub async fn pages_after(
    conn: &mut AsyncPgConnection,
    after: i64,
    domain: Option<i64>,
    limit: i64,
) -> QueryResult<Vec<StoredPage>> {
    sql_query(
        "SELECT id, url FROM page WHERE id > $1 AND ($2 IS NULL OR domain_id = $2) ORDER BY id LIMIT $3",
    )
    .bind::<BigInt, _>(after)
    .bind::<Nullable<BigInt>, _>(domain)
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await
}

/// Stores decisions, and says what they changed.
///
/// What a person decided stays: only pages that are still New, and not in hand, are queued or filtered.
///
/// # Errors
/// Whatever the database answers.
pub async fn store(
    conn: &mut AsyncPgConnection,
    decisions: &[Decision],
    rules_version: i16,
    advance: bool,
) -> QueryResult<Vec<Changed>> {
    let text = |get: fn(&Decision) -> &'static str| -> Vec<&'static str> {
        decisions.iter().map(get).collect()
    };
    let requests = [
        Request::PrioritiseIf {
            condition: "effect = 'queued'",
            priority: "1",
        },
        Request::Filter {
            condition: "effect = 'filtered'",
            reason: "decided.rule",
            freed: Some("effect IN ('queued', 'freed')"),
        },
    ];
    sql_query(PAGES.ask(include_str!("recategorise.sql"), &requests))
        .bind::<Array<BigInt>, _>(decisions.iter().map(|page| page.id).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(text(|page| page.page_type))
        .bind::<Array<Text>, _>(text(|page| page.rule))
        .bind::<Array<Float>, _>(
            decisions
                .iter()
                .map(|page| page.confidence)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<SmallInt>, _>(
            decisions
                .iter()
                .map(|page| page.path_depth)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(text(|page| page.disposition))
        .bind::<SmallInt, _>(rules_version)
        .bind::<Bool, _>(advance)
        .load(conn)
        .await
}
