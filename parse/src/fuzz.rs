//! What is asked of the readers for any bytes whatever.
//!
//! These are the bodies of the targets in `fuzz/`. Every run of the tests asks the same of all that fuzzing has found
//! (`fuzz/corpus/`, the folders whose names begin with `document`).
//!
//! A target panics where a reader breaks a promise.

#![expect(
    clippy::expect_used,
    reason = "a target panics where a promise is broken"
)]

use std::io::{Cursor, Write as _};

use unicode_normalization::is_nfc;
use zip::write::SimpleFileOptions;

use crate::document::Assembler;
use crate::failure::Failure;
use crate::protocol::{Chunk, Code, Cut, Done, Limits, Opened, Page, Request, Source};
use crate::reader::{Heading, Sink, read};
use crate::sniff::{HEAD_BYTES, Head, Kind, sniff, sniff_head};

/// Bounds that fuzzing reaches.
const LIMITS: Limits = Limits {
    memory_bytes: 1 << 28,
    cpu_seconds: 10,
    page_seconds: 10,
    pages: 500,
    chars: 1_000_000,
    unpacked_bytes: 8 << 20,
    entries: 100,
};
const CUT: Cut = Cut {
    chars: 100,
    overlap: 20,
};

struct Taken {
    assembler: Assembler,
    pages: Vec<Page>,
    is_opened: bool,
}

impl Sink for Taken {
    fn opened(&mut self, opened: Opened) -> Result<(), Failure> {
        assert!(!self.is_opened && !opened.mime.is_empty());
        self.is_opened = true;
        Ok(())
    }

    fn page(
        &mut self,
        locator: Option<String>,
        text: &str,
        headings: &[Heading],
    ) -> Result<(), Failure> {
        assert!(self.is_opened);
        for heading in headings {
            assert!(text.is_char_boundary(heading.at));
        }
        self.pages
            .push(self.assembler.page(locator, text, headings)?);
        Ok(())
    }

    fn recognised(&mut self, text: &str) -> Result<(), Failure> {
        self.page(None, text, &[])
    }

    fn page_failed(&mut self, _: Option<String>, _: Code) -> Result<(), Failure> {
        let number = self.assembler.page_failed()?;
        self.pages.push(Page {
            number,
            locator: None,
            start: 0,
            text: String::new(),
            source: Source::Text,
        });
        Ok(())
    }

    fn attachment(&mut self, name: &str, _: &[u8]) -> Result<(), Failure> {
        assert!(self.is_opened && !name.is_empty());
        Ok(())
    }
}

/// Reads a file and checks all that is told of it.
fn read_all(name: &str, data: &[u8]) -> Result<(Vec<Page>, Vec<Chunk>, Done), Failure> {
    let request = Request {
        name: Some(name.to_owned()),
        limits: LIMITS,
        ..Request::default()
    };
    let mut taken = Taken {
        assembler: Assembler::new(LIMITS, CUT),
        pages: Vec::new(),
        is_opened: false,
    };
    read(&mut Cursor::new(data), &request, &mut taken)?;
    let (chunks, done) = taken.assembler.finish()?;
    check_document(&taken.pages, &chunks, &done);
    Ok((taken.pages, chunks, done))
}

fn check_document(pages: &[Page], chunks: &[Chunk], done: &Done) {
    assert_eq!(usize::try_from(done.pages), Ok(pages.len()));
    let mut text = Vec::new();
    for (number, page) in (1..).zip(pages) {
        if number > 1 {
            text.push('\u{c}');
        }
        assert_eq!(page.number, number);
        if !done.pages_failed.contains(&number) {
            assert_eq!(usize::try_from(page.start), Ok(text.len()));
        }
        let is_control =
            |character: char| character.is_control() && !matches!(character, '\n' | '\t');
        assert!(is_nfc(&page.text) && !page.text.contains(is_control));
        text.extend(page.text.chars());
    }
    assert_eq!(usize::try_from(done.chars), Ok(text.len()));
    assert!(text.iter().any(|character| !character.is_whitespace()));
    check_pieces(&text, chunks, u64::from(CUT.chars), u64::from(CUT.overlap));
}

