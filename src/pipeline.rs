//! The spine: what happens to every item, for any workflow.
//!
//! `claim` → `load` → `run` → batch → `settle`, as the engine's port asks for it. This is the only bridge between workflows
//! and the engine. No connection is held while an item runs. The results of a batch, the statuses of its rows, the history
//! of the attempts and the follow-ups are one transaction, fenced by lease and attempt.

mod in_hand;
mod outcome;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use gleaner_actors::port::{
    Claim, Ending, Failure, LeaseId, OpenedLease, Outcome, Port, PortError, Previous, SettleReport,
    Settlement, Unsettled,
};
use gleaner_actors::{Settings, judge};
use tracing::{debug, error, warn};

use crate::db;
use crate::db::halves::Halves;
use crate::db::{Pool, PooledConnection, locks};
use crate::live::Live;
use crate::store::lease;
use crate::store::stage::{Claimed, Frontier, Records, Stage};
use crate::telemetry::chain;
use crate::workflow::erased::{Erased, Input, Output};
use crate::workflow::{Done, ItemId, Progress, Settled, Workflow, WorkflowError};

use self::in_hand::InHand;
use self::outcome::{add, count, ended, failed, output_of};
use self::watch::Watch;

/// How long a settle waits for somebody else's lock before it looks which of its rows are to be had.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);
/// How long each try waits for one while it looks.
const LOOKING_PATIENCE: Duration = Duration::from_millis(10);
/// Longest look. What it has not come to by then is called blocked, too, and has a longer look the next time.
const LONGEST_LOOK: Duration = Duration::from_millis(350);
/// Longest look at what was blocked before: no other settle waits for it.
const LONGEST_LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long a row is waited for to see who has it.
const HOLDER_PATIENCE: Duration = Duration::from_millis(300);
/// How far into that wait the server is asked.
const HOLDER_ASKED_AFTER: Duration = Duration::from_millis(50);

/// One workflow behind the engine's port.
pub struct Pipeline {
    name: Arc<str>,
    workflow: Box<dyn Erased>,
    stage: Stage,
    pool: Pool,
    node: i64,
    settings: Live<Settings>,
    frontier: Arc<Frontier>,
    in_hand: Mutex<InHand>,
    /// Looks after the items in hand, where these tell how far they have come.
    watch: Option<Arc<Watch>>,
}

/// What an item is worked from, or why that could not be read.
pub enum Loaded {
    /// Read.
    Input(Input),
    /// The row is gone.
    Gone,
    /// The row cannot be read.
    Unreadable(String),
}

impl Pipeline {
    /// Puts the port around a workflow.
    #[must_use]
    pub fn new<W: Workflow>(workflow: W, pool: Pool, node: i64, settings: Live<Settings>) -> Self {
        let workflow = Box::new(workflow);
        Self::of(W::NAME.into(), workflow, W::stage(), pool, node, settings)
    }

    /// The same around one whose name and stage its type does not tell.
    #[must_use]
    pub fn of(
        name: Arc<str>,
        workflow: Box<dyn Erased>,
        stage: Stage,
        pool: Pool,
        node: i64,
        settings: Live<Settings>,
    ) -> Self {
        let watch = Watch::over(&name, &stage, &pool);
        Self {
            name,
            workflow,
            stage,
            watch,
            pool,
            node,
            settings,
            frontier: Arc::default(),
            in_hand: Mutex::default(),
        }
    }

    /// Claims past this frontier, which somebody else tells who pins row versions.
    #[must_use]
    pub fn past(mut self, frontier: Arc<Frontier>) -> Self {
        self.frontier = frontier;
        self
    }

    async fn connection(&self) -> Result<PooledConnection, PortError> {
        self.pool.get().await.map_err(unavailable)
    }

    fn in_hand(&self) -> std::sync::MutexGuard<'_, InHand> {
        // The set is whole between any two statements, so a panic elsewhere does not spoil it.
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any of these were blocked before: not worth waiting for again.
    fn was_blocked(&self, batch: &[Settlement<Output>]) -> bool {
        let blocked = &self.in_hand().blocked;
        !blocked.is_empty() && batch.iter().any(|one| blocked.contains(&one.item))
    }

