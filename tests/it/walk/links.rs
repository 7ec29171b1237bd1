//! Links: which pages answer, and with what.

pub mod cli;
pub mod link_check;

use crate::area::Area;
use crate::http::Routes;
use crate::workflows::Known;

/// Links.
pub static AREA: Area = Area {
    name: "links",
    workflows: || vec![Known::of::<link_check::LinkCheck>()],
    made: |_config| Vec::new(),
    sections: Vec::new,
    check: |_config| Ok(()),
    tickers: |_shared| Vec::new(),
    kept: &[],
    routes: |_shared| Routes::default(),
    outside: |_config| Ok(None),
    status: None,
    waits_elsewhere: |_shared| Box::pin(std::future::ready(Vec::new())),
    rehearse: |_plan| None,
    metrics: || {},
    examine: |_config, _conn| Box::pin(std::future::ready(Ok(Vec::new()))),
};
