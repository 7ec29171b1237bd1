//! An application that lives in memory: for tests of the engine, and of whoever builds on it.
//!
//! [`MemoryPort`] honours the contract of [`Port`] to the letter (leases with an expiry, attempts counted by the claim,
//! every write fenced), and does as scripted otherwise: items fail, hang and panic, calls are refused, lost or never
//! answered. It goes by tokio's clock, so paused time governs it. Not for production: it forgets everything.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::lease::lock;
use crate::observer::{Event, Observer};
use crate::port::{
    Claim, Ending, Failure, Heart, ItemId, LeaseId, OpenedLease, Outcome, Port, PortError,
    Previous, SettleReport, Settlement, SnoozeScope, Unsettled, Verdict,
};

/// How long [`MemoryPort::until`] and [`until`] wait.
const PATIENCE: Duration = Duration::from_secs(600);

/// What working an item comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// Completed at once.
    Complete,
    /// Completed after this time.
    Take(Duration),
    /// Filtered.
    Filter,
    /// A retryable failure, with a Retry-After or without.
    Retry(Option<Duration>),
    /// A snooze of the item.
    SnoozeItem(Duration),
    /// A snooze of the whole workflow.
    SnoozeWorkflow(Duration),
    /// A permanent failure.
    Permanent,
    /// A panic with this message.
    Panic(&'static str),
    /// Never an end.
    Hang,
}

/// A kind of call to the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`Port::open_lease`].
    OpenLease,
    /// [`Port::claim`].
    Claim,
    /// [`Port::settle`].
    Settle,
    /// [`Port::close_lease`].
    CloseLease,
}

/// What happens to a call instead of success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the store is unavailable.
    Unavailable,
    /// All is done, and the answer is lost.
    AnswerLost,
    /// Of a settle, the first half is done, and then the store is unavailable. Any other call is as with `Unavailable`.
    HalfDone,
    /// The lease is said to be lost, and is.
    LeaseLost,
    /// The workflow cannot work, for this reason.
    Misconfigured(&'static str),
    /// Never answered.
    Hang,
    /// A bug in the application.
    Panic,
}

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waiting for a claim.
    Queued,
    /// Claimed.
    Processing,
    /// Done.
    Completed,
    /// Nothing to do.
    Filtered,
    /// Given up.
    Error,
}

/// One item.
#[derive(Clone, Debug)]
pub struct Row {
    /// Where it stands.
    pub status: Status,
    /// Attempts counted so far.
    pub attempts: i16,
    /// Under which lease it is being worked.
    pub lease: Option<LeaseId>,
    /// When it may be claimed.
    pub due: Instant,
    /// How often its completion was stored. More than once is a bug.
    pub stored: u32,
    /// How often it was run.
    pub runs: u32,
    /// What its last failure was.
    pub failure: Option<Failure>,
    scripts: VecDeque<Script>,
}

/// One answered claim.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRecord {
    /// How many were asked for.
    pub limit: usize,
    /// How many there were.
    pub items: usize,
    /// When.
    pub at: Instant,
}

#[derive(Default)]
struct Store {
    rows: HashMap<ItemId, Row>,
    /// The queued rows in the claim's order.
    queue: BTreeSet<(Instant, ItemId)>,
    leases: HashMap<LeaseId, Instant>,
    /// Attempts that stay counted since a lease ended of itself.
    charged: HashMap<LeaseId, Vec<(ItemId, i16)>>,
    faults: HashMap<Call, (usize, Fault)>,
    latency: HashMap<Call, Duration>,
    claims: Vec<ClaimRecord>,
    settles: Vec<usize>,
    locked: HashSet<ItemId>,
    running: usize,
    most_running: usize,
    backlog_hidden: bool,
}

/// An in-memory [`Port`] with scripted faults.
#[derive(Default)]
pub struct MemoryPort {
    store: Mutex<Store>,
    changed: watch::Sender<()>,
}

/// Lease ids are unique over all ports, as they are in one database.
static NEXT_LEASE: AtomicI64 = AtomicI64::new(1);

impl MemoryPort {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Queues items that complete at once.
    pub fn enqueue(&self, items: impl IntoIterator<Item = ItemId>) {
        self.enqueue_scripted(items, &[Script::Complete]);
    }

