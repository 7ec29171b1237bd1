//! Politeness: how many requests at once, how far apart, and rest when a host asks for it.
//!
//! One gate per host name, whatever its ports and schemes. A caller first gets one of the host's
//! permits, then a starting time; the permit is kept until the body is read. Nobody waits longer
//! than its own patience: then the answer is [`FetchError::HostBusy`], and the item goes back to
//! the database instead of occupying a place here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use super::FetchError;
use super::shared::{self, Ask, Pace, Place, SharedPace};

/// What a busy host's callers are told to wait at least: less would only make them spin.
const LEAST_RETRY_AFTER: Duration = Duration::from_secs(1);
/// A request that starts later than planned by more than this takes its turn anew.
const LATE: Duration = Duration::from_millis(10);

impl Pace {
    /// What it keeps free after its start.
    fn spacing(self) -> Duration {
        match self {
            Self::Request { spacing } | Self::Redirect { spacing, .. } => spacing,
        }
    }
}

/// When a host may be asked next. Pure: the time is an argument.
#[derive(Debug, Clone, Copy, Default)]
struct Timetable {
    last_start: Option<Instant>,
    next_start: Option<Instant>,
    rest_until: Option<Instant>,
}

impl Timetable {
    /// How long a new request would wait, before any queue.
    fn wait(&self, now: Instant) -> Duration {
        self.next_start
            .max(self.rest_until)
            .map_or(Duration::ZERO, |at| at - now)
    }

    /// Takes the next starting time, or says how far away it is if that is beyond the patience.
    fn reserve(
        &mut self,
        now: Instant,
        pace: Pace,
        patience: Duration,
    ) -> Result<Instant, Duration> {
        let rest = self.rest_until.map_or(Duration::ZERO, |at| at - now);
        let (start, limit) = match pace {
            Pace::Request { .. } => (now + self.wait(now), self.wait(now)),
            Pace::Redirect { delay, .. } => {
                let spaced = self.last_start.map_or(now, |last| (last + delay).max(now));
                (spaced.max(now + rest), rest)
            }
        };
        if limit > patience {
            return Err(limit);
        }
        self.started(start, pace.spacing());
        Ok(start)
    }

    /// Takes note of a start, and keeps `spacing` free after it.
    fn started(&mut self, at: Instant, spacing: Duration) {
        self.last_start = self.last_start.max(Some(at));
        self.next_start = self.next_start.max(Some(at + spacing));
    }

    fn is_resting(&self, now: Instant) -> bool {
        self.rest_until.is_some_and(|until| until > now)
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.wait(now).is_zero()
    }
}

#[derive(Debug)]
struct Host {
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    timetable: Timetable,
    /// How many permits there are, once `debt` is paid.
    concurrency: usize,
    /// Permits to withdraw as they come back, after the configuration lowered the concurrency.
    debt: usize,
    /// Callers between asking and starting.
    waiting: u32,
}

impl Host {
    fn new(concurrency: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(concurrency)),
            state: Mutex::new(State {
                timetable: Timetable::default(),
                concurrency,
                debt: 0,
                waiting: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a change of the configuration.
    fn resize(&self, concurrency: usize) {
        let mut state = self.state();
        if concurrency > state.concurrency {
            let mut added = concurrency - state.concurrency;
            let forgiven = added.min(state.debt);
            state.debt -= forgiven;
            added -= forgiven;
            self.permits.add_permits(added);
        } else if concurrency < state.concurrency {
            let removed = state.concurrency - concurrency;
            state.debt += removed - self.permits.forget_permits(removed);
        }
        state.concurrency = concurrency;
    }
}

/// Counts a caller as waiting for as long as it lives.
struct Waiting<'a>(&'a Host);

impl<'a> Waiting<'a> {
    fn at(host: &'a Host) -> Self {
        let mut state = host.state();
        state.waiting = state.waiting.saturating_add(1);
        drop(state);
        Self(host)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting = state.waiting.saturating_sub(1);
    }
}

/// The right to one request to a host; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    host: Arc<Host>,
    permit: Option<OwnedSemaphorePermit>,
    /// The place among the requests of all processes, if that is known.
    place: Option<Box<dyn Place>>,
}