    /// Takes note that these could not be recorded for somebody else's lock.
    fn block(&self, report: &mut SettleReport, part: &[Settlement<Output>]) {
        let items = part.iter().map(|settlement| settlement.item);
        self.in_hand().blocked.extend(items.clone());
        report.blocked.items.extend(items);
    }

    /// These are recorded, but for those that are blocked.
    fn put_down(&self, part: &[Settlement<Output>], report: &SettleReport) {
        let blocked: HashSet<ItemId> = report.blocked.items.iter().copied().collect();
        let mut in_hand = self.in_hand();
        for settlement in part {
            if !blocked.contains(&settlement.item) {
                in_hand.put_down(settlement.item);
            }
        }
        in_hand.blocked.extend(blocked);
    }

    /// Hands back rows of ours that nobody works, after an answer was lost.
    async fn reconcile(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
    ) -> Result<(), PortError> {
        let known: Vec<ItemId> = {
            let in_hand = self.in_hand();
            if !in_hand.is_uncertain {
                return Ok(());
            }
            in_hand.items.keys().copied().collect()
        };
        let freed = self
            .stage
            .release(conn, lease, &known)
            .await
            .map_err(db::port_error)?;
        // A row that somebody else has locked may be one of them.
        self.in_hand().is_uncertain = freed.locked > 0;
        if freed.freed > 0 {
            self.frontier.forget();
            warn!(
                workflow = &*self.name,
                items = freed.freed,
                "released items of a lost claim"
            );
        }
        Ok(())
    }

    /// Claims the rows that the workflow wants first, then others up to the limit.
    async fn take(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        limit: usize,
        wanted: &[ItemId],
    ) -> Result<Vec<Claimed>, DieselError> {
        let mut claimed = Vec::new();
        if !wanted.is_empty() {
            claimed = match self.stage.claim_these(conn, lease, wanted).await {
                // They are due by their rows too, and found by these.
                Err(error) if db::is_of_a_row(&error) => Vec::new(),
                rows => rows?,
            };
            let got: HashSet<ItemId> = claimed.iter().map(|row| row.id).collect();
            let missed: Vec<ItemId> = wanted
                .iter()
                .copied()
                .filter(|id| !got.contains(id))
                .collect();
            if !missed.is_empty() {
                self.workflow.unclaimed(conn, &missed).await?;
            }
        }
        let room = limit.saturating_sub(claimed.len());
        if room > 0 {
            let rows = if self.stage.is_shared() {
                // One place is left to what is not large.
                let large = self.settings.get().concurrency.saturating_sub(1).max(1);
                self.stage.claim_shared(conn, lease, room, large).await
            } else {
                let past = self.stage.claim_past(conn, lease, room, &self.frontier);
                past.await
            };
            claimed.extend(match rows {
                Err(error) if db::is_of_a_row(&error) => {
                    self.stage.claim_around(conn, lease, room).await?
                }
                rows => rows?,
            });
        }
        Ok(claimed)
    }

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> Result<HashMap<ItemId, Loaded>, DieselError> {
        let mut loaded = HashMap::with_capacity(ids.len());
        let mut halves = Halves::of(ids);
        while let Some(part) = halves.next_part() {
            match self.workflow.load(conn, part).await {
                Ok(rows) => {
                    loaded.extend(
                        rows.into_iter()
                            .map(|(id, input)| (id, Loaded::Input(input))),
                    );
                }
                Err(error) if db::is_trouble(&error) => return Err(error),
                // Not the database's trouble: a row that we cannot read, which stands alone in the end, or all of them. Charged
                // to the rows, or they block the queue.
                Err(error) => {
                    let reason = db::described(&error);
                    let unreadable = match halves.refused(part, error) {
                        Ok(None) => &[],
                        Ok(Some(_)) | Err(_) => part,
                    };
                    for id in unreadable {
                        error!(
                            workflow = &*self.name,
                            item = id,
                            reason,
                            "cannot load a row"
                        );
                        loaded.insert(*id, Loaded::Unreadable(reason.clone()));
                    }
                }
            }
        }
        Ok(loaded)
    }

