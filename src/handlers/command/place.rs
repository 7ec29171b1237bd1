//! A place: it starts a process when there is something to do, keeps it busy, and starts another when that one is gone.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::hand::{Blame, Hand};
use super::options::Options;
use super::process::{Launch, Moved, Process, StartError};
use super::queue::{Job, Queue, Taken};
use crate::child::group::Group;
use crate::fault;
use crate::handlers::Failure;
use crate::handlers::bounds::{MAX_LINE_BYTES, ProtocolError};
use crate::handlers::protocol::{
    FRAME_BYTES, Hello, ITEM_FRAME_BYTES, Message, write_cancel, write_items, write_shutdown,
};
use crate::telemetry::chain;

/// So many starts in a row may fail before those who wait are told.
const TRIES: u32 = 3;

/// The shortest and the longest time from a start that failed to the next.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The shortest and the longest time for which a workflow is told to wait, where its command cannot be started.
const PARK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How often memory is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What all places of a pool share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) launch: Launch,
    pub(super) queue: Queue,
    /// Nothing more is taken; what is in hand is finished.
    pub(super) closing: CancellationToken,
    /// All is ended as it stands.
    pub(super) ended: CancellationToken,
    /// How many starts have failed since one succeeded.
    failures: Mutex<u32>,
}

impl Shared {
    pub(super) fn new(workflow: &str, options: Options, shim: PathBuf) -> Self {
        Self {
            queue: Queue::new(options.processes),
            launch: Launch {
                workflow: workflow.to_owned(),
                options,
                shim,
            },
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
            failures: Mutex::new(0),
        }
    }

    /// A start has failed: how long this place waits before it tries again.
    async fn failed(&self, error: &StartError) -> Duration {
        let workflow = &self.launch.workflow;
        let reason = format!("its command cannot be run: {}", chain(error));
        if let StartError::Short(short) = error {
            let wait = fault::lack(short.0);
            self.queue.park(wait, &reason);
            return wait;
        }
        let mut failures = self.failures.lock().await;
        *failures = failures.saturating_add(1);
        let pause = doubled(PAUSE, failures.saturating_sub(1));
        let park = doubled(PARK, failures.saturating_sub(TRIES));
        if *failures >= TRIES && self.queue.park(park, &reason) {
            warn!(workflow, failures = *failures, wait = ?park, "{reason}");
        } else {
            debug!(workflow, failures = *failures, wait = ?pause, "{reason}");
        }
        pause
    }
}

/// The first of two durations doubled so many times, and no longer than the second.
fn doubled((least, most): (Duration, Duration), times: u32) -> Duration {
    least
        .saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX))
        .min(most)
}

/// How a process came to its end.
enum End {
    /// In good order, on our demand.
    Recycled,
    Closed,
    /// It left with nothing in hand, having answered so much.
    Left {
        answered: u64,
        fate: String,
    },
    /// With something in hand.
    Broke {
        answered: u64,
    },
    /// We were told to end all.
    Ended,
}

/// Keeps a place until the pool is closed.
pub(super) async fn keep(shared: &Shared, place: usize) {
    // Processes in a row that have answered nothing.
    let mut barren = 0_u32;
    loop {
        while !shared.queue.has_work(place) {
            tokio::select! {
                () = shared.queue.rung(place) => {}
                () = shared.closing.cancelled() => return,
            }
        }
        let pause = if barren == 0 {
            Duration::ZERO
        } else {
            doubled(PAUSE, barren - 1)
        };
        let start = async {
            sleep(pause).await;
            Process::start(&shared.launch).await
        };
        let started = tokio::select! {
            started = start => started,
            () = shared.closing.cancelled() => return,
        };
        let (process, hello) = match started {
            Ok(started) => started,
            Err(error) => {
                if !rest(shared, shared.failed(&error).await).await {
                    return;
                }
                continue;
            }
        };
        *shared.failures.lock().await = 0;
        let pid = process.group.id();
        let workflow = &shared.launch.workflow;
        info!(
            workflow,
            pid,
            name = hello.name.as_deref(),
            in_flight = hello.in_flight,
            batch = hello.batch,
            "a handler is up"
        );
        shared.queue.entered();
        let end = serve(shared, place, process, &hello).await;
        shared.queue.left(place);
        match end {
            End::Recycled => barren = 0,
            End::Closed | End::Ended => return,
            End::Left { answered: 0, fate } => {
                let error = StartError::Ended {
                    before: "its first item",
                    fate,
                };
                if !rest(shared, shared.failed(&error).await).await {
                    return;
                }
            }
            End::Broke { answered: 0 } => barren = barren.saturating_add(1),
            End::Left { .. } | End::Broke { .. } => barren = 0,
        }
    }
}

/// Waits, unless the pool is closed meanwhile: whether it is not.
async fn rest(shared: &Shared, wait: Duration) -> bool {
    tokio::select! {
        () = sleep(wait) => true,
        () = shared.closing.cancelled() => false,
    }
}