impl Permit {
    /// The host asked to be left alone. Rests only get longer, never shorter.
    pub(super) fn rest(&self, duration: Duration) {
        let until = Instant::now() + duration;
        let mut state = self.host.state();
        state.timetable.rest_until = state.timetable.rest_until.max(Some(until));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // Released under the lock, so that a change of the concurrency counts it exactly once.
        let mut state = self.host.state();
        let Some(permit) = self.permit.take() else {
            return;
        };
        if state.debt > 0 {
            state.debt -= 1;
            permit.forget();
        } else {
            drop(permit);
        }
    }
}

/// All hosts in use or recently used, at most so many.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    hosts: HashMap<String, Arc<Host>>,
    swept_at: Option<Instant>,
}

impl Hosts {
    /// Waits for this host's turn. `patience` is what is left of the caller's, and is used up by
    /// the wait.
    ///
    /// # Errors
    /// [`FetchError::HostBusy`].
    ///
    /// # Cancel safety
    /// A caller that goes away leaves its starting time unused and everything else as it was.
    pub(super) async fn acquire(
        &self,
        key: &str,
        pace: Pace,
        limits: Limits,
        mut shared: Option<&dyn SharedPace>,
        patience: &mut Duration,
    ) -> Result<Permit, FetchError> {
        let host = self.host(key, limits)?;
        host.resize(limits.concurrency);
        let asked_at = Instant::now();
        let deadline = asked_at + *patience;
        let waiting = Waiting::at(&host);
        if let Pace::Request { spacing } = pace {
            let state = host.state();
            let ahead = spacing.saturating_mul(state.waiting.saturating_sub(1));
            let wait = state.timetable.wait(asked_at).saturating_add(ahead);
            if wait > *patience {
                return Err(busy(wait));
            }
        }
        let permit = timeout(*patience, Arc::clone(&host.permits).acquire_owned())
            .await
            .map_err(|_elapsed| busy(pace.spacing()))?
            .map_err(|_closed| busy(pace.spacing()))?;
        // From here on the permit is given back through `Permit`, which settles the debt.
        let mut permit = Permit {
            host: Arc::clone(&host),
            permit: Some(permit),
            place: None,
        };
        loop {
            let now = Instant::now();
            let start = host
                .state()
                .timetable
                .reserve(now, pace, deadline - now)
                .map_err(busy)?;
            sleep_until(start).await;
            if let Some(table) = shared {
                let ask = Ask {
                    host: key.to_owned(),
                    pace,
                    places: limits.concurrency,
                    lease: limits.lease,
                };
                permit.place = shared::turn(table, &ask, deadline).await.map_err(busy)?;
                if permit.place.is_none() && start.elapsed() > LATE {
                    // It waited in vain, and others may be told so at this moment: each takes a new turn here.
                    shared = None;
                    continue;
                }
            }
            // Another request may have learnt meanwhile that the host wants to rest.
            let now = Instant::now();
            let mut state = host.state();
            if !state.timetable.is_resting(now) {
                if permit.place.is_some() {
                    state.timetable.started(now, pace.spacing());
                }
                break;
            }
            drop(state);
            permit.place = None;
        }
        drop(waiting);
        *patience = patience.saturating_sub(asked_at.elapsed());
        Ok(permit)
    }

    /// For an API that has a pace of its own: waits for nothing, but respects a rest.
    ///
    /// # Errors
    /// [`FetchError::HostBusy`].
    pub(super) async fn pass(
        &self,
        key: &str,
        limits: Limits,
        shared: Option<&dyn SharedPace>,
    ) -> Result<Permit, FetchError> {
        let host = self.host(key, limits)?;
        let now = Instant::now();
        let until = host.state().timetable.rest_until;
        let mut rest = until.map_or(Duration::ZERO, |until| until - now);
        if let (true, Some(shared)) = (rest.is_zero(), shared) {
            rest = shared::resting(shared, key).await;
        }
        if rest.is_zero() {
            Ok(Permit {
                host,
                permit: None,
                place: None,
            })
        } else {
            Err(busy(rest))
        }
    }

