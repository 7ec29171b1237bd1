//! Every extractor as a command: a request in, an answer out, one document or an endless stream of lines.
//!
//! This is all of `gleaner extract` but its flags. What is read and written comes from outside: the lines, the output, and
//! the files that requests name ([`Context::open`]), so that whoever runs it says what may be opened.

mod answer;
mod input;
mod lines;
mod request;

use std::error::Error;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

pub use self::answer::{Answer, Context, Kind, Opener, Refusal, answer};
pub use self::input::{InputError, read};
pub use self::lines::MAX_LINE_BYTES;
use self::lines::{Line, Work};
pub use self::request::{Options, Request};

/// Lines in one batch for kinds whose lines are short and quickly answered.
const QUICK_LINES: usize = 1_024;

/// Bytes read at once from the requests.
const READ_BYTES: usize = 256 * 1024;

/// Requests, one a line, that will be answered in their order.
pub struct Stream {
    input: Box<dyn io::BufRead + Send>,
}

impl Stream {
    /// Takes the requests, as text or compressed with gzip.
    ///
    /// # Errors
    /// When not even the first bytes can be read.
    pub fn new(input: impl Read + Send + 'static) -> io::Result<Self> {
        Ok(Self {
            input: input::lines(input, READ_BYTES)?,
        })
    }

    /// Answers every line, with `options` for what a line does not say itself, on `jobs` threads.
    ///
    /// A reader of `output` that goes away ends it without an error.
    ///
    /// # Errors
    /// When the input breaks off, the output cannot be written, or a thread cannot be started.
    pub fn answer(
        self,
        kind: Kind,
        options: Options,
        context: Context,
        jobs: NonZeroUsize,
        output: &mut impl Write,
    ) -> io::Result<()> {
        let batch_lines = match kind {
            Kind::Url | Kind::Domain | Kind::Price => QUICK_LINES,
            Kind::Robots => 32,
            Kind::Sitemap | Kind::Contacts | Kind::Offer | Kind::Pattern | Kind::Page => 1,
        };
        let work: Arc<Work> =
            Arc::new(move |line, out| answer_line(kind, line, &options, &context, out));
        let mut output = io::BufWriter::with_capacity(READ_BYTES, output);
        lines::run(self.input, &mut output, jobs, batch_lines, &work)
    }
}

/// One answer of many.
#[derive(Serialize)]
struct Reply<'a> {
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

fn answer_line(
    kind: Kind,
    line: &Line<'_>,
    options: &Options,
    context: &Context,
    out: &mut Vec<u8>,
) {
    let (id, result) = match Request::parse(line) {
        Ok(request) => {
            let request = request.with(options);
            let answered = catch_unwind(AssertUnwindSafe(|| answer(kind, &request, context)));
            let result = answered.unwrap_or(Err(Refusal::Defect));
            (request.id, result.map_err(|refusal| chain(&refusal)))
        }
        Err((id, error)) => (id, Err(chain(&error))),
    };
    let (output, error) = match &result {
        Ok(answer) => (Some(answer), None),
        Err(error) => (None, Some(error.as_str())),
    };
    // Writing to memory fails for nothing that these types hold.
    drop(serde_json::to_writer(
        &mut *out,
        &Reply { id, output, error },
    ));
    out.push(b'\n');
}

/// An error and its sources in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        // Some libraries repeat their source in their own text.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = inner.source();
    }
    line
}
