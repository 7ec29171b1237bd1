//! Rows worked behind an HTTP address, one to a request or many.
//!
//! What waits stands in one queue (`queue.rs`). Up to `in_flight` requests are under way at once; each takes from the queue what is there when it
//! begins, so that what is asked for at the same time goes together where it may (`exchange.rs`). `request.rs` is what is sent, `reply.rs` what its answer means,
//! `signature.rs` how the handler knows that it is ours.
//!
//! **Who is charged.** What the handler says of a row is that row's. A request that fails as such is charged to its row where it has one; of
//! several each is sent again alone first. A handler that is down is nobody's failure: `outage.rs` tells it from a row that it cannot
//! cope with.
//!
//! **Later.** `202` leaves the rows that are not answered in hand until their callbacks come ([`Callbacks`]), or their time is over.

mod exchange;
pub mod options;
mod outage;
mod queue;
mod reply;
mod request;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use self::exchange::Exchange;
use self::options::Options;
use self::queue::{Job, Later, Said};
use self::request::{FRAME_BYTES, ITEM_FRAME_BYTES};
use super::bounds::MAX_LINE_BYTES;
use super::{Answer, Failure, Item, Runner};
use crate::callback::Callbacks;
use crate::web::fetch::{Client, FetchError};

pub use self::reply::{AnswerError, one as read_callback};

/// No callback came in time.
const CALLBACK: &str = "handler_callback";

/// How much sooner than the row's own time the wait for a callback ends, so that it is told as what it is.
const MARGIN: Duration = Duration::from_millis(250);

/// A handler behind an address.
pub struct Endpoint {
    exchange: Arc<Exchange>,
    requests: TaskTracker,
}

/// Why there can be no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Options that were not checked, or did not pass.
    #[error("the options of the handler's address are not right: {0}")]
    Options(String),
    /// No client.
    #[error("no requests can be made to the handler")]
    Client(#[source] FetchError),
}

impl Endpoint {
    /// For a workflow, with options that have been checked. `pages` is the client whose rules hold for it too; `callbacks` takes in what comes
    /// later.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(
        workflow: &str,
        options: Options,
        pages: &Client,
        callbacks: Callbacks,
    ) -> Result<Self, EndpointError> {
        Ok(Self {
            exchange: Arc::new(Exchange::new(workflow, options, pages, callbacks)?),
            requests: TaskTracker::new(),
        })
    }
}

impl Runner for Endpoint {
    async fn run(&self, item: Item) -> Result<Answer, Failure> {
        let exchange = &self.exchange;
        let bytes = FRAME_BYTES + ITEM_FRAME_BYTES + item.bytes();
        if bytes > MAX_LINE_BYTES {
            return Err(Failure::Permanent {
                class: "too_large",
                message: format!(
                    "the columns that the handler is to be given take {bytes} bytes, and a request \
                     has at most {MAX_LINE_BYTES}: give it fewer columns, or where to fetch them"
                ),
            });
        }
        let key = item.key.to_string();
        let deadline = item.deadline;
        let (reply, said) = oneshot::channel();
        let is_alone = exchange.outage.is_suspect(&key);
        let is_to_begin = exchange.queue.push(Job {
            item,
            key,
            reply,
            is_alone,
        });
        if is_to_begin {
            let exchange = Arc::clone(exchange);
            // It ends when nothing waits any more, and what waits ends with who asked for it.
            drop(self.requests.spawn(async move { exchange.work().await }));
        }
        match said.await {
            Ok(Said::Now(told)) => told,
            Ok(Said::Later(Later { expected, until })) => {
                let until = deadline.map_or(until, |deadline| {
                    until.min(deadline.checked_sub(MARGIN).unwrap_or(deadline))
                });
                let began = Instant::now();
                match expected.by(until).await {
                    // Whoever took it in has read it already.
                    Some(answer) => reply::one(answer.as_bytes()).unwrap_or_else(|error| {
                        Err(Failure::Retry {
                            class: reply::PROTOCOL,
                            message: crate::telemetry::chain(&error),
                            after: None,
                        })
                    }),
                    None => Err(Failure::Retry {
                        class: CALLBACK,
                        message: format!(
                            "the handler answered 202, and no callback came within {:.0?}",
                            began.elapsed()
                        ),
                        after: None,
                    }),
                }
            }
            // Nobody forgets an item but a task that has panicked.
            Err(_forgotten) => Err(Failure::Snooze {
                after: Duration::from_secs(1),
                reason: "the request was given up".to_owned(),
                whole_workflow: false,
            }),
        }
    }
}
