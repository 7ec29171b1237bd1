//! The rows of a test: putting work in, and judging what became of it.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::time::Duration;

use gleaner::demo::{ContactKind, Found, FoundBusiness, FoundContact, PlaceSeed, Truth, score};
use tokio_postgres::{Client, NoTls, Row};

/// A connection to a database that is not a [`super::database::TestDatabase`].
#[expect(
    clippy::disallowed_methods,
    reason = "the connection ends with its client"
)]
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    drop(tokio::spawn(connection));
    client
}

/// Every stage, as table and column group.
pub(crate) fn stages() -> Vec<(&'static str, &'static str)> {
    let known = gleaner::areas::workflows();
    known
        .iter()
        .map(|workflow| (workflow.stage.table(), workflow.stage.column_group()))
        .collect()
}

/// One query over all stages: `pattern` with `{table}` and `{stage}` filled in, joined by UNION ALL.
pub(crate) fn over_stages(pattern: &str) -> String {
    let parts: Vec<String> = stages()
        .into_iter()
        .map(|(table, stage)| pattern.replace("{table}", table).replace("{stage}", stage))
        .collect();
    parts.join(" UNION ALL ")
}

/// Sites `chaos-N.com` with one page each, queued for curation. `from` and `to` are the first and last N.
pub(crate) async fn add_pages(client: &Client, from: i32, to: i32) {
    let sql = "WITH site AS (INSERT INTO domain (domain, registrable_domain) \
               SELECT 'chaos-' || n || '.com', 'chaos-' || n || '.com' FROM generate_series($1::int, $2::int) n \
               RETURNING id, domain) \
               INSERT INTO page (domain_id, url, curation_status) \
               SELECT id, 'http://' || domain || '/contact', 'Queued' FROM site";
    client.execute(sql, &[&from, &to]).await.unwrap();
}

/// Sites `home-N.com`, queued for metadata.
pub(crate) async fn add_homes(client: &Client, from: i32, to: i32) {
    let sql = "INSERT INTO domain (domain, registrable_domain, metadata_status) \
               SELECT 'home-' || n || '.com', 'home-' || n || '.com', 'Queued' FROM generate_series($1::int, $2::int) n";
    client.execute(sql, &[&from, &to]).await.unwrap();
}

/// Places, queued for the deep scan.
pub(crate) async fn add_places(client: &Client, places: &[PlaceSeed]) {
    let ids: Vec<&str> = places.iter().map(|place| place.place_id.as_str()).collect();
    let names: Vec<&str> = places.iter().map(|place| place.name.as_str()).collect();
    let sql = "INSERT INTO place (place_id, name, deep_scan_status) \
               SELECT id, name, 'Queued' FROM unnest($1::text[], $2::text[]) AS seed(id, name)";
    client.execute(sql, &[&ids, &names]).await.unwrap();
}

