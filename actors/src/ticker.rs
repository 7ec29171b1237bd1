//! Periodic jobs and long-running services, under the same supervision as workflows.
//!
//! A *ticker* runs a job at once and then once per interval, never twice at a time. A *service* runs for as long as the
//! tree does; when it returns or fails it is run again with backoff. Failures are logged once per outage. A panic kills
//! the actor, and the supervisor decides. Dropped at a drain, wherever they are.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::backoff::Backoff;
use crate::control::{Child, ChildStatus, Control, Launch, Seed, answer, notify};
use crate::observer::Event;
use crate::port::{LeaseId, PortError};
use crate::status::{HelperStatus, State, millis};

/// A periodic job.
pub trait Tick: Send + Sync + 'static {
    /// Does the job once. Dropping the future cancels it.
    ///
    /// # Errors
    /// Logged once per outage, and tried again on the next tick.
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>>;
}

/// A job without an end, such as listening.
pub trait Service: Send + Sync + 'static {
    /// Runs until it cannot go on. Dropping the future ends it.
    ///
    /// # Errors
    /// Logged once per outage, and run again with backoff, as it is when it returns without an error.
    fn run(&self) -> BoxFuture<'_, Result<(), PortError>>;
}

/// Between two runs of a service.
const SERVICE_BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// A service that ran this long had recovered.
const STEADY_AFTER: Duration = Duration::from_secs(30);

/// A job is given up when it runs this long, or ten intervals if that is longer: a periodic job that hangs would
/// otherwise never run again, and nobody would notice.
const LONGEST_TICK: Duration = Duration::from_secs(600);

/// An interval of zero must not become a busy loop.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

#[derive(Clone)]
pub(crate) enum Job {
    Ticker {
        tick: Arc<dyn Tick>,
        interval: Duration,
    },
    Service(Arc<dyn Service>),
}

impl Job {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Ticker { .. } => "ticker",
            Self::Service(_) => "service",
        }
    }
}

/// What a helper's actor hears.
enum Msg {
    /// From the supervisor.
    Control(Control),
    /// From the alarm: run, unless running or paused.
    Due,
    /// From the task that ran the job.
    Ended { failure: Option<String> },
    /// The job panicked: die of it.
    Panicked(String),
}

struct HelperActor {
    job: Job,
}

struct Helper {
    seed: Seed,
    job: Job,
    myself: ActorRef<Msg>,
    paused: bool,
    running_since: Option<Instant>,
    /// Asked for while running.
    once_more: bool,
    status: HelperStatus,
    last_success: Option<Instant>,
    /// The job and its alarm. Dropped, and so aborted, with the actor.
    tasks: JoinSet<()>,
}

impl Actor for HelperActor {
    type Msg = Msg;
    type State = Helper;
    type Arguments = Seed;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        seed: Seed,
    ) -> Result<Helper, ActorProcessingErr> {
        seed.continuity.take_over(seed.incarnation);
        Ok(Helper {
            status: idle_status(seed.name(), self.job.kind(), &seed),
            paused: seed.paused,
            job: self.job.clone(),
            myself,
            running_since: None,
            once_more: false,
            last_success: None,
            tasks: JoinSet::new(),
            seed,
        })
    }

    async fn post_start(
        &self,
        _myself: ActorRef<Msg>,
        state: &mut Helper,
    ) -> Result<(), ActorProcessingErr> {
        state.start();
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Msg>,
        message: Msg,
        state: &mut Helper,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            #[cfg(feature = "testing")]
            Msg::Control(Control::Hang) => std::future::pending::<()>().await,
            Msg::Control(control) => state.control(control),
            Msg::Due => state.start(),
            Msg::Ended { failure } => state.ended(failure),
            Msg::Panicked(message) => return Err(format!("panicked: {message}").into()),
        }
        Ok(())
    }
}

impl Helper {
    fn control(&mut self, control: Control) {
        match control {
            Control::Wake => {
                self.seed.continuity.answer_bell();
                if matches!(self.job, Job::Ticker { .. }) {
                    self.start_again();
                }
            }
            Control::RunNow => self.start_again(),
            Control::Pause => {
                self.paused = true;
                // A service has no natural end to wait for.
                if matches!(self.job, Job::Service(_)) {
                    self.tasks.abort_all();
                    self.running_since = None;
                }
            }
            Control::Resume => {
                self.paused = false;
                self.start();
            }
            Control::Reload(_) => {}
            Control::Drain | Control::Abort => self.myself.stop(None),
            Control::Status(reply) => {
                answer(reply, ChildStatus::Helper(Box::new(self.snapshot())));
            }
            #[expect(clippy::panic, reason = "fault injection: see Tree::crash")]
            Control::Crash => panic!("crash requested"),
            #[cfg(feature = "testing")]
            Control::Hang => {}
        }
    }

    fn start_again(&mut self) {
        if self.running_since.is_some() {
            self.once_more = matches!(self.job, Job::Ticker { .. });
        } else {
            self.start();
        }
    }

    fn start(&mut self) {
        if self.paused || self.running_since.is_some() {
            return;
        }
        self.once_more = false;
        // Also ends an alarm that has not rung yet.
        self.tasks.abort_all();
        while self.tasks.try_join_next().is_some() {}
        self.running_since = Some(Instant::now());
        let (job, myself) = (self.job.clone(), self.myself.clone());
        self.tasks.spawn(async move {
            let run = AssertUnwindSafe(run_job(&job)).catch_unwind();
            let message = match run.await {
                Ok(failure) => Msg::Ended { failure },
                Err(panic) => Msg::Panicked(crate::panic_message(&*panic)),
            };
            notify(&myself, message);
        });
    }

