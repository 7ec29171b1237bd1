//! Documents: from what a tenant uploads to text that is found again, page by page.
//!
//! upload (`intake`) → document → `processing` → pages and pieces → `search`; progress, events and the files themselves over HTTP. Tenants
//! are kept apart by the database: see `scope`.

pub mod blob;
pub mod child;
pub mod cli;
pub mod config;
pub(crate) mod demo;
mod disk;
mod doctor;
pub mod document;
pub mod embedding;
mod events;
pub(crate) mod http;
pub mod identity;
pub mod intake;
pub mod key;
pub mod metrics;
pub mod password;
pub mod processing;
pub mod quota;
pub mod read;
pub mod retention;
pub mod scope;
pub mod search;
pub mod session;
pub mod status;
pub mod storage;
pub mod sweep;
pub mod tenant;

use std::sync::Arc;

use gleaner_actors::Member;

use self::config::Documents;
use self::embedding::DocumentEmbedding;
use self::processing::DocumentProcessing;
use crate::app::state::Shared;
use crate::area::Area;
use crate::config::Declared;
use crate::http::StatusPart;
use crate::workflows::Known;

pub static AREA: Area = Area {
    name: "documents",
    workflows: || {
        vec![
            Known::of::<DocumentProcessing>(),
            Known::of::<DocumentEmbedding>(),
        ]
    },
    made: |_config| Vec::new(),
    sections: || vec![Declared::section::<Documents>()],
    check: processing::check,
    tickers,
    kept: &retention::KINDS,
    routes: http::routes,
    outside: |config| config.section::<Documents>().address(),
    status: Some(StatusPart {
        names: &["documents"],
        look: |conn| Box::pin(status::look(conn)),
        tell: |_values| Vec::new(),
    }),
    waits_elsewhere: |_shared| Box::pin(std::future::ready(Vec::new())),
    rehearse: demo::rehearse,
    metrics: metrics::announce,
    examine: |config, conn| Box::pin(doctor::examine(config, conn)),
};

fn tickers(shared: &Arc<Shared>) -> Vec<Member> {
    vec![Member::ticker(
        "document-sweep",
        sweep::INTERVAL,
        Arc::new(sweep::ticker::Ticker::new(Arc::clone(shared))),
    )]
}
