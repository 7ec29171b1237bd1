//! Leads: from a place on a map to the people behind it.
//!
//! place → `deep_scan` → business → `domain_extraction` → domain → `domain_metadata`, and `sitemap_discovery` → sitemap →
//! `sitemap_import` → page → `page_curation` → contact.

pub mod cli;
pub mod deep_scan;
pub mod domain_extraction;
pub mod domain_metadata;
pub mod import;
pub mod page_curation;
pub mod recategorise;
pub mod sitemap_discovery;
pub mod sitemap_import;