    fn ended(&mut self, failure: Option<String>) {
        let now = Instant::now();
        // A paused service is aborted, and may have ended at the same moment.
        let Some(started) = self.running_since.take() else {
            return;
        };
        let elapsed = now.saturating_duration_since(started);
        self.seed.observe(Event::HelperRun {
            name: self.seed.name(),
            ok: failure.is_none(),
            elapsed,
        });
        let steady = matches!(self.job, Job::Service(_)) && elapsed >= STEADY_AFTER;
        if steady {
            self.status.failures_in_a_row = 0;
        }
        match failure {
            None => self.succeeded(now),
            Some(error) => self.failed(error),
        }
        let next = match &self.job {
            Job::Ticker { .. } if self.once_more => now,
            // From the start of the run, so that a slow job keeps its rhythm; never in a heap after a long one.
            Job::Ticker { interval, .. } => now.max(started + (*interval).max(SHORTEST_INTERVAL)),
            Job::Service(_) => {
                let failures = u32::try_from(self.status.failures_in_a_row).unwrap_or(u32::MAX);
                now + SERVICE_BACKOFF.equal_jitter(failures.max(1), rand::random())
            }
        };
        while self.tasks.try_join_next().is_some() {}
        let myself = self.myself.clone();
        self.tasks.spawn(async move {
            sleep_until(next).await;
            notify(&myself, Msg::Due);
        });
    }

    fn succeeded(&mut self, now: Instant) {
        if self.status.failures_in_a_row > 0 {
            tracing::info!(helper = self.seed.name(), "works again");
        }
        self.status.runs += 1;
        self.status.failures_in_a_row = 0;
        self.status.last_error = None;
        self.last_success = Some(now);
    }

    fn failed(&mut self, error: String) {
        if self.status.failures_in_a_row == 0 {
            tracing::warn!(helper = self.seed.name(), error, "failed, trying again");
        }
        self.status.failures += 1;
        self.status.failures_in_a_row += 1;
        self.status.last_error = Some(error);
    }

    fn snapshot(&self) -> HelperStatus {
        let now = Instant::now();
        let age = |at: Instant| millis(now.saturating_duration_since(at));
        let state = if self.paused {
            State::Paused
        } else if self.running_since.is_some() {
            State::Running
        } else {
            State::Waiting
        };
        // A service that runs well never ends, so that its success must be seen while it runs.
        let is_steady = matches!(self.job, Job::Service(_))
            && self
                .running_since
                .is_some_and(|since| now.saturating_duration_since(since) >= STEADY_AFTER);
        let last_error = self.status.last_error.clone().filter(|_| !is_steady);
        HelperStatus {
            state,
            reason: last_error.clone(),
            last_error,
            failures_in_a_row: if is_steady {
                0
            } else {
                self.status.failures_in_a_row
            },
            last_success_ms_ago: self.last_success.map(age),
            running_ms: self.running_since.map(age),
            ..self.status.clone()
        }
    }
}

/// Runs a job to its end; its failure in one line, if it failed.
async fn run_job(job: &Job) -> Option<String> {
    let result = match job {
        Job::Ticker { tick, interval } => {
            let longest = interval.saturating_mul(10).max(LONGEST_TICK);
            tokio::select! {
                result = tick.tick() => result,
                () = sleep(longest) => return Some(format!("given up after {longest:?}")),
            }
        }
        Job::Service(service) => service.run().await,
    };
    result.err().map(|error| crate::chain(&error))
}

fn idle_status(name: &str, kind: &'static str, seed: &Seed) -> HelperStatus {
    HelperStatus {
        incarnation: seed.incarnation,
        restarts: seed.restarts,
        ..absent_status(name, kind)
    }
}

/// The status of a helper whose actor cannot be asked.
pub(crate) fn absent_status(name: &str, kind: &'static str) -> HelperStatus {
    HelperStatus {
        name: name.to_owned(),
        kind,
        state: State::Starting,
        reason: None,
        incarnation: 0,
        runs: 0,
        failures: 0,
        failures_in_a_row: 0,
        last_error: None,
        last_success_ms_ago: None,
        running_ms: None,
        restarts: 0,
    }
}

/// Starts the actors of one helper, one after the other.
pub(crate) struct LaunchHelper {
    pub(crate) job: Job,
}

impl Launch for LaunchHelper {
    fn launch(
        &self,
        seed: Seed,
        supervisor: ActorCell,
    ) -> BoxFuture<'static, Result<Child, SpawnErr>> {
        let actor = HelperActor {
            job: self.job.clone(),
        };
        async move {
            let (actor, _done) = Actor::spawn_linked(None, actor, seed, supervisor).await?;
            Ok(Child::new(actor, Msg::Control))
        }
        .boxed()
    }

    fn has_backlog(&self) -> BoxFuture<'static, Result<bool, PortError>> {
        std::future::ready(Ok(false)).boxed()
    }

    fn close_lease(&self, _lease: LeaseId) -> BoxFuture<'static, Result<u64, PortError>> {
        std::future::ready(Ok(0)).boxed()
    }
}