/// Why a process is of no use any more.
enum Fault {
    Protocol(ProtocolError),
    /// It ended, or shut a pipe.
    Gone,
    /// It did not stop when it was told to.
    Hung,
    TooBig(u64),
}

/// What a process has come to in its life.
#[derive(Default)]
struct Life {
    given: u64,
    answered: u64,
    is_retiring: bool,
    is_closing: bool,
}

/// Keeps a process busy until it is gone.
async fn serve(shared: &Shared, place: usize, mut process: Process, hello: &Hello) -> End {
    let options = &shared.launch.options;
    let mut hand = Hand::default();
    let mut life = Life::default();
    let group = process.group;
    let soft = (options.recycle_above_bytes > 0).then_some(options.recycle_above_bytes);
    let mut grown = Box::pin(grows(group, soft.or(options.limits.memory_bytes)));
    let fault = loop {
        let is_done = life.is_retiring || life.is_closing;
        if is_done && hand.is_empty() {
            shared.queue.leave(place);
            let is_closing = life.is_closing;
            let ended = tokio::select! {
                () = dismiss(process, options.stop_timeout) => false,
                () = shared.ended.cancelled() => true,
            };
            return match (ended, is_closing) {
                (true, _) => End::Ended,
                (_, true) => End::Closed,
                _ => End::Recycled,
            };
        }
        if !is_done {
            fill(shared, place, &mut process, &mut hand, hello, &mut life);
            if life.is_retiring {
                shared.queue.leave(place);
            }
        }
        let timer = hand.timer();
        let due = async {
            match timer {
                Some(timer) => sleep_until(timer).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            moved = process.exchange() => match moved {
                Moved::Said => {}
                Moved::Mute | Moved::Deaf => break Fault::Gone,
                Moved::Heard => {
                    let heard = process.messages(|message| {
                        take_in(message, &mut hand, &mut life, &options.timeout)
                    });
                    if let Err(error) = heard {
                        break Fault::Protocol(error);
                    }
                }
            },
            () = shared.queue.rung(place) => {
                // For new work, which is taken above, or for work that nobody waits for.
                let cancel = hand.forsaken(Instant::now(), options.stop_timeout);
                if !cancel.is_empty() {
                    write_cancel(&mut process.outbox, &cancel);
                }
            }
            () = due => {
                let due = hand.due(Instant::now(), options.stop_timeout);
                if due.is_hung {
                    break Fault::Hung;
                }
                if !due.cancel.is_empty() {
                    write_cancel(&mut process.outbox, &due.cancel);
                }
            }
            bytes = &mut grown => {
                if options.limits.memory_bytes.is_some_and(|most| bytes > most) {
                    break Fault::TooBig(bytes);
                }
                debug!(pid = group.id(), bytes, "a handler has grown, and is replaced");
                life.is_retiring = true;
                shared.queue.leave(place);
                grown = Box::pin(grows(group, options.limits.memory_bytes));
            }
            () = shared.closing.cancelled(), if !life.is_closing => life.is_closing = true,
            () = shared.ended.cancelled() => {
                process.end().await;
                return End::Ended;
            }
        }
    };
    shared.queue.leave(place);
    break_down(shared, process, hand, &fault, life.answered).await
}

/// Waits until its processes take more than so many bytes, if that is not to be: how many they take then.
async fn grows(group: Group, most: Option<u64>) -> u64 {
    let Some(most) = most else {
        return std::future::pending().await;
    };
    loop {
        sleep(LOOK).await;
        let taken = tokio::task::spawn_blocking(move || group.memory()).await;
        let taken = taken.unwrap_or_default();
        if taken > most {
            return taken;
        }
    }
}

/// Hands out what there is and what the process has room for.
fn fill(
    shared: &Shared,
    place: usize,
    process: &mut Process,
    hand: &mut Hand,
    hello: &Hello,
    life: &mut Life,
) {
    let options = &shared.launch.options;
    let of = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let in_flight = of(hello.in_flight.min(options.in_flight));
    let batch = of(hello.batch.min(options.batch));
    loop {
        let free = if hand.is_alone() {
            0
        } else {
            in_flight.saturating_sub(hand.hand_outs())
        };
        let mut most = free.saturating_mul(batch);
        if options.recycle_after_items > 0 {
            let left = options.recycle_after_items.saturating_sub(life.given);
            life.is_retiring = left == 0;
            most = most.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let jobs = match shared.queue.take(place, most, hand.is_empty()) {
            Taken::Nothing => return,
            Taken::Alone(job) => vec![job],
            Taken::Jobs(jobs) => jobs,
        };
        life.given = life
            .given
            .saturating_add(u64::try_from(jobs.len()).unwrap_or_default());
        let now = Instant::now();
        let mut jobs = jobs.into_iter().peekable();
        while jobs.peek().is_some() {
            let line = one_line(&mut jobs, batch);
            write_items(&mut process.outbox, hand.give(line, now, options.timeout));
        }
    }
}

/// As many of the next as go into one line: at least one, which was weighed when it was asked for.
fn one_line(jobs: &mut std::iter::Peekable<impl Iterator<Item = Job>>, batch: usize) -> Vec<Job> {
    let mut line = Vec::new();
    let mut bytes = FRAME_BYTES;
    while line.len() < batch
        && let Some(job) = jobs.next_if(|job| {
            bytes = bytes.saturating_add(ITEM_FRAME_BYTES + job.item.bytes());
            line.is_empty() || bytes <= MAX_LINE_BYTES
        })
    {
        line.push(job);
    }
    line
}

/// Takes in what a handler says.
fn take_in(
    message: Message,
    hand: &mut Hand,
    life: &mut Life,
    timeout: &Duration,
) -> Result<(), ProtocolError> {
    match message {
        Message::Results(outcomes) => {
            for outcome in outcomes {
                let settled = hand.settle(outcome.id)?;
                life.answered += 1;
                let result = match outcome.result {
                    // That it stopped is no answer; one that it had all the same is.
                    Err(failure) if settled.is_late => Err(late(timeout, &failure.to_string())),
                    result => result,
                };
                settled.job.tell(result);
            }
            Ok(())
        }
        Message::Progress { id, told } => {
            if let Some(item) = hand.item(id)?
                && let Some(on_progress) = &item.on_progress
            {
                on_progress(told);
            }
            Ok(())
        }
        Message::Hello(_) => Err(ProtocolError::OutOfTurn {
            said: "hello",
            wanted: "an answer",
        }),
    }
}

fn late(timeout: &Duration, said: &str) -> Failure {
    Failure::Retry {
        class: "handler_timeout",
        message: format!("the handler took longer than {timeout:?}, and was told to stop: {said}"),
        after: None,
    }
}

/// Ends a process in good order, or at all.
async fn dismiss(mut process: Process, within: Duration) {
    let pid = process.group.id();
    write_shutdown(&mut process.outbox);
    let told = async {
        while !process.is_told() {
            match process.exchange().await {
                Moved::Mute | Moved::Deaf => return,
                // It has nothing to say any more.
                Moved::Heard => process.forget_inbox(),
                Moved::Said => {}
            }
        }
    };
    let until = Instant::now() + within;
    let is_told = timeout(within, told).await.is_ok();
    process.shut_input();
    let left = until.saturating_duration_since(Instant::now());
    if !is_told || process.leaves(left).await.is_none() {
        warn!(
            pid,
            "a handler did not leave when it was told to, and is ended"
        );
    }
    process.end().await;
}

/// Ends a process that is of no use, and says whose fault it was.
async fn break_down(
    shared: &Shared,
    mut process: Process,
    mut hand: Hand,
    fault: &Fault,
    answered: u64,
) -> End {
    let options = &shared.launch.options;
    let pid = process.group.id();
    let (class, reason) = match fault {
        Fault::Gone => ("handler_crash", process.fate().await),
        Fault::Protocol(error) => {
            process.terminate().await;
            let said = process.last_words().await;
            ("handler_protocol", chain(error) + &said)
        }
        Fault::Hung => {
            process.terminate().await;
            let said = process.last_words().await;
            (
                "handler_timeout",
                format!("it did not stop when it was told to{said}"),
            )
        }
        Fault::TooBig(bytes) => {
            process.terminate().await;
            let said = process.last_words().await;
            (
                "handler_memory",
                format!("it took {bytes} bytes, more than limits.memory_bytes{said}"),
            )
        }
    };
    process.end().await;
    let workflow = &shared.launch.workflow;
    if hand.is_empty() && matches!(fault, Fault::Gone) {
        info!(
            workflow,
            pid, answered, "a handler left by itself: {reason}"
        );
        return End::Left {
            answered,
            fate: reason,
        };
    }
    let is_hung = matches!(fault, Fault::Hung);
    // A second answer is for an item that is not in hand any more.
    let is_sure = !matches!(fault, Fault::Protocol(ProtocolError::Twice(_)));
    let Blame {
        charged,
        suspects,
        innocent,
    } = hand.blame(is_hung, is_sure, Instant::now());
    warn!(
        workflow,
        pid,
        charged = charged.len(),
        suspects = suspects.len(),
        innocent = innocent.len(),
        "a handler broke down: {reason}"
    );
    for (job, is_late) in charged {
        let failure = if is_late {
            late(&options.timeout, &reason)
        } else {
            Failure::Retry {
                class,
                message: format!("the handler broke down over this item: {reason}"),
                after: None,
            }
        };
        job.tell(Err(failure));
    }
    shared.queue.put_back(innocent, suspects);
    End::Broke { answered }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        for (times, seconds) in [
            (0, 5),
            (1, 10),
            (5, 160),
            (6, 300),
            (40, 300),
            (u32::MAX, 300),
        ] {
            assert_eq!(doubled(PARK, times), Duration::from_secs(seconds));
        }
    }
}
