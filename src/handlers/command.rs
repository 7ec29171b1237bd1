//! Rows worked by processes of a command, which live on and speak JSON lines.
//!
//! What waits stands in one queue (`queue.rs`); each place (`place.rs`) keeps one process busy (`process.rs`) and knows what it has in
//! hand (`hand.rs`). Processes are started when there is something for them to do.
//!
//! **Who is charged.** A process that crashes, says what it should not, or grows too big is ended. An item that was alone in it is charged
//! with that. Of several nobody knows which did it: each is tried again alone, and charged if it is done again. An item that does
//! not stop when its time is over is charged with that, and what was beside it in another hand-out goes back to the queue as if
//! nothing had happened.
//!
//! **A command that cannot be started** is tried again, more and more slowly. After the third failure, and if no process is at
//! work, all that waits is told to wait as a whole ([`Failure::Snooze`]), with the reason.

pub mod check;
mod hand;
mod log;
pub mod options;
mod place;
mod process;
mod queue;

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use self::options::Options;
use self::place::Shared;
pub use self::process::{PROTOCOL_VARIABLE, StartError};
use self::queue::Job;
use super::bounds::MAX_LINE_BYTES;
use super::protocol::{FRAME_BYTES, ITEM_FRAME_BYTES};
use super::{Answer, Failure, Item, Runner};

/// Handlers of one command. They end with this value.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    places: TaskTracker,
    begun: Once,
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Processes at work.
    pub processes: usize,
    /// Items that wait for one.
    pub waiting: usize,
}

impl Pool {
    /// For a workflow, with options that have been checked. Nothing is started before there is something to do.
    #[must_use]
    pub fn new(workflow: &str, options: Options) -> Self {
        // By its file as it runs, which may have been replaced on the disk meanwhile.
        Self::by(workflow, options, "/proc/self/exe")
    }

    /// The same where the process is not `gleaner` itself: for tests.
    #[must_use]
    pub fn by(workflow: &str, options: Options, gleaner: impl Into<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared::new(workflow, options, gleaner.into())),
            places: TaskTracker::new(),
            begun: Once::new(),
        }
    }

    /// What it is doing.
    #[must_use]
    pub fn load(&self) -> Load {
        let (processes, waiting) = self.shared.queue.load();
        Load { processes, waiting }
    }

    fn begin(&self) {
        self.begun.call_once(|| {
            for place in 0..self.shared.launch.options.processes {
                let shared = Arc::clone(&self.shared);
                // They end when the pool does.
                drop(
                    self.places
                        .spawn(async move { place::keep(&shared, place).await }),
                );
            }
        });
    }

    /// Takes nothing more, has what is in hand finished within a time, and ends all processes. Items that wait are told to come again.
    pub async fn close(&self, within: Duration) {
        self.shared.closing.cancel();
        self.shared.queue.close();
        self.places.close();
        if timeout(within, self.places.wait()).await.is_err() {
            self.shared.ended.cancel();
            self.places.wait().await;
        }
    }
}

impl Runner for Pool {
    async fn run(&self, item: Item) -> Result<Answer, Failure> {
        let bytes = FRAME_BYTES + ITEM_FRAME_BYTES + item.bytes();
        if bytes > MAX_LINE_BYTES {
            return Err(Failure::Permanent {
                class: "too_large",
                message: format!(
                    "the columns that the handler is to be given take {bytes} bytes, and a message \
                     has at most {MAX_LINE_BYTES}: give it fewer columns, or where to fetch them"
                ),
            });
        }
        let (reply, answered) = oneshot::channel();
        self.begin();
        self.shared.queue.push(Job {
            item,
            reply,
            is_alone: false,
        });
        let mut waiting = Waiting {
            shared: &self.shared,
            is_answered: false,
        };
        let answer = answered.await;
        waiting.is_answered = true;
        // Nobody forgets an item but a pool that was ended.
        answer.unwrap_or_else(|_ended| {
            Err(Failure::Snooze {
                after: Duration::from_secs(1),
                reason: "the handlers were ended".to_owned(),
                whole_workflow: false,
            })
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.cancel();
        self.shared.ended.cancel();
    }
}

/// Has the item stopped when nobody waits for it any more.
struct Waiting<'a> {
    shared: &'a Shared,
    is_answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.shared.queue.ring_all();
        }
    }
}
