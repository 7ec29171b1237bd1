//! What imports write: sitemaps, their children and their pages, as far as the budgets go.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Float, Integer, Nullable, SmallInt, Text, Timestamptz,
};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use gleaner_extract::category::{self, Disposition};
use url::Url;

use super::super::address_key::stored_key;
use super::super::sitemap_budget::{Measure, Purse, Stop};
use super::{Child, Import, Known, Listed, STORE_PAGES, SizeBefore, Stored, host_of, signed};
use crate::db::connect::{CHECKS_PLANNED_EACH, CHECKS_PLANNED_ONCE};
use crate::db::statement::{sql_query, statement};
use crate::workflow::ItemId;

/// Rows written by one statement.
const INSERT_ROWS: usize = 5_000;

/// What one sitemap is and lists, as far as its budgets go.
pub(super) async fn import(
    conn: &mut AsyncPgConnection,
    id: ItemId,
    import: &Import,
    purse: &mut Purse<'_>,
    advance: bool,
) -> QueryResult<()> {
    let before = import.stop;
    if let Some(stop) = before {
        purse.stop_in(stop.scope, stop.measure);
    }
    let of_children = store_children(conn, id, import, purse, advance).await?;
    let of_pages = store_pages(conn, id, import, purse, advance).await?;
    let stop = of_children.or(of_pages).or(before);
    let stopped_by = stop
        .map(Stop::name)
        .or_else(|| import.limit.map(str::to_owned));
    let size: SizeBefore = statement(include_str!("store.sql"))
        .bind::<BigInt, _>(id)
        .bind::<Nullable<Text>, _>(import.kind)
        .bind::<Nullable<Integer>, _>(
            import
                .urls
                .map(|urls| i32::try_from(urls).unwrap_or(i32::MAX)),
        )
        .bind::<Nullable<BigInt>, _>(import.bytes.map(signed))
        .bind::<Nullable<Bool>, _>(import.is_gzipped)
        .bind::<Bool, _>(import.is_truncated || stop.is_some())
        .bind::<Nullable<Text>, _>(stopped_by)
        .bind::<Nullable<Integer>, _>(
            import
                .foreign
                .map(|own| i32::try_from(own).unwrap_or(i32::MAX)),
        )
        .bind::<Bool, _>(import.was_read)
        .get_result(conn)
        .await?;
    if let Some(bytes) = import.bytes {
        purse.add(Measure::Bytes, signed(bytes) - size.size_before);
    }
    Ok(())
}

/// The sitemaps that an index names: those that are new, as far as the budgets of files and hosts go.
async fn store_children(
    conn: &mut AsyncPgConnection,
    parent: ItemId,
    import: &Import,
    purse: &mut Purse<'_>,
    advance: bool,
) -> QueryResult<Option<Stop>> {
    if import.children.is_empty() {
        return Ok(None);
    }
    let keys: Vec<&str> = import.children.iter().map(|own| own.key.as_str()).collect();
    let known = known_keys(conn, "sitemap_file", import.domain_id, &keys).await?;
    let fresh = import
        .children
        .iter()
        .filter(|own| !known.contains(&own.key));
    let room = usize::try_from(purse.room(Measure::Files)).unwrap_or(usize::MAX);
    let (mut taken, mut taken_keys, mut stop) = (Vec::new(), Vec::new(), None);
    for Child { url, key, .. } in fresh {
        if taken.len() >= room {
            stop = Some(purse.stop(Measure::Files));
            break;
        }
        let host = Url::parse(url).ok().map(|url| host_of(&url).to_owned());
        match purse.take_host(&host.unwrap_or_default()) {
            Ok(()) => {
                taken.push(url.as_str());
                taken_keys.push(stored_key(key));
            }
            Err(full) => stop = Some(full),
        }
    }
    let stored = sql_query(
        "INSERT INTO sitemap_file (domain_id, url, url_key, discovery_method, parent_id, depth, status) \
         SELECT $1, url, url_key, 'sitemap_index', $2, $3, CASE WHEN $5 THEN 'Selected' ELSE 'New' END \
         FROM (SELECT url, url_key FROM unnest($4, $6) AS listed(url, url_key) ORDER BY url) AS listed \
         ON CONFLICT DO NOTHING",
    )
    .bind::<BigInt, _>(import.domain_id)
    .bind::<BigInt, _>(parent)
    .bind::<SmallInt, _>(import.depth + 1)
    .bind::<Array<Text>, _>(&taken)
    .bind::<Bool, _>(advance)
    .bind::<Array<Nullable<Text>>, _>(&taken_keys)
    .execute(conn)
    .await?;
    purse.add(Measure::Files, i64::try_from(stored).unwrap_or(i64::MAX));
    Ok(stop)
}

