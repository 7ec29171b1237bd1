//! The extractors as a filter, for measuring them without building the program: requests in, answers out, on one thread.
//!
//! ```text
//! extract KIND [REQUESTS.jsonl]      # without a file, from standard input
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::process::ExitCode;

use gleaner_extract::Config;
use gleaner_extract::command::{Context, InputError, Kind, Options, Stream};

fn main() -> io::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().and_then(|name| {
        Kind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name.as_str())
    });
    let Some(kind) = kind else {
        return Ok(ExitCode::from(2));
    };
    let requests: Box<dyn Read + Send> = match arguments.next() {
        Some(path) => Box::new(File::open(path)?),
        None => Box::new(io::stdin()),
    };
    let context = Context {
        open: Box::new(|name| match File::open(name) {
            Ok(file) => Ok(Box::new(file)),
            Err(source) => Err(InputError::Unreadable {
                path: name.into(),
                source,
            }),
        }),
        tracking: Config::default().tracking(),
        pattern: None,
    };
    Stream::new(requests)?.answer(
        kind,
        Options::default(),
        context,
        NonZeroUsize::MIN,
        &mut io::stdout(),
    )?;
    Ok(ExitCode::SUCCESS)
}
