//! What the tests of the readers share.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use super::{Heading, Sink, read};
use crate::failure::Failure;
use crate::protocol::{Code, Opened, Request};

/// Remembers what it is told.
#[derive(Default, Debug)]
pub(super) struct Heard {
    pub(super) opened: Option<Opened>,
    pub(super) pages: Vec<(Option<String>, String, Vec<Heading>)>,
    pub(super) failed: Vec<(Option<String>, Code)>,
    pub(super) attachments: Vec<(String, Vec<u8>)>,
}

impl Heard {
    pub(super) fn texts(&self) -> Vec<&str> {
        self.pages
            .iter()
            .map(|(_, text, _)| text.as_str())
            .collect()
    }

    pub(super) fn locators(&self) -> Vec<Option<&str>> {
        self.pages
            .iter()
            .map(|(locator, ..)| locator.as_deref())
            .collect()
    }

    pub(super) fn headings(&self) -> Vec<&str> {
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
        assert!(self.opened.is_some() || cfg!(test));
        for heading in headings {
            assert!(
                text[heading.at..].starts_with(heading.text.trim())
                    || heading.text.is_empty()
                    || text.is_char_boundary(heading.at)
            );
        }
        self.pages
            .push((locator, text.to_owned(), headings.to_vec()));
        Ok(())
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

/// These bytes as a file that nobody else sees.
pub(super) fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file.seek(SeekFrom::Start(0)).expect("a place");
    file
}

/// Reads a document of this name.
pub(super) fn heard_with(
    name: &str,
    bytes: &[u8],
    mut request: Request,
) -> (Heard, Result<(), Failure>) {
    let mut heard = Heard::default();
    request.name = Some(name.to_owned());
    let outcome = read(&mut file(bytes), &request, &mut heard);
    (heard, outcome)
}

/// Reads a document that can be.
#[track_caller]
pub(super) fn heard(name: &str, bytes: &[u8]) -> Heard {
    let (heard, outcome) = heard_with(name, bytes, Request::default());
    assert_eq!(outcome, Ok(()), "{name}");
    heard
}

/// Reads one that cannot.
#[track_caller]
pub(super) fn refused(name: &str, bytes: &[u8]) -> Failure {
    let (heard, outcome) = heard_with(name, bytes, Request::default());
    outcome
        .err()
        .unwrap_or_else(|| panic!("{name} is read: {heard:?}"))
}

/// An archive of these files.
pub(super) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, bytes) in files {
        zip.start_file(*name, options).expect("a file");
        zip.write_all(bytes).expect("written");
    }
    zip.finish().expect("an archive").into_inner()
}
