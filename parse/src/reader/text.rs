//! Plain text, Markdown, CSV and JSON: as they stand. A form feed ends a page.

use std::io::{Read, Seek, SeekFrom};

use encoding_rs::{Encoding, UTF_8};
use gleaner_extract::charset;

use super::flow::Flow;
use super::{Sink, open, opened};
use crate::failure::Failure;
use crate::protocol::{Code, Limits};
use crate::sniff::{Kind, plain};

/// How much is read at once, and how much an encoding is guessed from, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// The longest line in which a heading is looked for, in bytes.
const MAX_LINE_BYTES: usize = 4 * 1024;

pub(super) fn read(
    kind: Kind,
    file: &mut (impl Read + Seek),
    limits: &Limits,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let encoding = encoding(file, limits)?;
    open(sink, opened(kind))?;
    let mut flow = Flow::new(sink);
    let mut markdown = (kind == Kind::Markdown).then(Markdown::default);
    file.seek(SeekFrom::Start(0))?;
    let mut decoder = encoding.new_decoder();
    let mut bytes = vec![0; PIECE_BYTES];
    let mut text = String::new();
    loop {
        let read = file.read(&mut bytes)?;
        let piece = bytes.get(..read).unwrap_or_default();
        text.clear();
        // Room for the worst case, so that all of it is taken at once.
        text.reserve(
            decoder
                .max_utf8_buffer_length(read)
                .unwrap_or(4 * PIECE_BYTES),
        );
        let (_, _, _) = decoder.decode_to_string(piece, &mut text, read == 0);
        match &mut markdown {
            Some(markdown) => markdown.push(&text, &mut flow)?,
            None => push(&text, &mut flow)?,
        }
        if read == 0 {
            break;
        }
    }
    if let Some(markdown) = &mut markdown {
        markdown.end(&mut flow)?;
    }
    flow.finish()
}

/// Text in which form feeds end pages.
fn push(text: &str, flow: &mut Flow<'_>) -> Result<(), Failure> {
    let mut pages = text.split('\u{c}');
    if let Some(first) = pages.next() {
        flow.push(first)?;
    }
    for page in pages {
        flow.page_break()?;
        flow.push(page)?;
    }
    Ok(())
}

/// The encoding of all of a file: UTF-8 if it is that to its end, else a guess from the first part that is more than ASCII.
fn encoding(file: &mut (impl Read + Seek), limits: &Limits) -> Result<&'static Encoding, Failure> {
    let most = limits.chars.saturating_mul(4).saturating_add(4);
    let mut bytes = Vec::with_capacity(2 * PIECE_BYTES);
    let mut sample: Option<Vec<u8>> = None;
    let mut all = 0_u64;
    loop {
        let kept = bytes.len();
        let piece = u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX);
        let read = Read::take(&mut *file, piece).read_to_end(&mut bytes)?;
        if all == 0
            && let Some(encoding) = plain::utf16(bytes.get(..4096).unwrap_or(&bytes))
        {
            return Ok(encoding);
        }
        all += u64::try_from(read).unwrap_or(u64::MAX);
        if all > most {
            return Err(Failure::new(
                Code::TooLarge,
                format!("It is longer than {} characters can be.", limits.chars),
            ));
        }
        if sample.is_none() && !bytes.is_ascii() {
            sample = Some(bytes.clone());
        }
        match std::str::from_utf8(&bytes) {
            Ok(_) => bytes.clear(),
            // A character may be cut in two here, but not at the end.
            Err(error) if error.error_len().is_none() && read > 0 => {
                bytes.drain(..error.valid_up_to());
            }
            Err(_) => {
                let sample = sample.unwrap_or_default();
                let guess = charset::encoding(&sample, None, None);
                return Ok(guess);
            }
        }
        if read == 0 && kept == bytes.len() {
            return Ok(UTF_8);
        }
    }
}

/// Finds the headings that begin with `#`, outside of fenced code.
#[derive(Default)]
struct Markdown {
    /// The line so far.
    line: String,
    /// It is longer than any heading, and its beginning has been handed on.
    is_long: bool,
    is_code: bool,
}

impl Markdown {
    fn push(&mut self, text: &str, flow: &mut Flow<'_>) -> Result<(), Failure> {
        for piece in text.split_inclusive('\n') {
            self.line.push_str(piece);
            if piece.ends_with('\n') {
                self.end(flow)?;
                self.is_long = false;
            } else if self.line.len() > MAX_LINE_BYTES {
                push(&std::mem::take(&mut self.line), flow)?;
                self.is_long = true;
            }
        }
        Ok(())
    }

