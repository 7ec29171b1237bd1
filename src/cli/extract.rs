//! `gleaner extract`: the extractors by themselves. Needs no database, no configuration and no network.

mod answer;
mod input;
mod lines;
mod request;

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use self::answer::{Answer, Context, Kind, Refusal, answer};
use self::lines::{Line, Work};
use self::request::{Options, Request};
use crate::console::{FAILURE, Global, Misuse, OK};
use crate::telemetry::chain;
use gleaner_extract::pattern::{MAX_PATTERN_BYTES, Pattern};

/// Arguments of `gleaner extract`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --jsonl every line is one request, and every answer one line, in the order of the requests:
  {\"id\": 1, \"file\": \"page.html\", \"url\": \"https://example.com/\"}   ->   {\"id\": 1, \"output\": {…}}
  {\"id\": 2, \"text\": \"https://EXAMPLE.com/?utm_source=x\"}           ->   {\"id\": 2, \"output\": {…}}
  {\"id\": 3, \"file\": \"nowhere.html\"}                              ->   {\"id\": 3, \"error\": \"…\"}
The document is \"file\" (relative to the folder of the JSONL file; gzip is recognised), \"text\" or \"html\". Options stand in
the line under the names of the flags, with underscores (\"default_region\"); for pattern, \"pattern\" is the pattern itself.

Exit code 0 when all lines were answered, be it with errors; 1 when the one document is refused or the input breaks off;
2 when the command makes no sense.")]
pub(super) struct Arguments {
    /// What to extract.
    #[arg(value_enum)]
    kind: Kind,
    /// The document, or with --jsonl the requests; - (the default) for standard input.
    file: Option<PathBuf>,
    /// The document itself, instead of a file.
    #[arg(long, conflicts_with_all = ["file", "jsonl"])]
    text: Option<String>,
    /// Read requests, one per line, and write answers, one per line.
    #[arg(long)]
    jsonl: bool,
    /// Threads for --jsonl; the default is one per core.
    #[arg(long, value_name = "N", requires = "jsonl")]
    jobs: Option<NonZeroUsize>,
    /// pattern: the pattern of requests that bring none, a JSON file.
    #[arg(long, value_name = "FILE")]
    pattern: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Lines in one batch for kinds whose lines are short and quickly answered.
const QUICK_LINES: usize = 1_024;

/// Bytes read at once from the requests.
const READ_BYTES: usize = 256 * 1024;

pub(super) fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let tracking = global.load()?.extract.tracking();
    let pattern = arguments.pattern.as_deref().map(pattern_in).transpose()?;
    let file = arguments.file.unwrap_or_else(|| PathBuf::from("-"));
    let is_stdin = file == Path::new("-");
    let folder = if arguments.jsonl && !is_stdin {
        file.parent().map(Path::to_owned).unwrap_or_default()
    } else {
        PathBuf::new()
    };
    let context = Context {
        folder,
        tracking,
        pattern,
    };
    if !arguments.jsonl {
        let request = Request {
            file: Some(file.to_string_lossy()).filter(|_| arguments.text.is_none()),
            text: arguments.text.map(Cow::Owned),
            ..Request::default()
        };
        return one(arguments.kind, &request.with(&arguments.options), &context);
    }
    let unreadable = |error| Misuse(format!("cannot read {}: {error}", file.display()));
    let input: Box<dyn Read + Send> = if is_stdin {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(&file).map_err(unreadable)?)
    };
    let input = input::lines(input, READ_BYTES).map_err(unreadable)?;
    let jobs = arguments
        .jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let batch_lines = match arguments.kind {
        Kind::Url | Kind::Domain | Kind::Price => QUICK_LINES,
        Kind::Robots => 32,
        Kind::Sitemap | Kind::Contacts | Kind::Offer | Kind::Pattern | Kind::Page => 1,
    };
    let (kind, options) = (arguments.kind, arguments.options);
    let work: Arc<Work> =
        Arc::new(move |line, out| answer_line(kind, line, &options, &context, out));
    let mut output = BufWriter::with_capacity(READ_BYTES, std::io::stdout());
    lines::run(input, &mut output, jobs, batch_lines, &work)?;
    Ok(OK)
}

/// Reads the file given with `--pattern`.
fn pattern_in(path: &Path) -> Result<Pattern, Misuse> {
    let bad = |error: &dyn std::fmt::Display| Misuse(format!("{}: {error}", path.display()));
    let file = input::open(path).map_err(|error| Misuse(chain(&error)))?;
    let bytes = input::read(file, MAX_PATTERN_BYTES + 1).map_err(|error| bad(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| bad(&error))?;
    Pattern::parse(&text).map_err(|error| bad(&chain(&error)))
}

/// Answers the one request of a command without `--jsonl`.
fn one(kind: Kind, request: &Request<'_>, context: &Context) -> anyhow::Result<u8> {
    let answer = match answer(kind, request, context) {
        Ok(answer) => answer,
        Err(refusal) => {
            crate::console::complain(&chain(&refusal));
            return Ok(FAILURE);
        }
    };
    let mut output = BufWriter::new(std::io::stdout());
    let written = serde_json::to_writer_pretty(&mut output, &answer)
        .map_err(std::io::Error::from)
        .and_then(|()| output.write_all(b"\n"))
        .and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(OK),
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
