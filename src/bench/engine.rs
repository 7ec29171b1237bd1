//! The engine under measurement: a tree with one workflow that does nothing, behind the real pipeline.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use diesel::sql_types::{Array, BigInt};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use gleaner_actors::port::PortError;
use gleaner_actors::{Event, Member, Observer, Settings, Tick, Tree, TreeSettings};
use tokio::sync::watch;
use tokio::time::Instant;

use super::BenchError;
use super::scratch::Scratch;
use crate::db;
use crate::db::notify::{Heard, Listener};
use crate::db::statement::statement;
use crate::live::Live;
use crate::metrics::EngineMetrics;
use crate::pipeline::Pipeline;
use crate::store::lease::LeaseHeart;
use crate::store::node;
use crate::store::stage;
use crate::store::stage::{Frontier, LOOK_INTERVAL, Stage};
use crate::workflow::{Done, ItemId, Workflow, WorkflowError};

/// How the engine is set for a benchmark.
#[derive(Clone, Debug)]
pub struct Load {
    /// The most rows in one claim, and in one settle.
    pub batch: usize,
    /// The most rows in hand.
    pub concurrency: usize,
    /// The age at which outcomes are settled, however few: `engine.settle_age`.
    pub settle_age: Duration,
    /// Leases and heartbeat as configured.
    pub tree: TreeSettings,
}

impl Load {
    fn settings(&self) -> Settings {
        Settings {
            // Notifications and full batches drive it; an interval would only hide a lost wake-up.
            interval: Duration::from_secs(60),
            batch_size: self.batch,
            concurrency: self.concurrency,
            settle_items: self.batch,
            settle_age: self.settle_age,
            ..Settings::default()
        }
    }
}

/// The stage that is measured.
pub(super) fn stage() -> Stage {
    Stage::new(Noop::TABLE, Noop::STAGE, Noop::TOUCHES)
}

/// When each row was started.
pub(super) type Starts = Arc<Mutex<Vec<(ItemId, Instant)>>>;

/// A workflow that does nothing, and notes when, if asked to.
struct Noop {
    starts: Option<Starts>,
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: ItemId,
}

impl Workflow for Noop {
    const NAME: &'static str = "bench";
    const TABLE: &'static str = "bench_item";
    const STAGE: &'static str = "noop";
    const TOUCHES: bool = false;
    type Input = ItemId;
    type Output = ();

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, ItemId)>> {
        let rows: Vec<Id> =
            statement("SELECT id FROM bench_item WHERE id = ANY ((SELECT $1::bigint[])::bigint[])")
                .bind::<Array<BigInt>, _>(ids)
                .load(conn)
                .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.id)).collect())
    }

    async fn run(&self, item: ItemId) -> Result<Done<()>, WorkflowError> {
        if let Some(starts) = &self.starts {
            starts
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((item, Instant::now()));
        }
        Ok(Done::Completed(()))
    }

    async fn store(
        &self,
        _conn: &mut AsyncPgConnection,
        _outputs: &[(ItemId, &())],
    ) -> QueryResult<()> {
        Ok(())
    }
}

/// Passes events on to the metrics, as in production, and counts what was completed.
struct Counted {
    completed: watch::Sender<u64>,
    others: watch::Sender<u64>,
}

impl Observer for Counted {
    fn observe(&self, event: Event<'_>) {
        EngineMetrics.observe(event);
        if let Event::Settled { report, .. } = event {
            self.completed
                .send_modify(|completed| *completed += report.completed);
            let others = report.filtered
                + report.retried
                + report.snoozed
                + report.failed
                + report.released
                + report.stale;
            if others > 0 {
                self.others.send_modify(|all| *all += others);
            }
        }
    }
}

/// A running engine.
pub(super) struct Engine {
    tree: Tree,
    pool: db::Pool,
    completed: watch::Receiver<u64>,
    others: watch::Receiver<u64>,
    frontier: Arc<Frontier>,
}

impl Engine {
    /// Starts it in the scratch schema. With `starts` it listens for notifications, and notes when each row was started.
    pub(super) async fn start(
        scratch: &Scratch,
        load: &Load,
        starts: Option<Starts>,
    ) -> Result<Self, BenchError> {
        let listens = starts.is_some();
        Self::with(scratch, load, Noop { starts }, listens).await
    }

