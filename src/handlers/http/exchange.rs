//! One request after the other: what is sent, and what its answer leads to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, sleep};
use url::Url;

use super::options::{Options, Per};
use super::outage::{Entry, Outage};
use super::queue::{Bounds, Job, Later, Queue, Said};
use super::reply::{self, Reading, TIMEOUT};
use super::request::{self, Given};
use super::{EndpointError, signature};
use crate::callback::{Callbacks, Expected, HandOut};
use crate::handlers::bounds::MAX_LINE_BYTES;
use crate::handlers::{Failure, Item};
use crate::settings::Options as _;
use crate::telemetry::chain;
use crate::web::fetch::{Client, Service, Terms};

/// How long a request waits for others to be ready, where they may go together.
const GATHERED_FOR: Duration = Duration::from_millis(5);

/// Longest wait for an answer to the question whether somebody is there.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is done about a row that the handler has left out of its answer.
const LEFT_OUT: &str =
    "the handler did not answer for this row, and did not say that it would later (202)";

/// All that requests to one handler share.
pub(super) struct Exchange {
    workflow: String,
    options: Options,
    url: Url,
    headers: HeaderMap,
    keys: Vec<Vec<u8>>,
    /// Where callbacks go, if there are any: before the token.
    callback_base: Option<String>,
    client: Service,
    callbacks: Callbacks,
    pub(super) queue: Queue,
    pub(super) outage: Outage,
}