    fn host(&self, key: &str, limits: Limits) -> Result<Arc<Host>, FetchError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = known.hosts.get(key) {
            return Ok(Arc::clone(host));
        }
        if known.hosts.len() >= limits.max_hosts {
            known.sweep(Instant::now());
            if known.hosts.len() >= limits.max_hosts {
                return Err(busy(LEAST_RETRY_AFTER));
            }
        }
        let host = Arc::new(Host::new(limits.concurrency));
        known.hosts.insert(key.to_owned(), Arc::clone(&host));
        Ok(host)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.known.lock().unwrap().hosts.len()
    }
}

impl Known {
    /// Forgets the hosts that nobody uses and that owe no delay; at most once a second, because it
    /// looks at all of them.
    fn sweep(&mut self, now: Instant) {
        if self.swept_at.is_some_and(|at| now - at < LEAST_RETRY_AFTER) {
            return;
        }
        self.swept_at = Some(now);
        // Every user holds a clone, and clones are made under the lock that is held here.
        self.hosts
            .retain(|_, host| Arc::strong_count(host) > 1 || !host.state().timetable.is_idle(now));
    }
}

/// The part of the configuration that gates need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) concurrency: usize,
    pub(super) max_hosts: usize,
    /// The longest that a request may be in flight.
    pub(super) lease: Duration,
}