    /// Queues items that do this on their first run, that on their second, and the last for ever after.
    pub fn enqueue_scripted(&self, items: impl IntoIterator<Item = ItemId>, scripts: &[Script]) {
        let due = Instant::now();
        let mut store = self.lock();
        for item in items {
            let row = Row {
                status: Status::Queued,
                attempts: 0,
                lease: None,
                due,
                stored: 0,
                runs: 0,
                failure: None,
                scripts: scripts.iter().cloned().collect(),
            };
            store.rows.insert(item, row);
            store.queue.insert((due, item));
        }
        drop(store);
        self.changed.send_replace(());
    }

    /// Makes the next `times` calls of this kind fail this way.
    pub fn fail_next(&self, call: Call, times: usize, fault: Fault) {
        self.lock().faults.insert(call, (times, fault));
    }

    /// Makes all calls of this kind fail this way until [`MemoryPort::mend`].
    pub fn fail(&self, call: Call, fault: Fault) {
        self.fail_next(call, usize::MAX, fault);
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.lock().faults.clear();
    }

    /// Makes every call of this kind take this long.
    pub fn slow(&self, call: Call, latency: Duration) {
        self.lock().latency.insert(call, latency);
    }

    /// Keeps these items, and no others, from being settled, as somebody else's open transaction does.
    pub fn lock_rows(&self, items: impl IntoIterator<Item = ItemId>) {
        self.lock().locked = items.into_iter().collect();
    }

    /// Makes claims find nothing, though [`Port::has_backlog`] still sees what there is.
    pub fn hide_backlog(&self, hidden: bool) {
        self.lock().backlog_hidden = hidden;
    }

    /// Expires a lease behind its holder's back, and queues its rows again, as another node's rescue would.
    pub fn expire(&self, lease: LeaseId) {
        self.lock().end_lease(lease, false);
        self.changed.send_replace(());
    }

    /// Queues again the rows of all leases that have expired; how many there were.
    pub fn rescue(&self) -> u64 {
        let mut store = self.lock();
        let now = Instant::now();
        let expired: Vec<LeaseId> = store
            .leases
            .iter()
            .filter(|(_, expires)| **expires <= now)
            .map(|(lease, _)| *lease)
            .collect();
        let rescued = expired
            .into_iter()
            .map(|lease| store.end_lease(lease, false))
            .sum();
        drop(store);
        self.changed.send_replace(());
        rescued
    }

    /// One item.
    #[must_use]
    pub fn row(&self, item: ItemId) -> Option<Row> {
        self.lock().rows.get(&item).cloned()
    }

    /// How many items stand there.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        let store = self.lock();
        store
            .rows
            .values()
            .filter(|row| row.status == status)
            .count()
    }

    /// Every claim that was answered, in order.
    #[must_use]
    pub fn claims(&self) -> Vec<ClaimRecord> {
        self.lock().claims.clone()
    }

    /// The size of every settle that was answered, in order.
    #[must_use]
    pub fn settles(&self) -> Vec<usize> {
        self.lock().settles.clone()
    }

    /// How many items are being run.
    #[must_use]
    pub fn running(&self) -> usize {
        self.lock().running
    }

    /// The most items that were ever run at once.
    #[must_use]
    pub fn most_running(&self) -> usize {
        self.lock().most_running
    }

    /// The leases that have not ended, expired or not.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseId> {
        let mut leases: Vec<LeaseId> = self.lock().leases.keys().copied().collect();
        leases.sort_unstable();
        leases
    }

    /// Waits until this holds; level-triggered.
    ///
    /// # Panics
    /// When it does not within ten minutes of tokio's time.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !holds(self) {
                // The sender lives in `self`, so this cannot fail.
                let _changed = changed.changed().await;
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "waited in vain until {what}");
    }

    /// Waits until this many items stand there.
    ///
    /// # Panics
    /// As [`MemoryPort::until`].
    pub async fn until_count(&self, status: Status, items: usize) {
        let what = format!("{items} items are {status:?}");
        self.until(&what, |port| port.count(status) == items).await;
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    /// Takes this call's time and its fault, if it has one.
    async fn undergo(&self, call: Call, lease: Option<LeaseId>) -> Result<Reply, PortError> {
        let latency = self.lock().latency.get(&call).copied();
        if let Some(latency) = latency {
            sleep(latency).await;
        }
        let fault = self.lock().next_fault(call);
        match fault {
            None => Ok(Reply::Given),
            Some(Fault::AnswerLost) => Ok(Reply::Lost),
            Some(Fault::HalfDone) if call == Call::Settle => Ok(Reply::Half),
            Some(Fault::Unavailable | Fault::HalfDone) => Err(unavailable()),
            Some(Fault::LeaseLost) => {
                let lease = lease.unwrap_or(LeaseId(0));
                self.expire(lease);
                Err(PortError::LeaseLost(lease))
            }
            Some(Fault::Misconfigured(reason)) => Err(PortError::Misconfigured(reason.to_owned())),
            Some(Fault::Hang) => std::future::pending().await,
            #[expect(clippy::panic, reason = "that is the fault")]
            Some(Fault::Panic) => panic!("scripted panic in {call:?}"),
        }
    }

    fn answer<T>(&self, value: T, reply: Reply) -> Result<T, PortError> {
        self.changed.send_replace(());
        match reply {
            Reply::Given => Ok(value),
            Reply::Lost | Reply::Half => Err(unavailable()),
        }
    }
}

