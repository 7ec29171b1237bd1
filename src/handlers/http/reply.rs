//! What a handler answers, and what that means for the rows that it was given.
//!
//! An answer is not trusted: it is bounded in bytes by the client, in depth before it is parsed, and in what is built from it.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::handlers::answer::{Outcome, ResultLine};
use crate::handlers::bounds::{
    Bounded, MAX_BATCH, MAX_DEPTH, ProtocolError, excerpt, printable, short,
};
use crate::handlers::protocol::is_flat_enough;
use crate::handlers::{Answer, Columns, Failure};
use crate::telemetry::chain;
use crate::web::fetch::{Decision, FetchError, Response};

/// Statuses of 400 and more are failures of this class.
const STATUS: &str = "handler_status";
/// The handler says what it should not.
pub(super) const PROTOCOL: &str = "handler_protocol";
/// No answer in time.
pub(super) const TIMEOUT: &str = "handler_timeout";
/// No answer at all.
pub(super) const UNREACHABLE: &str = "handler_unreachable";

/// How much of the text that comes with a failure is kept, in characters.
const TOLD_CHARS: usize = 1_000;

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// More than [`MAX_DEPTH`].
    #[error("the answer has more than {MAX_DEPTH} levels")]
    TooDeep,
    /// No JSON, or not of the form.
    #[error("\"{excerpt}\" is no answer")]
    NoAnswer {
        excerpt: String,
        #[source]
        source: serde_json::Error,
    },
    /// A result that cannot be one.
    #[error(transparent)]
    Unfit(#[from] ProtocolError),
}

/// What became of one item.
pub(super) type Told = Result<Answer, Failure>;

/// What a request came to.
#[derive(Debug)]
pub(super) enum Reading {
    /// The handler answered; what it said of each item, in their order. It may have left some out.
    Answered {
        told: Vec<Option<Told>>,
        /// Those that are left out are answered later.
        is_later: bool,
    },
    /// The request as such failed, and is to be charged with it.
    Failed(Failure),
    /// It failed by what may be the request's fault, or the handler's.
    Doubtful {
        class: &'static str,
        message: String,
    },
    /// The handler was not reached, or is wrongly set up: nothing of it is the request's fault.
    Unreachable(String),
    /// It asks for time.
    Rest { after: Duration, reason: String },
    /// What our own process lacks.
    Shortage { after: Duration, reason: String },
}

/// Reads an answer to a request for so many items.
pub(super) fn read(response: &Response, items: usize) -> Reading {
    let status = response.status;
    match status {
        200..=299 => {
            let is_later = status == 202;
            let told = if response.body.trim_ascii().is_empty() {
                silent(items, is_later)
            } else {
                results(&response.body, items)
            };
            match told {
                Ok(told) => Reading::Answered { told, is_later },
                Err(error) => Reading::Failed(Failure::Retry {
                    class: PROTOCOL,
                    message: short(chain(&error)),
                    after: None,
                }),
            }
        }
        300..=399 => Reading::Doubtful {
            class: STATUS,
            message: format!(
                "the handler answered {status}, and redirects are not followed: name the address that it leads to"
            ),
        },
        429 | 503 if response.retry_after.is_some() => Reading::Rest {
            after: response.retry_after.unwrap_or_default(),
            reason: said(response),
        },
        429 | 502 | 503 | 504 => Reading::Doubtful {
            class: STATUS,
            message: said(response),
        },
        408 | 425 | 500.. => Reading::Failed(Failure::Retry {
            class: STATUS,
            message: said(response),
            after: response.retry_after,
        }),
        _ => Reading::Failed(Failure::Permanent {
            class: STATUS,
            message: said(response),
        }),
    }
}

/// What no answer means.
pub(super) fn missing(error: &FetchError) -> Reading {
    let reason = chain(error);
    match error.decision() {
        Decision::Snooze { after } if matches!(error, FetchError::HostBusy { .. }) => {
            Reading::Rest {
                after,
                reason: "the handler asked for time".to_owned(),
            }
        }
        Decision::Snooze { after } => Reading::Shortage { after, reason },
        Decision::Retry { .. } | Decision::Permanent => match error {
            FetchError::Blocked { .. } => Reading::Unreachable(format!(
                "{reason}; where that network may be spoken to, add it to fetch.allow_networks"
            )),
            FetchError::Timeout { .. } => Reading::Doubtful {
                class: TIMEOUT,
                message: reason,
            },
            FetchError::Transport(_) | FetchError::Body(_) => Reading::Doubtful {
                class: UNREACHABLE,
                message: reason,
            },
            FetchError::TooLarge { .. }
            | FetchError::Decompression { .. }
            | FetchError::ContentCoding { .. } => Reading::Failed(Failure::Permanent {
                class: PROTOCOL,
                message: format!("the answer cannot be read: {reason}"),
            }),
            _ => Reading::Unreachable(reason),
        },
    }
}

/// What a status says that is a failure, with the beginning of the text that came with it.
fn said(response: &Response) -> String {
    let text = String::from_utf8_lossy(&response.body);
    let text: String = printable(text.trim()).chars().take(TOLD_CHARS).collect();
    let status = response.status;
    if text.is_empty() {
        format!("the handler answered {status}")
    } else {
        format!("the handler answered {status}: {text}")
    }
}

/// An empty answer: done, or later.
fn silent(items: usize, is_later: bool) -> Result<Vec<Option<Told>>, AnswerError> {
    let told = || (!is_later).then(|| Ok(Answer::Completed(Columns::new())));
    Ok((0..items).map(|_| told()).collect())
}

/// The results of a request, or, where it was for one item, that one's.
fn results(body: &[u8], items: usize) -> Result<Vec<Option<Told>>, AnswerError> {
    /// Results of several.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Results {
        results: Bounded<ResultLine, MAX_BATCH>,
    }
    let mut told: Vec<Option<Told>> = (0..items).map(|_| None).collect();
    if items == 1 && !has_results(body) {
        return Ok(vec![Some(one(body)?)]);
    }
    let results: Results = json(body)?;
    for line in results.results.0 {
        let outcome = Outcome::try_from(line)?;
        let place = usize::try_from(outcome.id)
            .ok()
            .and_then(|id| told.get_mut(id));
        match place {
            None => return Err(ProtocolError::NotGiven(outcome.id).into()),
            Some(Some(_)) => return Err(ProtocolError::Twice(outcome.id).into()),
            Some(place) => *place = Some(outcome.result),
        }
    }
    Ok(told)
}

/// Whether this is an object that has `results`. Nothing is built for it.
fn has_results(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Peek {
        results: Option<IgnoredAny>,
    }
    is_flat_enough(body)
        && serde_json::from_slice::<Peek>(body).is_ok_and(|peek| peek.results.is_some())
}

/// The result of the one item that is meant: of a request for it alone, or of a callback.
///
/// # Errors
/// What is wrong with it.
pub fn one(body: &[u8]) -> Result<Result<Answer, Failure>, AnswerError> {
    let line: ResultLine = json(body)?;
    Ok(Outcome::of_one(line, 0)?.result)
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, AnswerError> {
    if !is_flat_enough(body) {
        return Err(AnswerError::TooDeep);
    }
    serde_json::from_slice(body).map_err(|source| AnswerError::NoAnswer {
        excerpt: excerpt(body),
        source,
    })
}

#[cfg(test)]
mod tests;