/// The pages that a sitemap lists: those that are new, as far as the budget of pages goes, and what it says of known ones.
async fn store_pages(
    conn: &mut AsyncPgConnection,
    sitemap: ItemId,
    import: &Import,
    purse: &mut Purse<'_>,
    advance: bool,
) -> QueryResult<Option<Stop>> {
    if import.pages.is_empty() {
        return Ok(None);
    }
    let mut pages: Vec<(&str, &Listed)> = import
        .pages
        .iter()
        .map(|(key, listed)| (key.as_str(), listed))
        .collect();
    let room = usize::try_from(purse.room(Measure::Pages)).unwrap_or(usize::MAX);
    let mut stop = None;
    // In the ordinary case there is room for all, and nobody asks which are new.
    if pages.len() > room && keep_within(conn, import.domain_id, &mut pages, room).await? {
        stop = Some(purse.stop(Measure::Pages));
    }
    conn.batch_execute(CHECKS_PLANNED_ONCE).await?;
    for rows in pages.chunks(INSERT_ROWS) {
        let stored = store_rows(conn, sitemap, import.domain_id, rows, advance).await?;
        purse.add(Measure::Pages, stored);
    }
    conn.batch_execute(CHECKS_PLANNED_EACH).await?;
    Ok(stop)
}

/// Leaves those pages that are known, and so many that are new: those of interest first. Returns whether any had to go.
async fn keep_within(
    conn: &mut AsyncPgConnection,
    domain_id: i64,
    pages: &mut Vec<(&str, &Listed)>,
    room: usize,
) -> QueryResult<bool> {
    let keys: Vec<&str> = pages.iter().map(|(key, _)| *key).collect();
    let known = known_keys(conn, "page", domain_id, &keys).await?;
    let mut fresh: Vec<(u8, u32, &str)> = pages
        .iter()
        .filter(|(key, _)| !known.contains(*key))
        .map(|(key, listed)| (rank(listed.disposition), listed.place, *key))
        .collect();
    if fresh.len() <= room {
        return Ok(false);
    }
    fresh.sort_unstable();
    let gone: HashSet<&str> = fresh.iter().skip(room).map(|(_, _, key)| *key).collect();
    pages.retain(|(key, _)| !gone.contains(key));
    Ok(true)
}

/// Which of these keys a domain has in `table`.
async fn known_keys(
    conn: &mut AsyncPgConnection,
    table: &str,
    domain_id: i64,
    keys: &[&str],
) -> QueryResult<HashSet<String>> {
    let known: Vec<Known> = statement(&format!(
        "SELECT url AS key FROM {table} WHERE domain_id = $1 AND url = ANY ($2) \
         UNION SELECT url_key FROM {table} WHERE domain_id = $1 AND url_key = ANY ($2)"
    ))
    .bind::<BigInt, _>(domain_id)
    .bind::<Array<Text>, _>(keys)
    .load(conn)
    .await?;
    Ok(known.into_iter().map(|own| own.key).collect())
}

/// Which pages come first where there is no room for all.
fn rank(disposition: Disposition) -> u8 {
    match disposition {
        Disposition::Queue => 0,
        Disposition::Keep => 1,
        Disposition::Filter => 2,
    }
}

/// Pages new to the domain; for known ones, only what the sitemap says of them. Returns how many were new.
async fn store_rows(
    conn: &mut AsyncPgConnection,
    sitemap: ItemId,
    domain_id: i64,
    rows: &[(&str, &Listed)],
    advance: bool,
) -> QueryResult<i64> {
    let column = |get: fn(&Listed) -> &'static str| -> Vec<&'static str> {
        rows.iter().map(|(_, listed)| get(listed)).collect()
    };
    let stored: Stored = sql_query(&*STORE_PAGES)
        .bind::<BigInt, _>(domain_id)
        .bind::<BigInt, _>(sitemap)
        .bind::<Array<Text>, _>(
            rows.iter()
                .map(|(key, listed)| listed.url(key))
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Timestamptz>>, _>(
            rows.iter()
                .map(|(_, listed)| listed.last_modified)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Text>>, _>(
            rows.iter()
                .map(|(_, listed)| listed.changefreq)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Nullable<Float>>, _>(
            rows.iter()
                .map(|(_, listed)| listed.priority)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(column(|listed| listed.page_type))
        .bind::<Array<Text>, _>(column(|listed| listed.rule))
        .bind::<Array<Float>, _>(
            rows.iter()
                .map(|(_, listed)| listed.confidence)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<SmallInt>, _>(
            rows.iter()
                .map(|(_, listed)| listed.path_depth)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(column(|listed| listed.disposition.as_str()))
        .bind::<SmallInt, _>(i16::try_from(category::RULES_VERSION).unwrap_or(i16::MAX))
        .bind::<Bool, _>(advance)
        .bind::<Array<Nullable<Text>>, _>(
            rows.iter()
                .map(|(key, _)| stored_key(key))
                .collect::<Vec<_>>(),
        )
        .get_result(conn)
        .await?;
    Ok(stored.stored)
}