/// What a piece is of a text.
pub(crate) fn slice(text: &[char], chunk: &Chunk) -> String {
    let place = |at: u64| usize::try_from(at).expect("a place");
    let piece = text.get(place(chunk.start)..place(chunk.end));
    piece.expect("a place in the text").iter().collect()
}

/// What holds for the pieces of any text: they are in order, none too long, cover all that is to be seen, and know their pages.
pub(crate) fn check_pieces(text: &[char], chunks: &[Chunk], chars: u64, overlap: u64) {
    let breaks: Vec<u64> = (0..)
        .zip(text)
        .filter(|(_, character)| **character == '\u{c}')
        .map(|(at, _)| at)
        .collect();
    let is_blank = |from: u64, to: u64| {
        let place = |at: u64| usize::try_from(at).expect("a place");
        let between = text
            .get(place(from)..place(to))
            .expect("a place in the text");
        between.iter().all(|character| character.is_whitespace())
    };
    let mut covered = 0;
    let mut last_start = None;
    for (seq, chunk) in (0..).zip(chunks) {
        assert_eq!(chunk.seq, seq);
        assert!(chunk.start < chunk.end && chunk.end - chunk.start <= chars);
        assert!(last_start < Some(chunk.start) && covered < chunk.end);
        let piece = slice(text, chunk);
        assert_eq!(piece.trim(), piece);
        assert!(covered.saturating_sub(chunk.start) <= overlap);
        assert!(
            is_blank(covered.min(chunk.start), chunk.start),
            "before {}",
            chunk.start
        );
        let page = |at: u64| {
            let before = breaks.partition_point(|page| *page < at);
            u32::try_from(before).expect("few pages") + 1
        };
        assert_eq!(chunk.page_from, page(chunk.start));
        assert_eq!(chunk.page_to, page(chunk.end - 1));
        covered = chunk.end;
        last_start = Some(chunk.start);
    }
    let end = u64::try_from(text.len()).expect("a length");
    assert!(is_blank(covered, end), "behind {covered}");
}

/// Any bytes are a file of some kind, and its head says nothing else than all of it.
pub fn document_file(data: &[u8]) {
    let head = sniff_head(data.get(..HEAD_BYTES).unwrap_or(data), None);
    match (head, sniff(&mut Cursor::new(data), None)) {
        (Head::Accepted(kind), sniffed) => assert_eq!(sniffed.ok(), Some(kind)),
        (Head::Refused(what), sniffed) => assert_eq!(sniffed.ok(), Some(Kind::Unsupported(what))),
        // Workbooks are read by others, whose promises these are not.
        (Head::Container, Ok(Kind::Xls | Kind::Xlsx)) => return,
        (Head::Container, _) => {}
    }
    drop(read_all("file", data));
}

/// Any text is the main part of some office file: which, its first byte says.
pub fn document_office(data: &[u8]) {
    let (Some(which), Some(part)) = (data.first(), data.get(1..)) else {
        return;
    };
    let types = ("[Content_Types].xml", &b"<Types/>"[..]);
    let relationships = b"<R><Relationship Id='a' Type='/slide' Target='s.xml'/></R>";
    let files: Vec<(&str, &[u8])> = match which % 6 {
        0 => vec![types, ("word/document.xml", part)],
        1 => vec![
            types,
            ("ppt/presentation.xml", &b"<p><sldId r:id='a'/></p>"[..]),
            ("ppt/_rels/presentation.xml.rels", &relationships[..]),
            ("ppt/s.xml", part),
        ],
        2 => vec![
            ("mimetype", &b"application/vnd.oasis.opendocument.text"[..]),
            ("content.xml", part),
        ],
        3 => vec![
            ("mimetype", &b"application/vnd.oasis.opendocument.spreadsheet"[..]),
            ("content.xml", part),
        ],
        4 => vec![
            ("META-INF/container.xml", &b"<c><rootfile full-path='b.opf'/></c>"[..]),
            ("b.opf", &b"<p><item id='a' href='a'/><itemref idref='a'/></p>"[..]),
            ("a", part),
        ],
        _ => vec![
            types,
            ("word/document.xml", &b"<d><p><t>x</t><footnoteReference id='1'/></p></d>"[..]),
            (
                "word/_rels/document.xml.rels",
                &b"<R><Relationship Id='a' Type='/footnotes' Target='n.xml'/><Relationship Id='b' Type='/styles' Target='n.xml'/></R>"[..],
            ),
            ("word/n.xml", part),
        ],
    };
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = SimpleFileOptions::default();
        zip.start_file(name, options).expect("a file");
        zip.write_all(bytes).expect("written");
    }
    let file = zip.finish().expect("an archive").into_inner();
    drop(read_all("file", &file));
}

