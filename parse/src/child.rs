//! `gleaner parse`: the process that reads one document and ends.
//!
//! It is told what to do over the socket that is its standard output, loads the library for PDFs if the file looks like one, gives up
//! all it does not need ([`crate::sandbox`]), and only then reads what is hostile: the file that is its standard input.

mod output;
mod probe;

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

pub use probe::{Tried, Trying};

use self::output::Output;
use crate::failure::Failure;
use crate::pdf::{self, Engine};
use crate::protocol::{Code, Frame, Request, Sandbox};
use crate::sandbox::{self, Report};
use crate::sniff::{self, Head, Kind};
use crate::watch::{self, Watch};
use crate::{picture, reader, wire};

/// The name of the hidden subcommand.
pub const SUBCOMMAND: &str = "parse";

/// The option that has it try out its own confinement: [`Trying`].
pub const TRY: &str = "--try";

/// The exit code when something other than us has started it.
const MISUSE: u8 = 2;

/// What the subcommand does, with the arguments behind its name.
#[must_use]
pub fn main(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    match (arguments.next(), arguments.next()) {
        (None, _) => {}
        (Some(option), Some(what)) if option == TRY => return probe::main(&what),
        _ => return misuse(),
    }
    let (file, socket) = match streams() {
        Ok(streams) => streams,
        Err(_) => return misuse(),
    };
    let request = match wire::receive(&mut &socket, wire::MAX_REQUEST) {
        Ok(request) => request,
        Err(error) => {
            watch::complain(&format!("gleaner parse: no request: {error}"));
            return ExitCode::from(MISUSE);
        }
    };
    let watch = Watch::new(socket);
    let last = match answer(file, &request, &watch) {
        Ok(last) => last,
        Err(failure) => Frame::Failed {
            code: failure.code,
            message: failure.message,
            pages: failure.pages,
        },
    };
    match watch.send(&last, &[]) {
        Ok(()) => ExitCode::SUCCESS,
        // The parent is gone, and with it whoever wanted to know.
        Err(_) => ExitCode::FAILURE,
    }
}

fn misuse() -> ExitCode {
    watch::complain(
        "gleaner parse is for Gleaner itself, which tells it over a socket what to read",
    );
    ExitCode::from(MISUSE)
}

/// The document, and the socket to the parent.
fn streams() -> io::Result<(File, UnixStream)> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let socket = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    // Nothing but a socket has one.
    socket.peer_addr()?;
    Ok((file, socket))
}

/// Reads it: the last frame.
fn answer(mut file: File, request: &Request, watch: &Watch) -> Result<Frame, Failure> {
    let ours =
        |error: io::Error| Failure::new(Code::Internal, format!("It cannot be read now: {error}."));
    let mut report = Report::default();
    sandbox::limit(&request.limits, &mut report);
    // A few comparisons of bytes: safe enough for here, and needed before libraries are out of reach.
    let is_pdf = is_pdf(&mut file, request.name.as_deref()).map_err(ours)?;
    let engine = is_pdf.then(|| engine(request.pdfium.as_deref()));
    sandbox::close_files(&mut report);
    watch.start(&request.limits).map_err(ours)?;
    sandbox::seal(&mut report);
    if request.sandbox == Sandbox::Required && !report.is_complete() {
        let missing: Vec<&str> = report.missing.iter().map(|(part, _)| part.name()).collect();
        let message = format!(
            "The machine that reads documents lacks what would confine the reading: {}.",
            missing.join(", ")
        );
        return Err(Failure::new(Code::NoSandbox, message));
    }
    file.rewind().map_err(ours)?;
    let mut output = Output::new(watch, request);
    match engine {
        Some(engine) => pdf::read(&mut file, request, &engine, watch, &mut output)?,
        None => {
            let kind = sniff::sniff(&mut file, request.name.as_deref())?;
            if let Kind::Unsupported(what) = kind {
                let message = format!("Files of this kind ({what}) are not read.");
                return Err(Failure::new(Code::UnsupportedType, message));
            }
            file.rewind().map_err(ours)?;
            match kind {
                Kind::Image(mime) if request.pictures => {
                    picture::read(&mut file, mime, request, watch, &mut output)?;
                }
                _ => reader::read(&mut file, request, &mut output)?,
            }
        }
    }
    output.finish()
}

fn is_pdf(file: &mut File, name: Option<&str>) -> io::Result<bool> {
    let mut head = Vec::new();
    let limit = u64::try_from(sniff::HEAD_BYTES).unwrap_or(4_096);
    file.rewind()?;
    file.take(limit).read_to_end(&mut head)?;
    Ok(sniff::sniff_head(&head, name) == Head::Accepted(Kind::Pdf))
}

/// What reads PDFs, if anything.
fn engine(library: Option<&Path>) -> Engine {
    let bound = library.map(Engine::load);
    match bound {
        Some(Ok(engine)) => engine,
        Some(Err(error)) => {
            watch::complain(&format!("gleaner parse: pdfium cannot be loaded: {error}"));
            Engine::without()
        }
        None => Engine::without(),
    }
}