impl Exchange {
    pub(super) fn new(
        workflow: &str,
        options: Options,
        pages: &Client,
        callbacks: Callbacks,
    ) -> Result<Self, EndpointError> {
        let wrong =
            |(key, problem): (String, String)| EndpointError::Options(format!("{key} {problem}"));
        options.check().map_err(wrong)?;
        let unchecked = |key: &str| EndpointError::Options(key.to_owned());
        let url = options.url().ok_or_else(|| unchecked("http"))?;
        let headers = options.header_map().map_err(EndpointError::Options)?;
        let requests = usize::try_from(options.in_flight).unwrap_or(usize::MAX);
        let terms = Terms {
            connections: requests,
            timeout: options.timeout,
            max_body_bytes: u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX),
        };
        Ok(Self {
            workflow: workflow.to_owned(),
            keys: options.keys(),
            callback_base: options.callbacks(),
            client: Service::beside(pages, terms).map_err(EndpointError::Client)?,
            callbacks,
            queue: Queue::new(Bounds {
                requests,
                items: options.most(),
                bytes: options.batch_bytes,
            }),
            outage: Outage::new(workflow),
            url,
            headers,
            options,
        })
    }

    /// Sends what waits, until nothing does.
    pub(super) async fn work(&self) {
        let mut taker = self.queue.taker();
        if self.options.per == Per::Batch {
            sleep(GATHERED_FOR).await;
        }
        while let Some(jobs) = taker.take() {
            self.send(jobs).await;
        }
    }

    /// Sends one request, and tells all who wait for it.
    async fn send(&self, jobs: Vec<Job>) {
        let (mut replies, rows): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .map(|job| (job.reply, (job.item, job.key)))
            .unzip();
        let nobody_waits = async {
            for reply in &mut replies {
                reply.closed().await;
            }
        };
        let outcome = tokio::select! {
            outcome = self.outcome(&rows) => outcome,
            () = nobody_waits => return,
        };
        let jobs = || {
            let rows = rows.into_iter().zip(replies);
            rows.map(|((item, key), reply)| Job {
                item,
                key,
                reply,
                is_alone: false,
            })
        };
        match outcome {
            // Whoever has gone meanwhile wants to know nothing.
            Outcome::Each(said) => {
                for (job, said) in jobs().zip(said) {
                    drop(job.reply.send(said));
                }
            }
            Outcome::All(failure) => {
                for job in jobs() {
                    drop(job.reply.send(Said::Now(Err(failure.clone()))));
                }
            }
            Outcome::Alone => self.queue.push_back_alone(jobs().collect()),
        }
    }

    /// What becomes of these rows.
    async fn outcome(&self, rows: &[(Item, String)]) -> Outcome {
        let keys = || rows.iter().map(|(_, key)| key.as_str());
        if let Err(failure) = self.enter(rows).await {
            return Outcome::All(failure);
        }
        let expected = match self.expect(rows).await {
            Ok(expected) => expected,
            Err(failure) => return Outcome::All(failure),
        };
        let answers = self.outage.answers();
        let is_one = rows.len() == 1;
        match self.ask(rows, &expected).await {
            Reading::Answered { told, is_later } => {
                self.outage.answered(keys());
                let until = Instant::now() + self.options.callback_timeout;
                // Callbacks that nobody waits for are forgotten when they are dropped here.
                let mut expected = expected.into_iter();
                let said = told.into_iter().map(|told| {
                    let expected = expected.next();
                    match (told, expected) {
                        (Some(told), _) => Said::Now(told),
                        (None, Some(expected)) if is_later => {
                            Said::Later(Later { expected, until })
                        }
                        (None, _) => Said::Now(Err(left_out(is_later))),
                    }
                });
                Outcome::Each(said.collect())
            }
            Reading::Failed(failure) => {
                if is_one {
                    self.outage.answered(keys());
                    Outcome::All(failure)
                } else {
                    self.outage.answered([]);
                    Outcome::Alone
                }
            }
            Reading::Doubtful { class, message } => {
                let since = (class == TIMEOUT && is_one).then_some(answers);
                let judged: Vec<Option<Failure>> = keys()
                    .map(|key| self.outage.doubtful(key, since, &message))
                    .collect();
                let said = judged.into_iter().map(|uncharged| {
                    let failure = match uncharged {
                        Some(failure) => failure,
                        None if is_one => Failure::Retry {
                            class,
                            message: message.clone(),
                            after: None,
                        },
                        // It was in company once more: it will be alone the next time.
                        None => Failure::Snooze {
                            after: Duration::from_secs(1),
                            reason: message.clone(),
                            whole_workflow: false,
                        },
                    };
                    Said::Now(Err(failure))
                });
                Outcome::Each(said.collect())
            }
            Reading::Unreachable(reason) => Outcome::All(self.outage.unreachable(&reason)),
            Reading::Rest { after, reason } => Outcome::All(self.outage.rest(after, &reason)),
            Reading::Shortage { after, reason } => Outcome::All(Failure::Snooze {
                after,
                reason,
                whole_workflow: true,
            }),
        }
    }

    /// Waits until rows may be sent, or says that they may not.
    async fn enter(&self, rows: &[(Item, String)]) -> Result<(), Failure> {
        let entry = || self.outage.entry(rows.iter().map(|(_, key)| key.as_str()));
        match entry() {
            Entry::Open => return Ok(()),
            Entry::Closed(failure) => return Err(failure),
            Entry::Probe => {}
        }
        let _probing = self.outage.probing().await;
        match entry() {
            Entry::Open => return Ok(()),
            Entry::Closed(failure) => return Err(failure),
            Entry::Probe => {}
        }
        match self.ask(&[], &[]).await {
            // Whatever it says, it is there.
            Reading::Answered { .. } | Reading::Failed(_) => {
                self.outage.answered([]);
                Ok(())
            }
            Reading::Doubtful {
                message: reason, ..
            }
            | Reading::Unreachable(reason) => Err(self.outage.unreachable(&reason)),
            Reading::Rest { after, reason } => Err(self.outage.rest(after, &reason)),
            Reading::Shortage { after, reason } => Err(Failure::Snooze {
                after,
                reason,
                whole_workflow: true,
            }),
        }
    }

    /// Has callbacks expected, where there may be some.
    async fn expect(&self, rows: &[(Item, String)]) -> Result<Vec<Expected>, Failure> {
        if self.callback_base.is_none() {
            return Ok(Vec::new());
        }
        let hand_outs: Vec<HandOut> = rows
            .iter()
            .map(|(item, key)| HandOut {
                item: key.clone(),
                attempt: item.attempt,
                lasts: self.options.timeout + self.lasts(item),
            })
            .collect();
        let expected = self.callbacks.expect(&self.workflow, &hand_outs).await;
        expected.map_err(|error| Failure::Snooze {
            after: Duration::from_secs(1),
            reason: chain(&error),
            whole_workflow: false,
        })
    }

    /// For how long an answer to this is of use.
    fn lasts(&self, item: &Item) -> Duration {
        let longest = if self.callback_base.is_some() {
            self.options.callback_timeout
        } else {
            self.options.timeout
        };
        item.deadline.map_or(longest, |deadline| {
            longest.min(deadline.saturating_duration_since(Instant::now()))
        })
    }

    /// Asks for these; without any, whether somebody is there.
    async fn ask(&self, rows: &[(Item, String)], expected: &[Expected]) -> Reading {
        let base = self.callback_base.as_deref().unwrap_or_default();
        let given: Vec<Given<'_>> = rows
            .iter()
            .enumerate()
            .map(|(at, (item, _))| Given {
                item,
                lasts: self.lasts(item),
                callback: expected
                    .get(at)
                    .map(|expected| format!("{base}{}", expected.token)),
            })
            .collect();
        let body = Bytes::from(request::body(&self.workflow, &given));
        let mut headers = self.headers.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let items: Vec<&Item> = rows.iter().map(|(item, _)| item).collect();
        let sent_at = SystemTime::now().duration_since(UNIX_EPOCH);
        let id = signature::id(&self.workflow, &items);
        let sent_at = sent_at.unwrap_or_default().as_secs();
        signature::sign(&mut headers, &self.keys, &id, sent_at, &body);
        let timeout = if rows.is_empty() {
            self.options.timeout.min(PROBE_TIMEOUT)
        } else {
            self.options.timeout
        };
        match self.client.post(&self.url, headers, body, timeout).await {
            Ok(response) => reply::read(&response, rows.len()),
            Err(error) => reply::missing(&error),
        }
    }
}

/// What a request comes to.
enum Outcome {
    /// For each row.
    Each(Vec<Said>),
    /// The same for all.
    All(Failure),
    /// Nobody knows whose fault it was: each is to be tried alone.
    Alone,
}

fn left_out(is_later: bool) -> Failure {
    let message = if is_later {
        "the handler answered 202, and no answer may come later: set callback_url".to_owned()
    } else {
        LEFT_OUT.to_owned()
    };
    Failure::Retry {
        class: reply::PROTOCOL,
        message,
        after: None,
    }
}
