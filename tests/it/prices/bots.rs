//! Crawl jobs and those who work them: what a crawl leaves behind, when jobs are due, and the API of the bots.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod api;
mod pull;
mod scheduler;
mod submit;

use crate::support::TestDatabase;

/// A database with the sites `a.example` (job 1 and 2) and `b.example` (job 3), as the tables' triggers make them.
async fn with_jobs() -> TestDatabase {
    let database = TestDatabase::new().await;
    database
        .run(
            "INSERT INTO site (domain) VALUES ('a.example'), ('b.example');
             INSERT INTO product_url (site_id, raw_url, url, url_hash)
                 SELECT site, 'https://' || name, 'https://' || name, encode(sha256(name::bytea), 'hex')
                 FROM (VALUES (1, 'a.example/1'), (1, 'a.example/2'), (2, 'b.example/3')) AS page(site, name)",
        )
        .await;
    database
}
