//! The spine: what happens to every item, for any workflow.
//!
//! `claim` → `load` → `run` → batch → `settle`, as the engine's port asks for it. This is the only bridge between workflows
//! and the engine. No connection is held while an item runs. The results of a batch, the statuses of its rows, the history
//! of the attempts and the follow-ups are one transaction, fenced by lease and attempt.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use gleaner_actors::port::{
    Claim, Failure, LeaseId, OpenedLease, Outcome, Port, PortError, SettleReport, Settlement,
    SnoozeScope, Unsettled, Verdict,
};
use gleaner_actors::{Settings, judge};
use tracing::{debug, error, warn};

use crate::db;
use crate::db::{Pool, PooledConnection};
use crate::live::Live;
use crate::store::lease;
use crate::store::stage::{Claimed, Frontier, Records, Stage};
use crate::telemetry::chain;
use crate::workflow::erased::{Erased, Input, Output};
use crate::workflow::{Done, Ended, ItemId, Settled, Workflow, WorkflowError};

/// One workflow behind the engine's port.
pub struct Pipeline {
    name: &'static str,
    workflow: Box<dyn Erased>,
    stage: Stage,
    pool: Pool,
    node: i64,
    settings: Live<Settings>,
    frontier: Arc<Frontier>,
    in_hand: Mutex<InHand>,
}

/// What the engine has been given and has not settled yet. Needed only when an answer was lost: rows claimed by a statement
/// whose answer never came are stamped with our lease, and only this tells them from the others.
#[derive(Default)]
struct InHand {
    /// How often: a row may be claimed again after its settle has committed and before that settle has taken note of it.
    items: HashMap<ItemId, u32>,
    /// A claim failed half-way: there may be rows that are ours and that nobody works.
    is_uncertain: bool,
}

impl InHand {
    fn take(&mut self, items: &[ItemId]) {
        for item in items {
            *self.items.entry(*item).or_default() += 1;
        }
    }