/// What becomes of a call that is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// Its answer arrives.
    Given,
    /// Its answer is lost.
    Lost,
    /// It is carried out by half, and says so.
    Half,
}

fn unavailable() -> PortError {
    PortError::Unavailable("connection refused".into())
}

impl Store {
    fn next_fault(&mut self, call: Call) -> Option<Fault> {
        let (times, fault) = self.faults.get_mut(&call)?;
        *times = times.saturating_sub(1);
        let (times, fault) = (*times, *fault);
        if times == 0 {
            self.faults.remove(&call);
        }
        Some(fault)
    }

    fn queue(&mut self, item: ItemId, due: Instant) {
        if let Some(row) = self.rows.get_mut(&item) {
            row.status = Status::Queued;
            row.lease = None;
            row.due = due;
            self.queue.insert((due, item));
        }
    }

    fn end_lease(&mut self, lease: LeaseId, give_attempts_back: bool) -> u64 {
        self.leases.remove(&lease);
        let held: Vec<ItemId> = self
            .rows
            .iter()
            .filter(|(item, row)| row.lease == Some(lease) && !self.locked.contains(item))
            .map(|(item, _)| *item)
            .collect();
        let now = Instant::now();
        let mut ended = 0;
        for item in held {
            if let Some(row) = self.rows.get_mut(&item) {
                if give_attempts_back {
                    row.attempts -= 1;
                } else {
                    let charged = self.charged.entry(lease).or_default();
                    charged.push((item, row.attempts));
                }
            }
            self.queue(item, now);
            ended += 1;
        }
        ended
    }

    /// Gives back what was charged when this lease ended, where nobody has gone on since.
    fn excuse(&mut self, lease: LeaseId) {
        for (item, attempt) in self.charged.remove(&lease).unwrap_or_default() {
            if let Some(row) = self.rows.get_mut(&item)
                && row.status == Status::Queued
                && row.attempts == attempt
            {
                row.attempts -= 1;
            }
        }
    }

    fn check_lease(&self, lease: LeaseId) -> Result<(), PortError> {
        let holds = self
            .leases
            .get(&lease)
            .is_some_and(|expires| *expires > Instant::now());
        if holds {
            Ok(())
        } else {
            Err(PortError::LeaseLost(lease))
        }
    }

    fn settle_one(&mut self, lease: LeaseId, one: &Settlement<ItemId>, report: &mut SettleReport) {
        let now = Instant::now();
        let row = self
            .rows
            .get_mut(&one.item)
            .filter(|row| row.lease == Some(lease) && row.attempts == one.attempt);
        let Some(row) = row else {
            report.stale += 1;
            return;
        };
        row.lease = None;
        match &one.verdict {
            Verdict::Complete(_) => {
                row.status = Status::Completed;
                row.stored += 1;
                report.completed += 1;
            }
            Verdict::Filter { .. } => {
                row.status = Status::Filtered;
                report.filtered += 1;
            }
            Verdict::Retry { after, failure, .. } => {
                row.failure = Some(failure.clone());
                self.queue(one.item, now + *after);
                report.retried += 1;
            }
            Verdict::Snooze { after, .. } => {
                row.attempts -= 1;
                self.queue(one.item, now + *after);
                report.snoozed += 1;
            }
            Verdict::Fail { failure, .. } => {
                row.failure = Some(failure.clone());
                row.status = Status::Error;
                report.failed += 1;
            }
            Verdict::Release => {
                row.attempts -= 1;
                self.queue(one.item, now);
                report.released += 1;
            }
        }
    }
}

/// Counts an item as running for as long as it lives.
struct Running<'a>(&'a MemoryPort);

