//! What is said to handlers and what they say, line by line: JSON, one message a line. `docs/handlers.md` is its description.
//!
//! A handler is not trusted: each line is bounded in bytes and depth before it is parsed, and what is built from it in its number
//! of results and columns. The values of columns are not built at all but kept as text.

use std::io::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::{Outcome, ResultLine};
use super::bounds::{
    Bounded, MAX_BATCH, MAX_DEPTH, MAX_LINE_BYTES, ProtocolError, VERSION, excerpt, short,
};
use super::{Item, Progress};

/// What a message takes beside what its items take.
pub const FRAME_BYTES: usize = 1 << 10;

/// What each item takes in it beside its key and columns.
pub const ITEM_FRAME_BYTES: usize = 128;

/// What a handler says.
#[derive(Debug)]
pub enum Message {
    Hello(Hello),
    Results(Vec<Outcome>),
    Progress { id: u64, told: Progress },
}

impl Message {
    /// Its type, as it is written.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Results(_) => "results",
            Self::Progress { .. } => "progress",
        }
    }
}

/// How a handler introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What it calls itself.
    pub name: Option<String>,
    /// How many hand-outs it takes at once; one if it does not say.
    pub in_flight: u32,
    /// How many items it takes in one hand-out; one if it does not say.
    pub batch: u32,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Hello,
    Results,
    Progress,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "type")]
    kind: Kind,
    version: Option<u32>,
    name: Option<String>,
    in_flight: Option<u32>,
    batch: Option<u32>,
    results: Option<Bounded<ResultLine, MAX_BATCH>>,
    id: Option<u64>,
    step: Option<String>,
    done: Option<u32>,
    total: Option<u32>,
}

/// What a line says, without its end.
///
/// # Errors
/// What is wrong with it.
pub fn parse(line: &[u8]) -> Result<Message, ProtocolError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(ProtocolError::TooLong);
    }
    if !is_flat_enough(line) {
        return Err(ProtocolError::TooDeep);
    }
    let said: Line = serde_json::from_slice(line).map_err(|source| ProtocolError::NoMessage {
        excerpt: excerpt(line),
        source,
    })?;
    let unfit = |kind, problem: &str| ProtocolError::Unfit {
        kind,
        problem: problem.to_owned(),
    };
    match said.kind {
        Kind::Hello => {
            let version = said
                .version
                .ok_or_else(|| unfit("hello", "has no version"))?;
            if version != VERSION {
                return Err(ProtocolError::Version(version));
            }
            if said.in_flight == Some(0) || said.batch == Some(0) {
                return Err(unfit("hello", "accepts nothing"));
            }
            Ok(Message::Hello(Hello {
                name: said.name.map(short),
                in_flight: said.in_flight.unwrap_or(1),
                batch: said.batch.unwrap_or(1),
            }))
        }
        Kind::Results => {
            let results = said
                .results
                .ok_or_else(|| unfit("results", "has no results"))?;
            let outcomes: Result<Vec<Outcome>, ProtocolError> =
                results.0.into_iter().map(Outcome::try_from).collect();
            Ok(Message::Results(outcomes?))
        }
        Kind::Progress => Ok(Message::Progress {
            id: said.id.ok_or_else(|| unfit("progress", "has no id"))?,
            told: Progress {
                step: said.step.map(short),
                done: said.done,
                total: said.total,
            },
        }),
    }
}

/// Whether no object or list lies too deep. Of what is no JSON it says something, and the parser the rest.
pub(super) fn is_flat_enough(line: &[u8]) -> bool {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for byte in line {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// What we offer a handler.
#[derive(Clone, Debug, Serialize)]
pub struct Offer<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    version: u32,
    /// The workflow's name.
    workflow: &'a str,
    in_flight: u32,
    batch: u32,
    /// How long a hand-out may take, in seconds.
    timeout: f64,
    max_line_bytes: usize,
}

impl<'a> Offer<'a> {
    #[must_use]
    pub fn new(workflow: &'a str, in_flight: u32, batch: u32, timeout: Duration) -> Self {
        Self {
            kind: "hello",
            version: VERSION,
            workflow,
            in_flight,
            batch,
            timeout: timeout.as_secs_f64(),
            max_line_bytes: MAX_LINE_BYTES,
        }
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Nothing in it has no JSON, and memory takes all of it.
        serde_json::to_writer(&mut *out, self).unwrap_or_default();
        out.push(b'\n');
    }
}

/// Writes a hand-out: items with the ids that they are given for it.
pub fn write_items<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = (u64, &'a Item)>) {
    out.extend_from_slice(b"{\"type\":\"items\",\"items\":[");
    for (at, (id, item)) in items.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(out, "{comma}{{\"id\":{id},\"key\":").unwrap_or_default();
        serde_json::to_writer(&mut *out, &item.key).unwrap_or_default();
        write!(out, ",\"attempt\":{},\"columns\":", item.attempt).unwrap_or_default();
        push_in_one_line(out, item.columns.get());
        out.push(b'}');
    }
    out.extend_from_slice(b"]}\n");
}

/// A JSON value without the line breaks that may stand between its parts; within its texts there are none.
fn push_in_one_line(out: &mut Vec<u8>, json: &str) {
    let start = out.len();
    out.extend_from_slice(json.as_bytes());
    let written = out.get_mut(start..).unwrap_or_default();
    if memchr::memchr2(b'\n', b'\r', written).is_some() {
        for byte in written {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

/// Writes that items are to be stopped.
pub fn write_cancel(out: &mut Vec<u8>, ids: &[u64]) {
    out.extend_from_slice(b"{\"type\":\"cancel\",\"ids\":");
    serde_json::to_writer(&mut *out, ids).unwrap_or_default();
    out.extend_from_slice(b"}\n");
}

/// Writes that nothing more comes.
pub fn write_shutdown(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"shutdown\"}\n");
}

#[cfg(test)]
mod tests;