/// Any bytes are text of some kind: which, the first says.
pub fn document_text(data: &[u8]) {
    let (Some(which), Some(text)) = (data.first(), data.get(1..)) else {
        return;
    };
    let (name, start): (&str, &[u8]) = match which % 6 {
        0 => ("a.html", b"<html>"),
        1 => ("a.rtf", b"{\\rtf1 "),
        2 => ("a.eml", b"From: a@b\nSubject: c\n"),
        3 => ("a.md", b"# x\n"),
        4 => ("a.csv", b""),
        _ => ("a.txt", b"\xff\xfe"),
    };
    drop(read_all(name, &[start, text].concat()));
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
    }

    /// Runs a target over its part of the corpus.
    #[track_caller]
    fn replay(name: &str, target: fn(&[u8])) {
        let folder = corpus().join(name);
        let files = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            let path = file.expect("a file").path();
            let data = std::fs::read(&path).expect("a file");
            let outcome = std::panic::catch_unwind(|| target(&data));
            assert!(outcome.is_ok(), "{}", path.display());
            count += 1;
        }
        assert!(count > 0, "nothing in {}", folder.display());
    }

    macro_rules! replayed {
        ($($name:ident),*) => {
            $(#[test] fn $name() { replay(stringify!($name), super::$name); })*

            #[test]
            fn every_part_of_the_corpus_is_replayed() {
                let mut parts: Vec<_> = std::fs::read_dir(corpus())
                    .expect("the corpus")
                    .map(|part| part.expect("a folder").file_name().into_string().expect("a name"))
                    .filter(|part| part.starts_with("document"))
                    .collect();
                parts.sort();
                assert_eq!(parts, [$(stringify!($name)),*]);
            }

            /// Mutations of the corpus, so that each run asks a little more.
            #[test]
            fn what_is_near_the_corpus_is_read() {
                $(mutated(stringify!($name), super::$name);)*
            }
        };
    }
    replayed!(document_file, document_office, document_text);

    fn mutated(name: &str, target: fn(&[u8])) {
        // A generator of our own, which gives the same numbers every time.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).expect("a number") % below.max(1)
        };
        let mut files: Vec<_> = std::fs::read_dir(corpus().join(name))
            .expect("the corpus")
            .map(|file| file.expect("a file").path())
            .collect();
        files.sort();
        for path in files {
            let seed = std::fs::read(&path).expect("a file");
            for _ in 0..60 {
                let mut data = seed.clone();
                for _ in 0..=next(4) {
                    let (at, other) = (next(data.len() + 1), next(data.len() + 1));
                    match next(4) {
                        0 => data.truncate(at),
                        1 if at < data.len() => data[at] = u8::try_from(next(256)).expect("a byte"),
                        2 if at < other => drop(data.drain(at..other)),
                        3 if at < other => {
                            let piece = data[at..other].to_vec();
                            let place = next(data.len() + 1);
                            drop(data.splice(place..place, piece));
                        }
                        _ => {}
                    }
                }
                let outcome = std::panic::catch_unwind(|| target(&data));
                assert!(
                    outcome.is_ok(),
                    "{}: {:?}",
                    path.display(),
                    String::from_utf8_lossy(&data)
                );
            }
        }
    }
}
