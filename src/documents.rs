//! Documents: from what a tenant uploads to text that is found again, page by page.
//!
//! upload (`intake`) → document → `processing` → pages and pieces → `search`; progress, events and the files themselves over HTTP. Tenants
//! are kept apart by the database: see `scope`.

pub mod blob;
pub mod cli;
pub mod config;
pub mod document;
mod events;
mod http;
pub mod intake;
pub mod key;
pub mod password;
pub mod quota;
pub mod read;
pub mod scope;
pub mod search;
pub mod storage;
pub mod tenant;

use crate::area::Area;
use crate::config::Declared;

use self::config::Documents;

pub static AREA: Area = Area {
    name: "documents",
    workflows: Vec::new,
    sections: || vec![Declared::section::<Documents>()],
    check: |_config| Ok(()),
    tickers: |_shared| Vec::new(),
    kept: &[],
    routes: http::routes,
    outside: |config| config.section::<Documents>().address(),
    status: None,
    waits_elsewhere: |_shared| Box::pin(std::future::ready(Vec::new())),
    rehearse: |_plan| None,
    metrics: || {},
    examine: |_config, _conn| Box::pin(std::future::ready(Ok(Vec::new()))),
};