impl<'a> Running<'a> {
    fn new(port: &'a MemoryPort, item: ItemId) -> Self {
        let mut store = port.lock();
        store.running += 1;
        store.most_running = store.most_running.max(store.running);
        if let Some(row) = store.rows.get_mut(&item) {
            row.runs += 1;
        }
        drop(store);
        port.changed.send_replace(());
        Self(port)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.changed.send_replace(());
    }
}

impl Port for MemoryPort {
    type Input = Script;
    type Output = ItemId;

    async fn open_lease(
        &self,
        ttl: Duration,
        previous: Option<Previous>,
    ) -> Result<OpenedLease, PortError> {
        let lost = self.undergo(Call::OpenLease, None).await?;
        let id = LeaseId(NEXT_LEASE.fetch_add(1, Ordering::Relaxed));
        let taken_back = {
            let mut store = self.lock();
            store.leases.insert(id, Instant::now() + ttl);
            match previous {
                Some(Previous { lease, ending }) => {
                    let is_lost = ending == Ending::Lost;
                    let ended = store.end_lease(lease, is_lost);
                    if is_lost {
                        store.excuse(lease);
                    }
                    ended
                }
                None => 0,
            }
        };
        self.answer(OpenedLease { id, taken_back }, lost)
    }

    async fn claim(&self, lease: LeaseId, limit: usize) -> Result<Vec<Claim<Script>>, PortError> {
        let lost = self.undergo(Call::Claim, Some(lease)).await?;
        let now = Instant::now();
        let mut claims = Vec::new();
        {
            let mut store = self.lock();
            store.check_lease(lease)?;
            while claims.len() < limit && !store.backlog_hidden {
                let Some(&(due, item)) = store.queue.first() else {
                    break;
                };
                if due > now {
                    break;
                }
                store.queue.pop_first();
                let Some(row) = store.rows.get_mut(&item) else {
                    continue;
                };
                row.status = Status::Processing;
                row.attempts += 1;
                row.lease = Some(lease);
                let script = if row.scripts.len() > 1 {
                    row.scripts.pop_front()
                } else {
                    row.scripts.front().cloned()
                };
                claims.push(Claim {
                    item,
                    attempt: row.attempts,
                    excused: 0,
                    input: script.unwrap_or(Script::Complete),
                });
            }
            store.claims.push(ClaimRecord {
                limit,
                items: claims.len(),
                at: now,
            });
        }
        self.answer(claims, lost)
    }

    async fn run(&self, claim: Claim<Script>) -> Outcome<ItemId> {
        let _running = Running::new(self, claim.item);
        match claim.input {
            Script::Complete => Outcome::Completed(claim.item),
            Script::Take(time) => {
                sleep(time).await;
                Outcome::Completed(claim.item)
            }
            Script::Filter => Outcome::Filtered {
                reason: "scripted".to_owned(),
                output: None,
            },
            Script::Retry(after) => Outcome::Retry {
                failure: Failure::new("http", "scripted"),
                after,
                output: None,
            },
            Script::SnoozeItem(after) => Outcome::Snooze {
                after,
                reason: "scripted".to_owned(),
                scope: SnoozeScope::Item,
            },
            Script::SnoozeWorkflow(after) => Outcome::Snooze {
                after,
                reason: "scripted".to_owned(),
                scope: SnoozeScope::Workflow,
            },
            Script::Permanent => Outcome::Permanent {
                failure: Failure::new("http", "scripted"),
                output: None,
            },
            #[expect(clippy::panic, reason = "that is the script")]
            Script::Panic(message) => panic!("{message}"),
            Script::Hang => std::future::pending().await,
        }
    }

    async fn settle(
        &self,
        lease: LeaseId,
        batch: &[Settlement<ItemId>],
    ) -> Result<SettleReport, Unsettled> {
        let reply = self.undergo(Call::Settle, Some(lease)).await?;
        let items = match reply {
            Reply::Half => batch.len() / 2,
            Reply::Given | Reply::Lost => batch.len(),
        };
        let mut report = SettleReport::default();
        {
            let mut store = self.lock();
            store.check_lease(lease)?;
            for one in batch.iter().take(items) {
                if store.locked.contains(&one.item) {
                    report.blocked.items.push(one.item);
                    report.blocked.by = Some("a test".to_owned());
                } else {
                    store.settle_one(lease, one, &mut report);
                }
            }
            store.settles.push(items);
        }
        self.answer(report.clone(), reply)
            .map_err(|error| Unsettled {
                recorded: match reply {
                    Reply::Half => report,
                    Reply::Given | Reply::Lost => SettleReport::default(),
                },
                error,
            })
    }