    /// The same with another workflow; one that does not listen is driven by full batches alone.
    pub(super) async fn with<W: Workflow>(
        scratch: &Scratch,
        load: &Load,
        workflow: W,
        listens: bool,
    ) -> Result<Self, BenchError> {
        let pool = db::pool(scratch.database())?;
        let node = {
            let mut conn = pool.get().await.map_err(db::DbError::Pool)?;
            node::register(&mut conn).await?
        };
        let settings = load.settings();
        let frontier: Arc<Frontier> = Arc::default();
        let port = Pipeline::new(workflow, pool.clone(), node, Live::new(settings.clone()))
            .past(Arc::clone(&frontier));
        let tree_of_listener: Live<Option<Tree>> = Live::new(None);
        let lookout = Lookout {
            pool: pool.clone(),
            workflow: W::NAME,
            stage: W::stage(),
            frontier: Arc::clone(&frontier),
            tree: tree_of_listener.clone(),
        };
        let mut members = vec![
            Member::workflow(W::NAME, Arc::new(port), settings),
            Member::ticker("lookout", LOOK_INTERVAL, Arc::new(lookout)),
        ];
        if listens {
            members.push(listener(scratch, &tree_of_listener));
        }
        let (completed, completed_seen) = watch::channel(0);
        let (others, others_seen) = watch::channel(0);
        let heart = LeaseHeart::new(scratch.connector().clone(), node);
        let observer = Arc::new(Counted { completed, others });
        let tree = Tree::start(load.tree.clone(), heart, members, observer).await?;
        tree_of_listener.set(Some(tree.clone()));
        Ok(Self {
            tree,
            pool,
            completed: completed_seen,
            others: others_seen,
            frontier,
        })
    }

    /// From where it claims.
    pub(super) fn frontier(&self) -> Arc<Frontier> {
        Arc::clone(&self.frontier)
    }

    /// How many rows were completed so far.
    pub(super) fn completed(&self) -> u64 {
        *self.completed.borrow()
    }

    /// Waits until so many rows are completed.
    pub(super) async fn until_completed(&mut self, rows: u64) -> Result<(), BenchError> {
        // Generous: what counts is that it moves at all.
        const STUCK_AFTER: Duration = Duration::from_secs(30);
        loop {
            let seen = *self.completed.borrow_and_update();
            if seen >= rows {
                break;
            }
            if tokio::time::timeout(STUCK_AFTER, self.completed.changed())
                .await
                .is_err()
            {
                return Err(BenchError::Stuck(format!(
                    "{seen} of {rows} rows were completed, and no more in {STUCK_AFTER:?}"
                )));
            }
        }
        let others = *self.others.borrow();
        if others > 0 {
            return Err(BenchError::Stuck(format!(
                "{others} rows came to another end than completed"
            )));
        }
        Ok(())
    }

    /// Stops it; its sessions end, and report their statistics.
    pub(super) async fn stop(self) {
        self.tree.drain(Duration::from_secs(10)).await;
        self.pool.close();
    }
}

/// The lookout as in production, for one stage.
struct Lookout {
    pool: db::Pool,
    workflow: &'static str,
    stage: Stage,
    frontier: Arc<Frontier>,
    tree: Live<Option<Tree>>,
}

impl Tick for Lookout {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(async {
            let places = [(&self.stage, Arc::clone(&self.frontier))];
            if !stage::are_in_use(&places) {
                return Ok(());
            }
            let mut conn = self.pool.get().await.map_err(PortError::unavailable)?;
            let patrol = stage::patrol(&mut conn, &places)
                .await
                .map_err(PortError::unavailable)?;
            if !patrol.waiting.is_empty()
                && let Some(tree) = self.tree.get().as_ref()
            {
                tree.wake(self.workflow);
            }
            Ok(())
        })
    }
}

/// LISTEN as in production: a notification of our stage wakes our workflow.
fn listener(scratch: &Scratch, tree: &Live<Option<Tree>>) -> Member {
    let tree = tree.clone();
    let ours = stage().name();
    let hear = move |heard: Heard| -> BoxFuture<'static, ()> {
        if let Some(tree) = tree.get().as_ref() {
            match heard {
                Heard::Connected => tree.wake_all(),
                Heard::Stage(stage) if stage == ours => tree.wake(Noop::NAME),
                Heard::Stage(_) | Heard::Control(_) | Heard::Callback(_) => {}
            }
        }
        Box::pin(std::future::ready(()))
    };
    let listener = Listener::new(scratch.connector().clone(), Arc::new(hear));
    Member::service("listener", Arc::new(listener))
}
