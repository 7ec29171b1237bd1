//! Benchmarks of the engine, on a real server and through the real pipeline.
//!
//! Each works in a schema of its own ([`Scratch`]), with migrations of its own, so that nothing of the user's is touched,
//! and drops it at the end. What is measured is what `gleaner run` does: `Engine` is a tree with one workflow behind the
//! same [`crate::pipeline::Pipeline`], with leases, heartbeat, history and metrics. [`drain()`] also measures the ceiling: the
//! same claim and settle statements in a bare loop.

mod claim;
mod documents;
mod drain;
mod engine;
mod idle;
mod language;
mod pin;
mod process;
mod pull;
mod record;
mod render;
mod schedule;
mod scratch;
mod search;
mod sitemap;
mod turns;
mod wake;

pub use claim::{ClaimTimes, claim};
pub use documents::{DocumentTimes, Documents, Low, Served, Service, Timed, documents, served};
pub use drain::{Drain, Drained, drain};
pub use engine::Load;
pub use idle::{Idle, idle};
pub use pin::{ClaimCost, Pin, Pinned, Steady, pin};
pub use pull::{Pulled, Pulls, pull};
pub use record::{Record, Recorded, record};
pub use render::{RenderTimes, Renders, render};
pub use schedule::{Schedule, Scheduled, schedule};
pub use scratch::{SCHEMA, Scratch, ServerSettings};
pub use search::{Searched, Searches, search};
pub use sitemap::{Imported, Sitemaps, sitemap};
pub use turns::Turns;
pub use wake::{Rate, Wake, Waked, wake};

/// Why a benchmark came to no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The database cannot be reached or set up.
    #[error("cannot prepare the database")]
    Db(#[from] crate::db::DbError),
    /// A statement of the benchmark's own failed.
    #[error("a statement of the benchmark failed")]
    Query(#[from] diesel::result::Error),
    /// The same, without diesel.
    #[error("a statement of the benchmark failed")]
    Raw(#[from] tokio_postgres::Error),
    /// The actors could not be started.
    #[error("cannot start the actors")]
    Tree(#[from] gleaner_actors::TreeError),
    /// A process of our own could not be started or observed.
    #[error("cannot run a process to measure")]
    Process(#[from] std::io::Error),
    /// The schema is somebody else's.
    #[error(
        "the database has a schema {SCHEMA} that no benchmark made: drop it, or name another database"
    )]
    Occupied,
    /// A benchmark is under way in this database.
    #[error("another benchmark is running in this database")]
    Busy,
    /// Redis does not do what is asked of it.
    #[error("Redis cannot be used")]
    Redis(#[from] crate::redis::RedisError),
    /// There is no browser, or a page was too much for it.
    #[error("a page could not be rendered")]
    Render(#[from] crate::web::render::RenderError),
    /// The benchmark's own pages could not be fetched.
    #[error("a page could not be fetched")]
    Fetch(#[from] crate::web::fetch::FetchError),
    /// Nothing moved for a long time.
    #[error("{0}")]
    Stuck(String),
}

/// The middle value, or the mean of the two in the middle; zero of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => 0.0,
        (Some(&upper), 0) => f64::midpoint(sorted[middle - 1], upper),
        (Some(&value), _) => value,
    }
}

/// The value below which `percent` of the sorted values lie, by nearest rank; zero of none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// Counts as numbers to divide; exact far beyond what is counted here.
fn number(count: u64) -> f64 {
    // Two exact halves: a plain conversion is a cast that lints forbid, with reason.
    let (high, low) = (count >> 32, count & 0xffff_ffff);
    let half = |part: u64| f64::from(u32::try_from(part).unwrap_or(u32::MAX));
    half(high) * 4_294_967_296.0 + half(low)
}

/// For people and JSON: three places are more than a measurement is good for.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles_and_ranks() {
        for (values, expected) in [
            (&[][..], 0.0),
            (&[3.0], 3.0),
            (&[4.0, 1.0], 2.5),
            (&[9.0, 1.0, 2.0], 2.0),
        ] {
            assert!(
                (median(values) - expected).abs() < f64::EPSILON,
                "{values:?}"
            );
        }
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        for (percent, expected) in [(50, 50.0), (95, 95.0), (99, 99.0), (100, 100.0)] {
            assert!((percentile(&hundred, percent) - expected).abs() < f64::EPSILON);
        }
        assert!((percentile(&[7.0], 99) - 7.0).abs() < f64::EPSILON);
    }

    #[test]
    fn counts_stay_exact() {
        for (count, expected) in [(0, 0.0), (1_000_000, 1e6), (1 << 40, 1_099_511_627_776.0)] {
            assert!((number(count) - expected).abs() < f64::EPSILON);
        }
    }
}