    fn end(&mut self, flow: &mut Flow<'_>) -> Result<(), Failure> {
        let line = std::mem::take(&mut self.line);
        if self.is_long {
            return push(&line, flow);
        }
        let start = line.trim_start();
        if start.starts_with("```") || start.starts_with("~~~") {
            self.is_code = !self.is_code;
        }
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        let text = line.get(level..).unwrap_or_default();
        let is_heading = !self.is_code && (1..=6).contains(&level) && text.starts_with([' ', '\t']);
        if is_heading {
            let text = text.trim().trim_end_matches('#').trim_end();
            flow.mark(text);
        }
        push(&line, flow)
    }
}

#[cfg(test)]
mod tests {
    use crate::protocol::{Code, Limits, Request};
    use crate::testing::{heard, heard_with, refused};

    #[test]
    fn text_stands_as_it_is_and_form_feeds_end_pages() {
        let heard = heard("a.txt", "One\r\nzwölf\u{c}two\u{c}\u{c}four".as_bytes());
        assert_eq!(heard.texts(), ["One\r\nzwölf", "two", "", "four"]);
        assert_eq!(
            heard.opened.map(|opened| opened.mime).as_deref(),
            Some("text/plain")
        );
    }

    #[test]
    fn encodings_are_found() {
        let (cyrillic, _, _) =
            encoding_rs::WINDOWS_1251.encode("Добро пожаловать в наш магазин, дорогие друзья");
        let late = [&b"plain text in ascii\n".repeat(10_000)[..], &cyrillic].concat();
        let read = heard("late.txt", &late);
        assert!(read.texts().concat().ends_with("дорогие друзья"));
        let utf16: Vec<u8> = "Grüße\n"
            .repeat(20_000)
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(
            heard("a.txt", &[&b"\xff\xfe"[..], &utf16].concat())
                .texts()
                .concat(),
            "Grüße\n".repeat(20_000)
        );
        assert_eq!(
            heard("a.txt", &utf16).texts().concat(),
            "Grüße\n".repeat(20_000)
        );
        let (sjis, _, _) =
            encoding_rs::SHIFT_JIS.encode("これは日本語の文章です。文字コードを推測します。");
        assert!(
            heard("a.txt", &sjis)
                .texts()
                .concat()
                .starts_with("これは日本語")
        );
        // A character that a piece's end cuts in two.
        let cut = format!("{}é", "x".repeat(64 * 1024 - 1));
        assert_eq!(heard("a.txt", cut.as_bytes()).texts().concat(), cut);
        // One that the file's end cuts in two is told.
        let broken = heard("a.txt", b"caf\xc3");
        assert_eq!(broken.texts().concat().chars().count(), 4);
    }

    #[test]
    fn formulas_and_nul_are_but_text() {
        let read = heard(
            "a.csv",
            b"name,value\n=cmd|' /C calc'!A0,\"a\nb\"\nx\0y,1\n",
        );
        assert_eq!(
            read.texts(),
            ["name,value\n=cmd|' /C calc'!A0,\"a\nb\"\nx\0y,1\n"]
        );
        assert_eq!(
            read.opened.map(|opened| opened.mime).as_deref(),
            Some("text/csv")
        );
        let read = heard("a.json", b"{\"a\": [1, 2]}");
        assert_eq!(
            read.opened.map(|opened| opened.mime).as_deref(),
            Some("application/json")
        );
    }

    #[test]
    fn headings_of_markdown_are_found() {
        let text = "# One #\ntext\n```\n# no\n```\n####### no\n#no\n## Two\nend";
        let read = heard("a.md", text.as_bytes());
        assert_eq!(read.texts(), [text]);
        assert_eq!(read.headings(), ["One", "Two"]);
        assert_eq!(
            read.texts()[0].get(read.pages[0].2[1].at..),
            Some("## Two\nend")
        );
    }

    #[test]
    fn a_megabyte_of_one_word_is_read() {
        let word = "ä".repeat(1 << 20);
        assert_eq!(heard("a.txt", word.as_bytes()).texts().concat(), word);
        assert_eq!(heard("a.md", word.as_bytes()).texts().concat(), word);
    }

    #[test]
    fn what_cannot_be_taken_is_refused_early() {
        let request = Request {
            limits: Limits {
                chars: 100,
                ..Limits::default()
            },
            ..Request::default()
        };
        let (heard, outcome) = heard_with("a.txt", &[b'x'; 1_000], request);
        assert_eq!(outcome.map_err(|failure| failure.code), Err(Code::TooLarge));
        assert_eq!(heard.opened, None);
        let binary: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        assert_eq!(refused("a.txt", &binary).code, Code::UnsupportedType);
    }
}
