//! Prices: from a page of a site to its history of prices, and to whoever wants to know.
//!
//! product page → crawl job (`crawl_scheduler`) → `price_fetch` or a bot (`bot`) → crawl result → `auto_record` → price history →
//! `notification_delivery`; beside it `pattern_generation` and `pattern_health` learn how each site writes.

pub mod auto_record;
pub mod bot;
pub mod cli;
pub mod config;
pub mod crawl;
pub mod crawl_scheduler;
mod demo;
mod doctor;
pub mod flag;
pub mod http;
pub mod metrics;
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

use std::sync::Arc;

use gleaner_actors::Member;

use self::config::{Bots, Crawl, PatternHealth};
use self::queue::{Queue, tickers as queue_tickers};
use crate::app::state::Shared;
use crate::area::Area;
use crate::config::Declared;
use crate::http::StatusPart;
use crate::upkeep::CRON_INTERVAL;
use crate::workflow::Workflow;
use crate::workflows::Known;

pub static AREA: Area = Area {
    name: "prices",
    workflows: || {
        vec![
            Known::of::<price_fetch::PriceFetch>(),
            Known::of::<auto_record::AutoRecord>(),
            Known::of::<pattern_generation::PatternGeneration>(),
            Known::of::<notification_delivery::NotificationDelivery>(),
        ]
    },
    made: |_config| Vec::new(),
    sections: || {
        vec![
            Declared::section::<Bots>(),
            Declared::section::<Crawl>(),
            Declared::section::<PatternHealth>(),
        ]
    },
    check: config::check,
    tickers,
    kept: &retention::KINDS,
    routes: http::routes,
    outside: |config| config.section::<Bots>().address(),
    status: Some(StatusPart {
        names: &["flags", "flags_open"],
        look: |conn| Box::pin(http::status(conn)),
        tell: |_values| Vec::new(),
    }),
    waits_elsewhere: |shared| Box::pin(waits_elsewhere(shared)),
    rehearse: demo::rehearse,
    metrics: metrics::announce,
    examine: |config, conn| Box::pin(doctor::examine(config, conn)),
};

fn tickers(shared: &Arc<Shared>) -> Vec<Member> {
    let config = shared.config.get();
    let queue = Queue::new(shared.redis.as_ref());
    let mut members = vec![
        Member::ticker(
            "crawl-scheduler",
            config.section::<Crawl>().interval,
            Arc::new(crawl_scheduler::CrawlScheduler::new(Arc::clone(shared))),
        ),
        Member::ticker(
            "pattern-health",
            CRON_INTERVAL,
            Arc::new(pattern_health::PatternHealth::new(Arc::clone(shared))),
        ),
    ];
    if queue.is_on() {
        members.push(Member::ticker(
            "queue-watch",
            queue_tickers::WATCH_INTERVAL,
            Arc::new(queue_tickers::Watch::new(Arc::clone(shared), queue.clone())),
        ));
    }
    members.push(Member::ticker(
        "queue-reconciler",
        config.redis.reconcile_interval,
        Arc::new(queue_tickers::Reconciler::new(Arc::clone(shared), queue)),
    ));
    members
}

/// Entries that others put into Redis are not yet known to PostgreSQL.
async fn waits_elsewhere(shared: &Shared) -> Vec<&'static str> {
    match Queue::new(shared.redis.as_ref()).lengths().await {
        Ok(lengths) if lengths.queue_size > 0 => vec![auto_record::AutoRecord::NAME],
        Ok(_) | Err(_) => Vec::new(),
    }
}
