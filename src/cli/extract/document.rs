//! `gleaner extract document`: one document, read as the pipeline reads it.

use std::ops::ControlFlow;
use std::path::Path;

use gleaner_parse::protocol::{Code, Password, Request};
use serde::Serialize;

use super::Arguments;
use crate::console::{FAILURE, Global, Misuse, OK};
use crate::documents::child::{Deadline, Event, Outcome, Reader, find_pdfium};

/// What is printed.
#[derive(Debug, Default, Serialize)]
struct Answer {
    pages: Vec<Page>,
    /// ISO 639-1, if it can be told.
    language: Option<String>,
    error: Option<Refusal>,
    mime: Option<String>,
    title: Option<String>,
    parser: Option<String>,
    pages_without_text: Vec<u32>,
    pages_failed: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Page {
    number: u32,
    /// Name of a sheet, slide or chapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    locator: Option<String>,
    text: String,
}

#[derive(Debug, Serialize)]
struct Refusal {
    code: Code,
    message: String,
    pages: Vec<u32>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<u8> {
    let misuse = |message: &str| Misuse(message.to_owned());
    let file = match &arguments.file {
        Some(path) if path != Path::new("-") && !arguments.jsonl => path,
        _ => {
            return Err(
                misuse("documents are read from a file: gleaner extract document FILE").into(),
            );
        }
    };
    let opened = super::open(file).map_err(|error| Misuse(crate::telemetry::chain(&error)))?;
    let password = arguments
        .password_env
        .as_ref()
        .map(|variable| password(variable))
        .transpose()?;
    let data_dir = global.load()?.embedded.data_dir();
    let request = Request {
        name: file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned()),
        password,
        pdfium: find_pdfium("", &data_dir),
        ..Request::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut answer = Answer::default();
    let reader = Reader::default();
    let read = reader.read(&opened, request, Deadline::default(), |event| {
        answer.take(event);
        ControlFlow::Continue(())
    });
    match runtime.block_on(read)? {
        Outcome::Done(done) => {
            answer.language = done.language;
            answer.pages_without_text = done.pages_without_text;
        }
        Outcome::Failed(failed) => {
            answer.error = Some(Refusal {
                code: failed.code,
                message: failed.message,
                pages: failed.pages,
            });
        }
        Outcome::Stopped => {}
    }
    let code = if answer.error.is_some() { FAILURE } else { OK };
    super::print(&answer)?;
    Ok(code)
}

impl Answer {
    fn take(&mut self, event: Event) {
        match event {
            Event::Opened(opened) => {
                self.mime = Some(opened.mime);
                self.title = opened.title;
                self.parser = Some(opened.parser);
            }
            Event::Page(page) => self.pages.push(Page {
                number: page.number,
                locator: page.locator,
                text: page.text,
            }),
            Event::PageFailed { number, .. } => self.pages_failed.push(number),
            Event::Attachment { .. } | Event::LeftOut { .. } | Event::Chunk(_) => {}
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a password does not belong on a command line, where others see it"
)]
fn password(variable: &str) -> Result<Password, Misuse> {
    std::env::var(variable)
        .map(Password)
        .map_err(|error| Misuse(format!("{variable}: {error}")))
}