    fn put_down(&mut self, item: ItemId) {
        if let Entry::Occupied(mut held) = self.items.entry(item) {
            if *held.get() > 1 {
                *held.get_mut() -= 1;
            } else {
                held.remove();
            }
        }
    }
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
        Self {
            name: W::NAME,
            workflow: Box::new(workflow),
            stage: W::stage(),
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
            .map_err(unavailable)?;
        self.in_hand().is_uncertain = false;
        if freed.freed > 0 {
            self.frontier.forget();
            warn!(
                workflow = self.name,
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
            claimed = self.stage.claim_these(conn, lease, wanted).await?;
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
            let past = self.stage.claim_past(conn, lease, room, &self.frontier);
            claimed.extend(past.await?);
        }
        Ok(claimed)
    }

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> Result<HashMap<ItemId, Loaded>, DieselError> {
        match self.workflow.load(conn, ids).await {
            Ok(rows) => Ok(rows
                .into_iter()
                .map(|(id, input)| (id, Loaded::Input(input)))
                .collect()),
            Err(error) if db::is_trouble(&error) => Err(error),
            Err(error) => {
                // Not the database's trouble: a row that we cannot read. Charged to the rows, or they block the queue.
                error!(workflow = self.name, error = %chain(&error), "cannot load a batch");
                let reason = chain(&error);
                Ok(ids
                    .iter()
                    .map(|id| (*id, Loaded::Unreadable(reason.clone())))
                    .collect())
            }
        }
    }

    /// Records a batch in one transaction.
    async fn record(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        batch: &[Settlement<Output>],
    ) -> Result<HashSet<ItemId>, DieselError> {
        let records = Records::of(batch);
        conn.transaction::<_, DieselError, _>(async |conn| {
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
            Ok(settled)
        })
        .await
    }

    /// Records a batch, and tells the workflow once that is committed. The connection is given up in between.
    async fn record_and_tell(
        &self,
        lease: LeaseId,
        batch: &[Settlement<Output>],
    ) -> Result<SettleReport, Refusal> {
        let settled = {
            let mut conn = self.connection().await.map_err(Refusal::Trouble)?;
            match self.record(&mut conn, lease, batch).await {
                Ok(settled) => settled,
                Err(error) if db::is_trouble(&error) => {
                    return Err(Refusal::Trouble(unavailable(error)));
                }
                Err(error) => return Err(Refusal::Data(error)),
            }
        };
        let told: Vec<Settled<'_, Output>> = batch
            .iter()
            .filter(|settlement| settled.contains(&settlement.item))
            .map(ended)
            .collect();
        if !told.is_empty() {
            self.workflow.committed(&told).await;
        }
        Ok(count(batch, &settled))
    }

    /// What becomes of an item whose result the database refuses: what becomes of any failure of that row.
    fn charge(&self, refused: &Settlement<Output>, error: DieselError) -> Settlement<Output> {
        let error = self.by_terms(
            WorkflowError::retry("store", error),
            refused.attempt,
            output_of(&refused.verdict),
        );
        let (verdict, _snooze) = judge(
            failed(error, None),
            refused.attempt,
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

    /// A failure as the row's own terms have it, if it has any: the one way, whatever it was that went wrong.
    fn by_terms(
        &self,
        error: WorkflowError,
        attempt: i16,
        output: Option<&Output>,
    ) -> WorkflowError {
        match output.and_then(|output| self.workflow.terms(output)) {
            Some(terms) => terms.applied(attempt, error),
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
        previous: Option<LeaseId>,
    ) -> Result<OpenedLease, PortError> {
        self.workflow.ready().map_err(PortError::Misconfigured)?;
        let max_attempts = self.settings.get().max_attempts;
        let mut conn = self.connection().await?;
        let opened = conn
            .transaction::<_, DieselError, _>(async |conn| {
                let id = lease::open(conn, self.node, self.name, ttl).await?;
                let mut taken_back = 0;
                if let Some(previous) = previous {
                    taken_back = self
                        .stage
                        .take_back(conn, previous, max_attempts)
                        .await?
                        .freed;
                }
                // Also one whose opening was answered too late to be known, which the heartbeat would renew for ever.
                lease::end_older(conn, self.node, self.name, id).await?;
                Ok(OpenedLease {
                    id,
                    taken_back: u64::try_from(taken_back).unwrap_or(0),
                })
            })
            .await
            .map_err(unavailable)?;
        *self.in_hand() = InHand::default();
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
            .map_err(unavailable)?;
        let ids: Vec<ItemId> = claimed.iter().map(|row| row.id).collect();
        let mut inputs = if ids.is_empty() {
            HashMap::new()
        } else {
            self.load(&mut conn, &ids).await.map_err(unavailable)?
        };
        let mut in_hand = self.in_hand();
        in_hand.take(&ids);
        in_hand.is_uncertain = false;
        drop(in_hand);
        Ok(claimed
            .into_iter()
            .map(|row| Claim {
                item: row.id,
                attempt: row.attempt,
                input: inputs.remove(&row.id).unwrap_or(Loaded::Gone),
            })
            .collect())
    }

    async fn run(&self, claim: Claim<Self::Input>) -> Outcome<Self::Output> {
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
        let outcome = match self.workflow.run(input).await {
            Ok(Done::Completed(output)) => Outcome::Completed(output),
            Ok(Done::Filtered(reason, output)) => Outcome::Filtered { reason, output },
            Ok(Done::Failed(error, output)) => {
                let error = self.by_terms(error, claim.attempt, Some(&output));
                failed(error, Some(output))
            }
            Err(error) => failed(error, None),
        };
        if let Outcome::Retry { failure, .. } | Outcome::Permanent { failure, .. } = &outcome {
            debug!(
                workflow = self.name,
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
        // what is recorded when trouble comes in between is the front of the batch.
        let mut pending = vec![batch];
        while let Some(part) = pending.pop() {
            let recorded = match (self.record_and_tell(lease, part).await, part) {
                (Err(Refusal::Data(error)), [alone]) => {
                    warn!(workflow = self.name, item = alone.item, error = %chain(&error),
                        "the database refuses an item's result");
                    let charged = self.charge(alone, error);
                    self.record_and_tell(lease, &[charged]).await
                }
                (Err(Refusal::Data(_)), several) => {
                    let (left, right) = several.split_at(several.len() / 2);
                    pending.push(right);
                    pending.push(left);
                    continue;
                }
                (recorded, _) => recorded,
            };
            match recorded {
                Ok(recorded) => add(&mut report, recorded),
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
                        error: unavailable(error),
                    });
                }
            }
            let mut in_hand = self.in_hand();
            for settlement in part {
                in_hand.put_down(settlement.item);
            }
        }
        Ok(report)
    }

    async fn close_lease(&self, lease: LeaseId) -> Result<u64, PortError> {
        let mut conn = self.connection().await?;
        let freed = conn
            .transaction::<_, DieselError, _>(async |conn| {
                let freed = self.stage.release(conn, lease, &[]).await?.freed;
                lease::end(conn, lease).await?;
                Ok(freed)
            })
            .await
            .map_err(unavailable)?;
        Ok(u64::try_from(freed).unwrap_or(0))
    }

    async fn has_backlog(&self) -> Result<bool, PortError> {
        let mut conn = self.connection().await?;
        self.stage.has_due(&mut conn).await.map_err(unavailable)
    }
}

/// Why a batch was not recorded.
enum Refusal {
    /// The database is in trouble: later.
    Trouble(PortError),
    /// The database does not take what is to be stored.
    Data(DieselError),
}

fn ended<O>(settlement: &Settlement<O>) -> Settled<'_, O> {
    let ended = match settlement.verdict {
        Verdict::Complete(_) => Ended::Completed,
        Verdict::Filter { .. } => Ended::Filtered,
        Verdict::Retry { .. } => Ended::Again,
        Verdict::Snooze { .. } | Verdict::Release => Ended::Returned,
        Verdict::Fail { .. } => Ended::Failed,
    };
    Settled {
        item: settlement.item,
        attempt: settlement.attempt,
        ended,
        output: output_of(&settlement.verdict),
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> PortError {
    PortError::Unavailable(Box::new(error))
}

fn failed<O>(error: WorkflowError, output: Option<O>) -> Outcome<O> {
    match error {
        WorkflowError::Retry {
            class,
            after,
            source,
        } => Outcome::Retry {
            failure: Failure::new(class, chain(source.as_ref())),
            after,
            output,
        },
        WorkflowError::Snooze {
            after,
            reason,
            whole_workflow,
        } => {
            let scope = if whole_workflow {
                SnoozeScope::Workflow
            } else {
                SnoozeScope::Item
            };
            Outcome::Snooze {
                after,
                reason,
                scope,
            }
        }
        WorkflowError::Permanent { class, source } => Outcome::Permanent {
            failure: Failure::new(class, chain(source.as_ref())),
            output,
        },
    }
}

fn output_of<O>(verdict: &Verdict<O>) -> Option<&O> {
    match verdict {
        Verdict::Complete(output) => Some(output),
        Verdict::Filter { output, .. }
        | Verdict::Retry { output, .. }
        | Verdict::Fail { output, .. } => output.as_ref(),
        Verdict::Snooze { .. } | Verdict::Release => None,
    }
}

fn count<O>(batch: &[Settlement<O>], settled: &HashSet<ItemId>) -> SettleReport {
    let mut report = SettleReport::default();
    for settlement in batch {
        let counter = if settled.contains(&settlement.item) {
            match settlement.verdict {
                Verdict::Complete(_) => &mut report.completed,
                Verdict::Filter { .. } => &mut report.filtered,
                Verdict::Retry { .. } => &mut report.retried,
                Verdict::Snooze { .. } => &mut report.snoozed,
                Verdict::Fail { .. } => &mut report.failed,
                Verdict::Release => &mut report.released,
            }
        } else {
            &mut report.stale
        };
        *counter += 1;
    }
    report
}

fn add(total: &mut SettleReport, part: SettleReport) {
    total.completed += part.completed;
    total.filtered += part.filtered;
    total.retried += part.retried;
    total.snoozed += part.snoozed;
    total.failed += part.failed;
    total.released += part.released;
    total.stale += part.stale;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_claimed_again_before_its_settle_took_note_stays_in_hand() {
        let mut in_hand = InHand::default();
        in_hand.take(&[1, 2]);
        in_hand.take(&[1]);
        in_hand.put_down(1);
        in_hand.put_down(2);
        in_hand.put_down(2);
        assert_eq!(in_hand.items, HashMap::from([(1, 1)]));
    }
}