fn busy(wait: Duration) -> FetchError {
    FetchError::HostBusy {
        retry_after: wait.max(LEAST_RETRY_AFTER),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tasks that compete for a host")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::web::fetch::{Cause, Turn};

    const LIMITS: Limits = Limits {
        concurrency: 2,
        max_hosts: 3,
        lease: Duration::from_secs(30),
    };

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn request(seconds: u64) -> Pace {
        Pace::Request {
            spacing: secs(seconds),
        }
    }

    async fn acquire(hosts: &Hosts, key: &str, pace: Pace, patience: u64) -> Result<Permit, u64> {
        hosts
            .acquire(key, pace, LIMITS, None, &mut secs(patience))
            .await
            .map_err(|error| match error {
                FetchError::HostBusy { retry_after } => retry_after.as_secs(),
                error => panic!("{error}"),
            })
    }

    #[tokio::test(start_paused = true)]
    async fn starting_times_are_spaced_and_far_ones_are_refused() {
        let now = Instant::now();
        let at = |seconds| Ok(now + secs(seconds));
        let redirect = Pace::Redirect {
            delay: secs(1),
            spacing: secs(30),
        };
        let mut table = Timetable::default();
        for (pace, patience, expected) in [
            (request(5), 10, at(0)),
            (request(5), 10, at(5)),
            (request(5), 10, at(10)),
            (request(5), 10, Err(secs(15))),
            (request(30), 20, at(15)),
            // The hop comes one plain delay after the last start, however impatient the caller.
            (redirect, 0, at(16)),
            (request(5), 20, Err(secs(46))),
        ] {
            assert_eq!(
                table.reserve(now, pace, secs(patience)),
                expected,
                "{pace:?}"
            );
        }
        table.rest_until = Some(now + secs(100));
        assert_eq!(table.reserve(now, redirect, secs(10)), Err(secs(100)));
        assert_eq!(table.reserve(now, request(1), secs(10)), Err(secs(100)));
        assert!(!table.is_idle(now + secs(99)));
        assert!(table.is_idle(now + secs(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_and_spacing_hold_under_load() {
        let hosts = Arc::new(Hosts::default());
        let running = Arc::new(AtomicUsize::new(0));
        let starts = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for _ in 0..20 {
            let (hosts, running, starts) = (
                Arc::clone(&hosts),
                Arc::clone(&running),
                Arc::clone(&starts),
            );
            tasks.push(tokio::spawn(async move {
                let _permit = acquire(&hosts, "a", request(1), 1000).await.unwrap();
                starts.lock().unwrap().push(Instant::now());
                assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                tokio::time::sleep(secs(3)).await;
                running.fetch_sub(1, Ordering::SeqCst);
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let starts = starts.lock().unwrap();
        assert_eq!(starts.len(), 20);
        assert!(
            starts.windows(2).all(|pair| pair[1] - pair[0] >= secs(1)),
            "{starts:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn hopeless_callers_are_refused_at_once() {
        let hosts = Hosts::default();
        let started = Instant::now();
        let first = acquire(&hosts, "a", request(30), 10).await.unwrap();
        assert_eq!(acquire(&hosts, "a", request(30), 10).await.unwrap_err(), 30);
        assert_eq!(started.elapsed(), Duration::ZERO);
        drop(first);
        // Another host is not affected.
        assert!(acquire(&hosts, "b", request(30), 10).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_permit_is_waited_for_as_long_as_the_patience() {
        let hosts = Hosts::default();
        let _first = acquire(&hosts, "a", request(0), 10).await.unwrap();
        let _second = acquire(&hosts, "a", request(0), 10).await.unwrap();
        let started = Instant::now();
        assert_eq!(acquire(&hosts, "a", request(0), 10).await.unwrap_err(), 1);
        assert_eq!(started.elapsed(), secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn resting_host_refuses_and_recovers() {
        let hosts = Hosts::default();
        let permit = acquire(&hosts, "a", request(0), 10).await.unwrap();
        permit.rest(secs(60));
        permit.rest(secs(5));
        drop(permit);
        assert_eq!(acquire(&hosts, "a", request(0), 10).await.unwrap_err(), 60);
        assert!(hosts.pass("a", LIMITS, None).await.is_err());
        tokio::time::advance(secs(55)).await;
        let started = Instant::now();
        assert!(acquire(&hosts, "a", request(0), 10).await.is_ok());
        assert_eq!(started.elapsed(), secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn rest_that_begins_during_a_wait_is_respected() {
        let hosts = Arc::new(Hosts::default());
        let first = acquire(&hosts, "a", request(5), 10).await.unwrap();
        let waiter = tokio::spawn({
            let hosts = Arc::clone(&hosts);
            async move { acquire(&hosts, "a", request(5), 10).await.map(drop) }
        });
        tokio::time::sleep(secs(1)).await;
        first.rest(secs(60));
        assert_eq!(waiter.await.unwrap().unwrap_err(), 56);
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_follows_a_reload_both_ways() {
        let hosts = Hosts::default();
        let with = |concurrency| Limits {
            concurrency,
            ..LIMITS
        };
        let acquire = async |concurrency| {
            hosts
                .acquire("a", request(0), with(concurrency), None, &mut secs(1))
                .await
        };
        let first = acquire(2).await.unwrap();
        let second = acquire(2).await.unwrap();
        assert!(acquire(2).await.is_err());
        let third = acquire(3).await.unwrap();
        assert!(acquire(1).await.is_err());
        drop(first);
        drop(second);
        assert!(
            acquire(1).await.is_err(),
            "one is in flight and one is allowed"
        );
        drop(third);
        let again = acquire(1).await.unwrap();
        assert!(acquire(1).await.is_err());
        drop(again);
    }

    /// A timetable for two processes, in memory: the starts, the requests in flight, the rest.
    #[derive(Default)]
    struct Table {
        timetable: Arc<Mutex<Timetable>>,
        in_flight: Arc<()>,
        is_broken: bool,
    }

    impl SharedPace for Table {
        fn turn(&self, ask: Ask) -> BoxFuture<'static, Result<Turn, Cause>> {
            let now = Instant::now();
            let answer: Result<_, Cause> = if self.is_broken {
                Err(Arc::new(std::io::Error::other("gone")))
            } else if Arc::strong_count(&self.in_flight) > ask.places {
                Ok(Turn::Full)
            } else {
                let mut table = self.timetable.lock().unwrap();
                let turn = table.reserve(now, ask.pace, Duration::ZERO);
                Ok(match turn {
                    Ok(start) if start <= now => Turn::Now(Box::new(Arc::clone(&self.in_flight))),
                    Ok(start) => Turn::In(start - now),
                    Err(wait) => Turn::In(wait),
                })
            };
            Box::pin(async move { answer })
        }

        fn resting(&self, _: String) -> BoxFuture<'static, Result<Duration, Cause>> {
            let rest = self.timetable.lock().unwrap().rest_until;
            let rest = rest.map_or(Duration::ZERO, |until| until - Instant::now());
            Box::pin(async move { Ok(rest) })
        }

        fn rest(&self, _: String, duration: Duration) -> BoxFuture<'static, Result<(), Cause>> {
            let until = Instant::now() + duration;
            self.timetable.lock().unwrap().rest_until = Some(until);
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_processes_share_a_timetable_and_survive_without() {
        for (is_broken, expected) in [(false, [0, 5, 10, 15]), (true, [0, 0, 5, 5])] {
            let processes = [Hosts::default(), Hosts::default()];
            let table = Table {
                is_broken,
                ..Table::default()
            };
            let started = Instant::now();
            let mut starts = Vec::new();
            for turn in 0..4 {
                let mut patience = secs(30);
                let process = &processes[turn % 2];
                let permit = process
                    .acquire("a", request(5), LIMITS, Some(&table), &mut patience)
                    .await;
                drop(permit.unwrap());
                starts.push(started.elapsed().as_secs());
            }
            assert_eq!(starts, expected);
            let mut patience = secs(1);
            let refused =
                processes[0].acquire("a", request(5), LIMITS, Some(&table), &mut patience);
            assert!(matches!(refused.await, Err(FetchError::HostBusy { .. })));
        }
    }

    /// Answers nobody for ten seconds, and then fails for all at once.
    struct Hung(Instant);

    impl SharedPace for Hung {
        fn turn(&self, _: Ask) -> BoxFuture<'static, Result<Turn, Cause>> {
            let until = self.0 + secs(10);
            Box::pin(async move {
                sleep_until(until).await;
                Err(Arc::new(std::io::Error::other("gone")) as Cause)
            })
        }

        fn resting(&self, _: String) -> BoxFuture<'static, Result<Duration, Cause>> {
            Box::pin(async { Ok(Duration::ZERO) })
        }

        fn rest(&self, _: String, _: Duration) -> BoxFuture<'static, Result<(), Cause>> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_waited_in_vain_do_not_start_together() {
        let hosts = Hosts::default();
        let started = Instant::now();
        let hung = Hung(started);
        let visit = async || {
            let mut patience = secs(60);
            let permit = hosts
                .acquire("a", request(5), LIMITS, Some(&hung), &mut patience)
                .await
                .unwrap();
            drop(permit);
            started.elapsed().as_secs()
        };
        let (first, second, third) = tokio::join!(visit(), visit(), visit());
        assert_eq!([first, second, third], [10, 15, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn places_and_rests_are_shared() {
        let processes = [Hosts::default(), Hosts::default()];
        let table = Table::default();
        let (one, other) = (&processes[0], &processes[1]);
        let acquire = async |process: &Hosts, patience: u64| {
            process
                .acquire("a", request(0), LIMITS, Some(&table), &mut secs(patience))
                .await
        };
        let first = acquire(one, 1).await.unwrap();
        let _second = acquire(one, 1).await.unwrap();
        assert!(acquire(other, 1).await.is_err(), "both places are taken");
        drop(first);
        drop(acquire(other, 1).await.unwrap());
        shared::rest(&table, "a", secs(9)).await;
        for patience in [1, 8] {
            assert!(acquire(other, patience).await.is_err(), "it rests");
        }
        let api = other.pass("a", LIMITS, Some(&table)).await;
        assert!(matches!(api, Err(FetchError::HostBusy { .. })));
        let before = Instant::now();
        drop(acquire(other, 9).await.unwrap());
        assert_eq!(before.elapsed(), secs(9));
        assert!(other.pass("a", LIMITS, Some(&table)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_are_forgotten_when_idle_and_never_more_than_allowed() {
        let hosts = Hosts::default();
        let permit = acquire(&hosts, "a", request(0), 1).await.unwrap();
        drop(acquire(&hosts, "b", request(100), 1).await.unwrap());
        drop(acquire(&hosts, "c", request(0), 1).await.unwrap());
        // "a" is in use and "b" owes a delay: only "c" can go.
        drop(acquire(&hosts, "d", request(0), 1).await.unwrap());
        assert_eq!(hosts.len(), 3);
        assert!(
            acquire(&hosts, "e", request(0), 1).await.is_err(),
            "swept a moment ago"
        );
        tokio::time::advance(secs(2)).await;
        assert!(acquire(&hosts, "e", request(0), 1).await.is_ok());
        assert_eq!(hosts.len(), 3);
        drop(permit);
    }
}