/// Waits until no stage has a row left to work, due or not.
pub(crate) async fn wait_all_done(client: &Client, within: Duration) {
    let sql = format!(
        "SELECT stage || ' ' || status || ' ' || count(*) || ': due ' || coalesce(min(due)::text, 'now') || ', ' || coalesce(min(error), 'no error') \
         FROM ({}) AS rows GROUP BY stage, status",
        over_stages(
            "SELECT '{table}/{stage}' AS stage, {stage}_status AS status, {stage}_due_at - now() AS due, {stage}_error AS error \
             FROM {table} WHERE {stage}_status IN ('Queued', 'Processing')"
        )
    );
    let mut left = Vec::new();
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let before = std::mem::take(&mut left);
        left = texts(client, &sql).await;
        // Twice, because what one stage finishes may queue for another in between.
        if left.is_empty() && before.is_empty() {
            return;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "not all done within {within:?}: {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The first column of a query, as texts.
pub(crate) async fn texts(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Nothing is in anybody's hands, and the history agrees with the rows: every row that finished did so once, and no attempt
/// was recorded twice. Rows without an attempt were stored with their verdict (pages of no interest).
pub(crate) async fn assert_each_once(client: &Client) {
    let held = over_stages(
        "SELECT '{table}/{stage} ' || id FROM {table} \
         WHERE {stage}_lease IS NOT NULL OR {stage}_status = 'Processing'",
    );
    assert_eq!(
        texts(client, &held).await,
        Vec::<String>::new(),
        "still held"
    );

    let finals = "('completed', 'filtered', 'failed', 'quarantined')";
    let unequal = format!(
        "SELECT stage || ' ' || id || ' ' || status || ', in the history ' || coalesce(seen, 0) || ' times' FROM ({}) AS rows \
         LEFT JOIN (SELECT stage AS s, item_id, count(*) AS seen FROM attempt WHERE outcome IN {finals} GROUP BY 1, 2) AS history \
         ON s = stage AND item_id = id \
         WHERE coalesce(seen, 0) <> CASE WHEN attempts > 0 AND status IN ('Completed', 'Filtered', 'Error') THEN 1 ELSE 0 END LIMIT 20",
        over_stages(
            "SELECT '{table}/{stage}' AS stage, id, {stage}_status AS status, {stage}_attempts AS attempts FROM {table} WHERE {stage}_status IS NOT NULL"
        )
    );
    assert_eq!(
        texts(client, &unequal).await,
        Vec::<String>::new(),
        "rows and history differ"
    );

    // What gives its attempt back (snoozed, released) leaves the number to be used again. An excused one keeps it.
    let twice = "SELECT stage || ' ' || item_id || ' attempt ' || attempt || ': ' || string_agg(outcome, ', ') FROM attempt \
                 WHERE outcome NOT IN ('snoozed', 'released') GROUP BY stage, item_id, attempt HAVING count(*) > 1 LIMIT 20";
    assert_eq!(
        texts(client, twice).await,
        Vec::<String>::new(),
        "attempts recorded twice"
    );
    let quarantined = "SELECT stage || ' ' || item_id FROM attempt q WHERE outcome = 'quarantined' \
         AND NOT EXISTS (SELECT 1 FROM attempt f WHERE f.stage = q.stage AND f.item_id = q.item_id AND f.outcome = 'retried')";
    assert_eq!(
        texts(client, quarantined).await,
        Vec::<String>::new(),
        "kills alone used up the attempts"
    );
}

/// What the tables hold is what was planted: nothing missed, nothing invented, nothing twice.
pub(crate) async fn assert_truth(client: &Client, truth: &Truth) {
    let found = read_found(client).await;
    let score = score(truth, &found);
    println!(
        "planted {}, found {}, missed {}, false {}",
        score.planted, score.found, score.missed, score.r#false
    );
    assert_eq!(
        (score.missed, score.r#false),
        (0, 0),
        "missed {:#?}\nfalse {:#?}",
        score.missed_examples,
        score.false_examples
    );
}

async fn read_found(client: &Client) -> Found {
    let read = async |sql: &str| client.query(sql, &[]).await.unwrap();
    let pair = |row: &Row| (row.get(0), row.get(1));
    Found {
        businesses: read("SELECT place_id, website FROM local_business")
            .await
            .iter()
            .map(|row| FoundBusiness {
                place_id: row.get(0),
                website: row.get(1),
            })
            .collect(),
        domains: texts(client, "SELECT domain FROM domain").await,
        sitemaps: read("SELECT domain, url FROM sitemap_file JOIN domain d ON d.id = domain_id")
            .await
            .iter()
            .map(pair)
            .collect(),
        pages: read("SELECT domain, url FROM page JOIN domain d ON d.id = domain_id")
            .await
            .iter()
            .map(pair)
            .collect(),
        contacts: read(
            "SELECT domain, source_url, kind, value FROM contact JOIN domain d ON d.id = domain_id",
        )
        .await
        .iter()
        .map(|row| FoundContact {
            host: row.get(0),
            page_url: row.get(1),
            kind: match row.get(2) {
                "email" => ContactKind::Email,
                "phone" => ContactKind::Phone,
                _ => ContactKind::Social,
            },
            value: row.get(3),
        })
        .collect(),
    }
}
