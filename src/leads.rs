//! Leads: from a place on a map to the people behind it.
//!
//! place → `deep_scan` → business → `domain_extraction` → domain → `domain_metadata`, and `sitemap_discovery` → sitemap →
//! `sitemap_import` → page → `page_curation` → contact.

mod address_key;
pub mod cli;
pub mod deep_scan;
mod demo;
mod doctor;
pub mod domain_extraction;
pub mod domain_metadata;
mod front;
pub mod import;
pub mod metrics;
pub mod page_curation;
pub mod recategorise;
mod sitemap_budget;
pub mod sitemap_discovery;
pub mod sitemap_import;

use serde_json::json;

use crate::area::Area;
use crate::http::{Routes, StatusPart};
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
    made: |_config| Vec::new(),
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
        tell: sitemap_budget::told,
    }),
    waits_elsewhere: |_shared| Box::pin(std::future::ready(Vec::new())),
    rehearse: demo::rehearse,
    metrics: metrics::announce,
    examine: |config, conn| {
        Box::pin(async move { Ok(vec![doctor::key(config), doctor::budgets(conn).await?]) })
    },
};
