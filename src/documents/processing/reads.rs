//! What reads files: a child process each, or what a test puts in its place.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use gleaner_parse::protocol::Request;
use tokio::sync::mpsc::UnboundedSender;

use super::options::{Processing, Recognition};
use crate::documents::child::{ChildError, Deadline, Event, Ocr, Outcome, Reader};

/// Reads files.
pub trait Reads: Send + Sync {
    /// Reads one, and sends what it finds in it. Dropped, it leaves nothing running; it stops too when nobody takes what it sends.
    fn read<'a>(
        &'a self,
        file: File,
        request: Request,
        deadline: Deadline,
        found: UnboundedSender<Event>,
    ) -> BoxFuture<'a, Result<Outcome, ChildError>>;
}

impl Reads for Reader {
    fn read<'a>(
        &'a self,
        file: File,
        request: Request,
        deadline: Deadline,
        found: UnboundedSender<Event>,
    ) -> BoxFuture<'a, Result<Outcome, ChildError>> {
        Box::pin(async move {
            let send = |event| match found.send(event) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_gone) => ControlFlow::Break(()),
            };
            Self::read(self, &file, request, deadline, send).await
        })
    }
}

/// Children that are this program, or another if one is named.
#[must_use]
pub fn children(options: &Processing) -> Reader {
    let reader = if options.reader.is_empty() {
        Reader::default()
    } else {
        Reader::by(PathBuf::from(&options.reader))
    };
    let ocr = match options.ocr {
        Recognition::Off => None,
        Recognition::Auto => Ocr::find(&options.ocr_languages),
    };
    reader.with_ocr(ocr)
}
