//! Workflows end to end: the whole program, a real database, and a web on loopback.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod curation;
mod deep_scan;
mod domains;
mod landing;
mod notifications;
mod patterns;
mod price_fetch;
mod readiness;
mod rendering;
mod sitemaps;

use gleaner::config::Config;
// For `walk/`, which names it as if it were in the program.
pub(crate) use gleaner::workflows::Known;

use crate::support::site::Site;
use crate::support::{TestApp, TestDatabase};

/// A database in which these statements have been run, and the program on it with nothing but these workflows.
async fn start(
    site: &Site,
    names: &[&str],
    sql: &str,
    change: impl FnOnce(&mut Config),
) -> TestApp {
    let database = TestDatabase::new().await;
    if !sql.is_empty() {
        database.run(sql).await;
    }
    let web = site.address;
    TestApp::start_on(database, |config| {
        config.fetch.proxy_hosts_to = Some(web);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        config.workflows.keep_only(&names);
        change(config);
    })
    .await
}