    async fn close_lease(&self, lease: LeaseId) -> Result<u64, PortError> {
        let lost = self.undergo(Call::CloseLease, Some(lease)).await?;
        let released = self.lock().end_lease(lease, true);
        self.answer(released, lost)
    }

    async fn has_backlog(&self) -> Result<bool, PortError> {
        let now = Instant::now();
        let first = self.lock().queue.first().copied();
        Ok(first.is_some_and(|(due, _)| due <= now))
    }
}

/// How a [`MemoryHeart`] beats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartMode {
    /// As it should.
    #[default]
    Beats,
    /// The store cannot be reached.
    Unavailable,
    /// No answer ever comes.
    Hangs,
    /// A bug in the application.
    Panics,
}

/// The heart of some [`MemoryPort`]s.
#[derive(Clone)]
pub struct MemoryHeart {
    ports: Arc<Mutex<Vec<Arc<MemoryPort>>>>,
    mode: Arc<Mutex<HeartMode>>,
}

impl MemoryHeart {
    /// A heart that renews these ports' leases. Its clones are one.
    #[must_use]
    pub fn new(ports: &[Arc<MemoryPort>]) -> Self {
        Self {
            ports: Arc::new(Mutex::new(ports.to_vec())),
            mode: Arc::default(),
        }
    }

    /// Renews this port's leases too.
    pub fn join(&self, port: &Arc<MemoryPort>) {
        lock(&self.ports).push(Arc::clone(port));
    }

    /// Changes how it beats from the next beat on.
    pub fn set(&self, mode: HeartMode) {
        *lock(&self.mode) = mode;
    }
}

impl Heart for MemoryHeart {
    async fn beat(&mut self, ttl: Duration) -> Result<Vec<LeaseId>, PortError> {
        let mode = *lock(&self.mode);
        match mode {
            HeartMode::Beats => {}
            HeartMode::Unavailable => return Err(unavailable()),
            HeartMode::Hangs => return std::future::pending().await,
            #[expect(clippy::panic, reason = "that is the mode")]
            HeartMode::Panics => panic!("scripted panic in the heart"),
        }
        let now = Instant::now();
        let mut held = Vec::new();
        for port in lock(&self.ports).iter() {
            for (lease, expires) in &mut port.lock().leases {
                if *expires > now {
                    *expires = now + ttl;
                    held.push(*lease);
                }
            }
        }
        Ok(held)
    }
}

/// An observer that remembers what happened, one word and the workflow's name per event.
#[derive(Default)]
pub struct Journal {
    entries: Mutex<Vec<(&'static str, String)>>,
}

impl Journal {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How often this happened to that workflow: `claimed`, `settled`, `store_trouble`, `store_recovered`,
    /// `lease_opened`, `lease_lost`, `restarted`, `parked`, `unparked`, `stalled`, `helper_run`, or an item's outcome.
    #[must_use]
    pub fn count(&self, event: &str, workflow: &str) -> usize {
        lock(&self.entries)
            .iter()
            .filter(|(what, who)| *what == event && who == workflow)
            .count()
    }
}

impl Observer for Journal {
    fn observe(&self, event: Event<'_>) {
        let entry = match event {
            Event::Claimed { workflow, .. } => ("claimed", workflow),
            Event::ItemRun {
                workflow, outcome, ..
            } => (outcome, workflow),
            Event::Settled { workflow, .. } => ("settled", workflow),
            Event::StoreTrouble { workflow, .. } => ("store_trouble", workflow),
            Event::StoreRecovered { workflow, .. } => ("store_recovered", workflow),
            Event::LeaseOpened { workflow, .. } => ("lease_opened", workflow),
            Event::LeaseLost { workflow, .. } => ("lease_lost", workflow),
            Event::ActorRestarted { workflow, .. } => ("restarted", workflow),
            Event::Parked { workflow, .. } => ("parked", workflow),
            Event::Unparked { workflow } => ("unparked", workflow),
            Event::Stalled { workflow, .. } => ("stalled", workflow),
            Event::HelperRun { name, .. } => ("helper_run", name),
            Event::Heartbeat { .. } => return,
        };
        lock(&self.entries).push((entry.0, entry.1.to_owned()));
    }
}

/// Waits until an asynchronous condition holds, asking every few milliseconds; for what no port can signal.
///
/// # Panics
/// When it does not within ten minutes of tokio's time.
pub async fn until<F>(what: &str, mut holds: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let wait = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        timeout(PATIENCE, wait).await.is_ok(),
        "waited in vain until {what}"
    );
}
