//! Prices: from a page in a shop to its history of prices, and to whoever wants to know.
//!
//! product page → crawl job (`crawl_scheduler`) → `price_fetch` or a bot (`bot`) → crawl result → `auto_record` → price history →
//! `notification_delivery`; beside it `pattern_generation` and `pattern_health` learn how each shop writes.

pub mod auto_record;
pub mod bot;
pub mod cli;
pub mod config;
pub mod crawl;
pub mod crawl_scheduler;
pub mod flag;
pub mod http;
pub mod notification;
pub mod notification_delivery;
pub mod pattern;
pub mod pattern_generation;
pub mod pattern_health;
pub mod policy;
pub mod price_fetch;
pub mod queue;
pub mod retention;
pub mod site;
pub mod uid;