    /// Works an item, for as long as its row is ours where that is looked after.
    async fn work(
        &self,
        item: ItemId,
        attempt: i16,
        input: Input,
    ) -> Result<Done<Output>, WorkflowError> {
        let progress = Progress::default();
        let work = self.workflow.run(input, &progress);
        let lease = self.in_hand().lease;
        let (Some(watch), Some(lease)) = (&self.watch, lease) else {
            return work.await;
        };
        let _watched = watch.begin(lease, item, attempt, &progress);
        tokio::select! {
            done = work => done,
            // Nothing that it says is recorded.
            () = progress.stopped() => Ok(Done::Filtered("stopped from outside".to_owned(), None)),
        }
    }

    /// Records a batch, in a transaction. Returns the rows that were still ours.
    async fn record(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        batch: &[&Settlement<Output>],
    ) -> Result<HashSet<ItemId>, DieselError> {
        let records = Records::of(batch.iter().copied());
        let settled: HashSet<ItemId> = self
            .stage
            .settle(conn, lease, &records)
            .await?
            .into_iter()
            .collect();
        let outputs: Vec<(ItemId, &Output)> = batch
            .iter()
            .filter(|settlement| settled.contains(&settlement.item))
            .filter_map(|settlement| Some((settlement.item, output_of(&settlement.verdict)?)))
            .collect();
        if !outputs.is_empty() {
            self.workflow.store(conn, &outputs).await?;
        }
        if settled.len() < batch.len() {
            let dropped: Vec<(ItemId, i16)> = batch
                .iter()
                .filter(|settlement| !settled.contains(&settlement.item))
                .map(|settlement| (settlement.item, settlement.attempt))
                .collect();
            self.stage.disown(conn, lease, &dropped).await?;
        }
        self.stage.tell_room(conn).await?;
        Ok(settled)
    }

    /// Records a batch but for the rows that somebody else has locked, which it returns besides.
    async fn record_free(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        batch: &[Settlement<Output>],
    ) -> Result<(HashSet<ItemId>, Vec<ItemId>), DieselError> {
        let ids: Vec<ItemId> = batch.iter().map(|settlement| settlement.item).collect();
        let locked = self.stage.locked(conn, &ids).await?;
        let free: Vec<&Settlement<Output>> = batch
            .iter()
            .filter(|settlement| !locked.contains(&settlement.item))
            .collect();
        let settled = if free.is_empty() {
            HashSet::new()
        } else {
            self.record(conn, lease, &free).await?
        };
        Ok((settled, locked))
    }

    /// Records a batch in one transaction, and tells the workflow once that is committed. The connection is given up in between.
    async fn record_and_tell(
        &self,
        lease: LeaseId,
        batch: &[Settlement<Output>],
        look: Look,
    ) -> Result<SettleReport, Refusal> {
        let (settled, locked) = {
            let mut conn = self.connection().await.map_err(Refusal::Trouble)?;
            let recorded = match look {
                Look::Away => self.record_all(&mut conn, lease, batch).await,
                Look::First => {
                    let begun = locks::begin(&mut conn, LOOKING_PATIENCE).await;
                    begun.map_err(Refusal::of)?;
                    let recorded = self.record_free(&mut conn, lease, batch).await;
                    locks::end(&mut conn, recorded).await
                }
            };
            recorded.map_err(Refusal::of)?
        };
        let told: Vec<Settled<'_, Output>> = batch
            .iter()
            .filter(|settlement| settled.contains(&settlement.item))
            .map(ended)
            .collect();
        if !told.is_empty() {
            self.workflow.committed(&told).await;
        }
        Ok(count(batch, &settled, locked))
    }

