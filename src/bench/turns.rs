//! Engine and bare loop by turns: what the benchmarks share that measure how near one is to the other.

use serde::Serialize;
use tokio_postgres::Client;

use super::engine::Load;
use super::scratch::{Scratch, ServerSettings};
use super::{BenchError, median, rounded};
use crate::db::connect::PLANNING;

/// Connections that the engine uses at once: one for the claim in the air, two for settles.
const CONNECTIONS: usize = 3;

/// What every round came to, per second, and what it was measured on.
#[derive(Clone, Debug, Serialize)]
pub struct Turns {
    /// The median of the engine's rounds, as a share of that of the bare loop's.
    pub ceiling_share: f64,
    /// Each of the engine's rounds.
    pub engine_rounds: Vec<f64>,
    /// Each of the bare loop's rounds: the same statements, prepared, over as many connections as the engine uses at once.
    pub ceiling_rounds: Vec<f64>,
    /// Rows per claim and per settle.
    pub batch: usize,
    /// Rows in hand at most.
    pub concurrency: usize,
    /// The smallest durable transaction on this server, in milliseconds.
    pub commit_ms: f64,
    #[serde(flatten)]
    pub server: ServerSettings,
}

/// The rounds so far.
#[derive(Default)]
pub(super) struct Rounds {
    engine: Vec<f64>,
    ceiling: Vec<f64>,
}

impl Rounds {
    /// Notes what one round of each came to, per second.
    pub(super) fn note(&mut self, engine: f64, ceiling: f64) {
        self.engine.push(rounded(engine));
        self.ceiling.push(rounded(ceiling));
        tracing::info!(
            round = self.engine.len(),
            engine = engine.round(),
            bare_loop = ceiling.round(),
            "per second"
        );
    }

    /// The engine's median.
    pub(super) fn engine(&self) -> f64 {
        median(&self.engine)
    }

    /// The bare loop's.
    pub(super) fn ceiling(&self) -> f64 {
        median(&self.ceiling)
    }

    /// All of them, with what they were measured on.
    pub(super) async fn end(self, scratch: &mut Scratch, load: &Load) -> Result<Turns, BenchError> {
        Ok(Turns {
            ceiling_share: rounded(self.engine() / self.ceiling().max(f64::MIN_POSITIVE)),
            engine_rounds: self.engine,
            ceiling_rounds: self.ceiling,
            batch: load.batch,
            concurrency: load.concurrency,
            commit_ms: scratch.commit_ms().await?,
            server: scratch.server_settings().await?,
        })
    }
}

/// Clients for bare loops, set as the engine's sessions are, and a lease that they claim under.
pub(super) async fn bare_clients(scratch: &Scratch) -> Result<(Vec<Client>, i64), BenchError> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = scratch.connector().raw().await?;
        client.batch_execute(PLANNING).await?;
        clients.push(client);
    }
    let lease = clients[0]
        .query_one(
            "WITH holder AS (INSERT INTO node (host, pid, version) VALUES ('bench', 0, '') RETURNING id) \
             INSERT INTO lease (node_id, workflow, expires_at) \
             SELECT id, 'bench', now() + interval '1 hour' FROM holder RETURNING id",
            &[],
        )
        .await?
        .get(0);
    Ok((clients, lease))
}
