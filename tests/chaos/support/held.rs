//! What most tests of trouble begin with: sites that keep every page waiting, and a database.

use std::time::Duration;

use tokio_postgres::Client;

use super::database::TestDatabase;
use super::journal::{Entry, Journal};
use super::wait::wait_until;

/// Whether a page was asked for, rather than robots.txt or a home.
pub(crate) fn is_page(entry: &Entry) -> bool {
    entry.path == "/contact"
}

/// Sites whose pages do not answer until they are let go, a database of the test's own, and a session on it.
pub(crate) async fn held() -> (Journal, TestDatabase, Client) {
    let journal = Journal::sites(Duration::ZERO).await;
    journal.hold(is_page);
    let database = TestDatabase::new().await;
    let client = database.client().await;
    (journal, database, client)
}

/// Waits until so many requests for pages were made, no more.
pub(crate) async fn wait_asked(journal: &Journal, requests: usize) {
    wait_until("all pages are in hand", async || {
        journal.count(is_page) == requests
    })
    .await;
}
