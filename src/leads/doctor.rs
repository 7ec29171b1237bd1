//! What `gleaner doctor` looks at for leads.

use diesel_async::AsyncPgConnection;
use serde_json::Value;

use crate::area::check::Check;
use crate::config::Config;
use crate::db::DbError;
use crate::leads::deep_scan::DeepScan;
use crate::leads::sitemap_budget;
use crate::leads::sitemap_import::SitemapImport;
use crate::workflow::Configured as _;

/// Whether the deep scan has its key.
pub(super) fn key(config: &Config) -> Check {
    const NAME: &str = "deep-scan key";
    if !config.workflows.of::<DeepScan>().enabled {
        Check::ok(NAME, "not needed, the workflow is switched off")
    } else if config.workflows.options::<DeepScan>().api_key.is_empty() {
        Check::ok(NAME, "not set, the workflow stays idle")
    } else {
        Check::ok(NAME, "set")
    }
}

/// Whether sites have more sitemaps than their budgets allow.
pub(super) async fn budgets(conn: &mut AsyncPgConnection) -> Result<Check, DbError> {
    const NAME: &str = "sitemap budgets";
    let (newest, count) = sitemap_budget::ended(conn).await?;
    let Some(first) = newest.first() else {
        return Ok(Check::ok(NAME, "none has ended"));
    };
    let text = |key: &str| first.get(key).and_then(Value::as_str).unwrap_or("-");
    let found = format!(
        "{count} have ended, the newest of {}: {} of its {}",
        text("registrable_domain"),
        text("ended_by"),
        text("scope")
    );
    let advice = format!(
        "look at sitemap_budget and sitemap_file.stopped_by: a trap is left as it is; for a site that is wanted whole raise \
         the budget ({} and the like) and queue those sitemaps again",
        SitemapImport::option("max_root_files")
    );
    Ok(Check::warn(NAME, found, &advice))
}