    /// The ordinary case: nobody is in the way.
    async fn record_all(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        batch: &[Settlement<Output>],
    ) -> Result<(HashSet<ItemId>, Vec<ItemId>), DieselError> {
        let all: Vec<&Settlement<Output>> = batch.iter().collect();
        locks::begin(conn, LOCK_PATIENCE).await?;
        let recorded = self.record(conn, lease, &all).await;
        let settled = locks::end(conn, recorded).await?;
        Ok((settled, Vec::new()))
    }

    /// Who keeps this one from being recorded, by trying once more, in vain.
    async fn who_blocks(&self, lease: LeaseId, blocked: &Settlement<Output>) -> Option<String> {
        // Both before the wait begins, and neither waited for: others need connections for more than this.
        let mut asking = self.spare_connection().await?;
        let mut trying = self.spare_connection().await?;
        let pid = locks::own_pid(&mut trying).await.ok()?;
        let tried = async {
            locks::begin(&mut trying, HOLDER_PATIENCE).await?;
            let tried = self.record(&mut trying, lease, &[blocked]).await;
            // Were the lock gone, it would still be the next try that records it.
            let undone = tried.and(Err::<(), _>(DieselError::RollbackTransaction));
            locks::end(&mut trying, undone).await
        };
        let asked = async {
            tokio::time::sleep(HOLDER_ASKED_AFTER).await;
            locks::holders_against(&mut asking, pid).await
        };
        let asked = tokio::time::timeout(HOLDER_PATIENCE, asked);
        let (_in_vain, holders) = tokio::join!(tried, asked);
        locks::named(&holders.ok()?.ok()?)
    }

    /// A connection, if one is to be had at once.
    async fn spare_connection(&self) -> Option<PooledConnection> {
        let spare = tokio::time::timeout(HOLDER_PATIENCE, self.pool.get());
        spare.await.ok()?.ok()
    }

    /// What becomes of an item whose result the database refuses: what becomes of any failure of that row.
    fn charge(&self, refused: &Settlement<Output>, error: DieselError) -> Settlement<Output> {
        let excused = self.in_hand().excused.get(&refused.item).copied();
        let counted = refused.attempt - excused.unwrap_or_default();
        let error = self.by_terms(
            WorkflowError::retry("store", error),
            counted,
            output_of(&refused.verdict),
        );
        let (verdict, _snooze) = judge(
            failed(error, None),
            counted,
            &self.settings.get(),
            rand::random(),
        );
        Settlement {
            item: refused.item,
            attempt: refused.attempt,
            elapsed: refused.elapsed,
            verdict,
        }
    }

    /// A failure as the row's own terms have it, if it has any: the one way, whatever it was that went wrong. `counted` are the attempts
    /// that count.
    fn by_terms(
        &self,
        error: WorkflowError,
        counted: i16,
        output: Option<&Output>,
    ) -> WorkflowError {
        match output.and_then(|output| self.workflow.terms(output)) {
            Some(terms) => terms.applied(counted, error),
            None => error,
        }
    }
}

impl Port for Pipeline {
    type Input = Loaded;
    type Output = Output;

    async fn open_lease(
        &self,
        ttl: Duration,
        previous: Option<Previous>,
    ) -> Result<OpenedLease, PortError> {
        self.workflow.ready().map_err(PortError::Misconfigured)?;
        let max_attempts = self.settings.get().max_attempts;
        let mut conn = self.connection().await?;
        let opened = conn
            .transaction::<_, DieselError, _>(async |conn| {
                let id = lease::open(conn, self.node, &self.name, ttl).await?;
                let stage = &self.stage;
                let taken_back = match previous {
                    Some(Previous {
                        lease,
                        ending: Ending::Died,
                    }) => stage.take_back(conn, lease, max_attempts).await?.freed,
                    Some(Previous {
                        lease,
                        ending: Ending::Lost,
                    }) => {
                        let released = stage.release_lost(conn, lease).await?;
                        if released.locked > 0 {
                            lease::close(conn, lease).await?;
                        }
                        released.freed
                    }
                    None => 0,
                };
                // Also one whose opening was answered too late to be known, which the heartbeat would renew for ever.
                lease::end_older(conn, self.node, &self.name, id).await?;
                Ok(OpenedLease {
                    id,
                    taken_back: u64::try_from(taken_back).unwrap_or(0),
                })
            })
            .await
            .map_err(db::port_error)?;
        *self.in_hand() = InHand {
            lease: Some(opened.id),
            ..InHand::default()
        };
        if opened.taken_back > 0 {
            self.frontier.forget();
        }
        Ok(opened)
    }

