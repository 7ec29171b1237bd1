//! Leads: from a place on a map to the people behind it.
//!
//! place → `deep_scan` → business → `domain_extraction` → domain → `domain_metadata`, and `sitemap_discovery` → sitemap →
//! `sitemap_import` → page → `page_curation` → contact.

pub mod cli;
pub mod deep_scan;
mod doctor;
pub mod domain_extraction;
pub mod domain_metadata;
pub mod import;
pub mod metrics;
pub mod page_curation;
pub mod recategorise;
mod sitemap_budget;
pub mod sitemap_discovery;
pub mod sitemap_import;

use std::time::Duration;

use serde_json::json;

use crate::area::Area;
use crate::config::Config;
use crate::demo::PLACES_HOST;
use crate::http::{Routes, StatusPart};
use crate::secret::Secret;
use crate::workflows::Known;

pub static AREA: Area = Area {
    name: "leads",
    workflows: || {
        vec![
            Known::of::<deep_scan::DeepScan>(),
            Known::of::<domain_extraction::DomainExtraction>(),
            Known::of::<domain_metadata::DomainMetadata>(),
            Known::of::<sitemap_discovery::SitemapDiscovery>(),
            Known::of::<sitemap_import::SitemapImport>(),
            Known::of::<page_curation::PageCuration>(),
        ]
    },
    sections: Vec::new,
    check: |_config| Ok(()),
    tickers: |_shared| Vec::new(),
    kept: &[],
    routes: |_shared| Routes::default(),
    outside: |_config| Ok(None),
    status: Some(StatusPart {
        names: &["sitemap_budgets_ended", "sitemap_budgets_ended_count"],
        look: |conn| {
            Box::pin(async move {
                let (newest, count) = sitemap_budget::ended(conn).await?;
                Ok(vec![json!(newest), json!(count)])
            })
        },
    }),
    waits_elsewhere: |_shared| Box::pin(std::future::ready(Vec::new())),
    rehearse,
    metrics: metrics::announce,
    examine: |config, conn| {
        Box::pin(async move { Ok(vec![doctor::key(config), doctor::budgets(conn).await?]) })
    },
};

/// Every stage asks the next by itself, and the places are the demo's.
fn rehearse(config: &mut Config) {
    let workflows = &mut config.workflows;
    let scan = workflows.options_mut::<deep_scan::DeepScan>();
    scan.base_url = format!("http://{PLACES_HOST}");
    scan.api_key = Secret::new("demo");
    scan.quota_rest = Duration::from_millis(500);
    scan.advance = true;
    workflows
        .options_mut::<domain_extraction::DomainExtraction>()
        .advance = true;
    workflows
        .options_mut::<sitemap_discovery::SitemapDiscovery>()
        .advance = true;
    workflows
        .options_mut::<sitemap_import::SitemapImport>()
        .advance = true;
}
