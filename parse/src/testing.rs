//! What the tests share.

use std::io::{Cursor, Write};

use crate::failure::Failure;
use crate::protocol::{Code, Opened, Request};
use crate::reader::{Heading, Sink, read};

/// Remembers what it is told.
#[derive(Default, Debug)]
pub(crate) struct Heard {
    pub(crate) opened: Option<Opened>,
    pub(crate) pages: Vec<(Option<String>, String, Vec<Heading>)>,
    pub(crate) failed: Vec<(Option<String>, Code)>,
    pub(crate) attachments: Vec<(String, Vec<u8>)>,
}

impl Heard {
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.pages
            .iter()
            .map(|(_, text, _)| text.as_str())
            .collect()
    }

    pub(crate) fn locators(&self) -> Vec<Option<&str>> {
        self.pages
            .iter()
            .map(|(locator, ..)| locator.as_deref())
            .collect()
    }

    pub(crate) fn headings(&self) -> Vec<&str> {
        let headings = self.pages.iter().flat_map(|(_, _, headings)| headings);
        headings.map(|heading| heading.text.as_str()).collect()
    }
}

impl Sink for Heard {
    fn opened(&mut self, opened: Opened) -> Result<(), Failure> {
        assert_eq!(self.opened, None);
        self.opened = Some(opened);
        Ok(())
    }

    fn page(
        &mut self,
        locator: Option<String>,
        text: &str,
        headings: &[Heading],
    ) -> Result<(), Failure> {
        for heading in headings {
            assert!(text.is_char_boundary(heading.at));
        }
        self.pages
            .push((locator, text.to_owned(), headings.to_vec()));
        Ok(())
    }

    fn recognised(&mut self, text: &str) -> Result<(), Failure> {
        self.page(None, text, &[])
    }

    fn page_failed(&mut self, locator: Option<String>, code: Code) -> Result<(), Failure> {
        self.failed.push((locator, code));
        Ok(())
    }

    fn attachment(&mut self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.attachments.push((name.to_owned(), bytes.to_owned()));
        Ok(())
    }
}

/// Reads a document of this name.
pub(crate) fn heard_with(
    name: &str,
    bytes: &[u8],
    mut request: Request,
) -> (Heard, Result<(), Failure>) {
    let mut heard = Heard::default();
    request.name = Some(name.to_owned());
    let outcome = read(&mut Cursor::new(bytes), &request, &mut heard);
    (heard, outcome)
}

/// Reads a document that can be.
#[track_caller]
pub(crate) fn heard(name: &str, bytes: &[u8]) -> Heard {
    let (heard, outcome) = heard_with(name, bytes, Request::default());
    assert_eq!(outcome, Ok(()), "{name}");
    heard
}

/// Reads one that cannot.
#[track_caller]
pub(crate) fn refused(name: &str, bytes: &[u8]) -> Failure {
    let (heard, outcome) = heard_with(name, bytes, Request::default());
    outcome
        .err()
        .unwrap_or_else(|| panic!("{name} is read: {heard:?}"))
}

/// An archive of these files.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in files {
        zip.start_file(*name, options).expect("a file");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("an archive").into_inner()
}

/// One of the documents in `tests/data`.
pub(crate) fn document(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/");
    std::fs::read(format!("{folder}{name}")).expect(name)
}