    async fn claim(
        &self,
        lease: LeaseId,
        limit: usize,
    ) -> Result<Vec<Claim<Self::Input>>, PortError> {
        let wanted = self.workflow.wanted(limit).await;
        let mut conn = self.connection().await?;
        self.reconcile(&mut conn, lease).await?;
        // Set before, cleared after: a claim that is cancelled on its way is as uncertain as one that failed.
        self.in_hand().is_uncertain = true;
        let claimed = self
            .take(&mut conn, lease, limit, &wanted)
            .await
            .map_err(db::port_error)?;
        let max_attempts = self.settings.get().max_attempts;
        let excused = self.stage.excused(&mut conn, &claimed, max_attempts).await;
        let excused: HashMap<ItemId, i16> = excused
            .map_err(db::port_error)?
            .into_iter()
            .map(|row| (row.id, row.excused))
            .collect();
        let ids: Vec<ItemId> = claimed.iter().map(|row| row.id).collect();
        let mut inputs = if ids.is_empty() {
            HashMap::new()
        } else {
            self.load(&mut conn, &ids).await.map_err(db::port_error)?
        };
        let mut in_hand = self.in_hand();
        in_hand.take(&ids);
        in_hand.excused.extend(&excused);
        in_hand.is_uncertain = false;
        drop(in_hand);
        Ok(claimed
            .into_iter()
            .map(|row| Claim {
                item: row.id,
                attempt: row.attempt,
                excused: excused.get(&row.id).copied().unwrap_or_default(),
                input: inputs.remove(&row.id).unwrap_or(Loaded::Gone),
            })
            .collect())
    }

    async fn run(&self, claim: Claim<Self::Input>) -> Outcome<Self::Output> {
        let counted = claim.counted();
        let input = match claim.input {
            Loaded::Input(input) => input,
            Loaded::Gone => {
                return Outcome::Permanent {
                    failure: Failure::new("gone", "the row is no longer there"),
                    output: None,
                };
            }
            Loaded::Unreadable(reason) => {
                return Outcome::Retry {
                    failure: Failure::new("load", reason),
                    after: None,
                    output: None,
                };
            }
        };
        let outcome = match self.work(claim.item, claim.attempt, input).await {
            Ok(Done::Completed(output)) => Outcome::Completed(output),
            Ok(Done::Filtered(reason, output)) => Outcome::Filtered { reason, output },
            Ok(Done::Failed(error, output)) => {
                let error = self.by_terms(error, counted, Some(&output));
                failed(error, Some(output))
            }
            Err(error) => failed(error, None),
        };
        if let Outcome::Retry { failure, .. } | Outcome::Permanent { failure, .. } = &outcome {
            debug!(
                workflow = &*self.name,
                item = claim.item,
                class = failure.class,
                error = failure.message,
                "item failed"
            );
        }
        outcome
    }

    async fn settle(
        &self,
        lease: LeaseId,
        batch: &[Settlement<Self::Output>],
    ) -> Result<SettleReport, Unsettled> {
        let mut report = SettleReport::default();
        // A batch that the database refuses is halved until the one item that is at fault stands alone. The left half first:
        // what is recorded when trouble comes in between is the front of the batch. So is one that somebody else's locks stop,
        // until those stand alone that are blocked. Their rows can be told from the others beforehand; what their results lead to
        // (a row that is referred to, the same value in a unique index) cannot.
        let mut pending = vec![batch];
        let was_blocked = self.was_blocked(batch);
        let longest = if was_blocked {
            LONGEST_LOOK_AGAIN
        } else {
            LONGEST_LOOK
        };
        let mut looking = was_blocked.then(Instant::now);
        while let Some(part) = pending.pop() {
            let look = match looking {
                None => Look::Away,
                Some(since) if since.elapsed() < longest => Look::First,
                Some(_) => {
                    self.block(&mut report, part);
                    continue;
                }
            };
            let recorded = match (self.record_and_tell(lease, part, look).await, part) {
                (Err(Refusal::Data(error)), [alone]) => {
                    warn!(workflow = &*self.name, item = alone.item, error = %chain(&error),
                        "the database refuses an item's result");
                    let charged = self.charge(alone, error);
                    self.record_and_tell(lease, &[charged], look).await
                }
                (Err(Refusal::Locked(_)), again) if looking.is_none() => {
                    looking = Some(Instant::now());
                    pending.push(again);
                    continue;
                }
                (Err(Refusal::Data(_) | Refusal::Locked(_)), several) if several.len() > 1 => {
                    let (left, right) = several.split_at(several.len() / 2);
                    pending.push(right);
                    pending.push(left);
                    continue;
                }
                (recorded, _) => recorded,
            };
            match recorded {
                Ok(recorded) => {
                    self.put_down(part, &recorded);
                    add(&mut report, recorded);
                }
                Err(Refusal::Locked(error)) => {
                    debug!(workflow = &*self.name, error = %chain(&error), "blocked");
                    self.block(&mut report, part);
                }
                Err(Refusal::Trouble(error)) => {
                    return Err(Unsettled {
                        recorded: report,
                        error,
                    });
                }
                // Not even the failure can be written down.
                Err(Refusal::Data(error)) => {
                    return Err(Unsettled {
                        recorded: report,
                        error: db::port_error(error),
                    });
                }
            }
        }
        let first = report.blocked.items.first();
        // Not the first time, when others wait for this to end.
        if was_blocked && let Some(blocked) = batch.iter().find(|one| Some(&one.item) == first) {
            report.blocked.by = self.who_blocks(lease, blocked).await;
        }
        Ok(report)
    }

    async fn close_lease(&self, lease: LeaseId) -> Result<u64, PortError> {
        let mut conn = self.connection().await?;
        let freed = conn
            .transaction::<_, DieselError, _>(async |conn| {
                let released = self.stage.release_lost(conn, lease).await?;
                if released.locked > 0 {
                    lease::close(conn, lease).await?;
                    warn!(
                        workflow = &*self.name,
                        items = released.locked,
                        "rows that are locked cannot be handed back; they are rescued when the lock goes"
                    );
                } else {
                    lease::end(conn, lease).await?;
                }
                Ok(released.freed)
            })
            .await
            .map_err(db::port_error)?;
        Ok(u64::try_from(freed).unwrap_or(0))
    }

    async fn has_backlog(&self) -> Result<bool, PortError> {
        let mut conn = self.connection().await?;
        self.stage.has_due(&mut conn).await.map_err(db::port_error)
    }
}

/// Whether it is looked first which rows somebody else has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// No: hardly ever are there any.
    Away,
    /// Yes.
    First,
}

/// Why a batch was not recorded.
enum Refusal {
    /// The database is in trouble: later.
    Trouble(PortError),
    /// Somebody else has a lock on what would be written.
    Locked(DieselError),
    /// The database does not take what is to be stored.
    Data(DieselError),
}

impl Refusal {
    fn of(error: DieselError) -> Self {
        if locks::is_locked(&error) {
            Self::Locked(error)
        } else if db::is_trouble(&error) {
            Self::Trouble(unavailable(error))
        } else {
            Self::Data(error)
        }
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> PortError {
    PortError::Unavailable(Box::new(error))
}
