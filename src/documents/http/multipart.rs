//! `multipart/form-data` (RFC 7578) as it comes, part by part, of which nothing is held but a few KiB.
//!
//! Written for one thing that readers made for forms do not tell: how many bytes of the body stand before a part's own, by which its
//! length is known in advance.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use percent_encoding::percent_decode_str;

use super::body::{Ended, Paced};

/// Longest head of a part, and most that may stand before the first, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Longest boundary (RFC 2046, 5.1.1), in bytes.
const MAX_BOUNDARY: usize = 70;
const END_OF_LINE: &[u8] = b"\r\n";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Why there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// What comes is no such form.
    Form(&'static str),
    Ended(Ended),
}

impl From<Ended> for Bad {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// The head of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Of the field.
    pub(super) name: String,
    /// `None` for a field that is no file.
    pub(super) filename: Option<String>,
}

enum Stage {
    /// Before the delimiter of the next part.
    Between,
    /// In the data of a part.
    Data,
    /// Behind the last.
    Over,
}

/// A form on its way.
pub(super) struct Multipart {
    body: Paced,
    /// Read, and not handed out yet. Begins with the end of a line that was not sent, so that the first delimiter is like the others.
    buffer: BytesMut,
    delimiter: Vec<u8>,
    /// Bytes of the body that are gone from the buffer.
    consumed: u64,
    stage: Stage,
}

/// What separates the parts, as these headers say.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (essence, parameters) = kind.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    let fits = (1..=MAX_BOUNDARY).contains(&boundary.len())
        && boundary.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    fits.then_some(boundary)
}

impl Multipart {
    pub(super) fn new(body: Paced, boundary: &str) -> Self {
        Self {
            body,
            buffer: BytesMut::from(END_OF_LINE),
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            consumed: 0,
            stage: Stage::Between,
        }
    }

    /// How many bytes the data of the part has whose head was read last, if it is the last part of a body of so many.
    pub(super) fn rest_of(&self, declared: u64) -> Option<u64> {
        // Its end of a line was not sent.
        let before = self.consumed.saturating_sub(2);
        let behind = u64::try_from(self.delimiter.len() + 4).ok()?;
        declared.checked_sub(before + behind)
    }

    /// The next part, behind what is left of the one before.
    pub(super) async fn next_part(&mut self) -> Result<Option<Part>, Bad> {
        while let Stage::Data = self.stage {
            while self.data().await?.is_some() {}
        }
        if let Stage::Over = self.stage {
            return Ok(None);
        }
        let mut skipped = 0;
        loop {
            if let Some(at) = memmem::find(&self.buffer, &self.delimiter) {
                self.take(at + self.delimiter.len());
                break;
            }
            let spare = self.buffer.len().saturating_sub(self.delimiter.len());
            self.take(spare);
            skipped += spare;
            if skipped > MAX_HEAD {
                return Err(Bad::Form("the boundary of its header is not found in it"));
            }
            self.fill().await?;
        }
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if self.buffer.starts_with(b"--") {
            self.stage = Stage::Over;
            return Ok(None);
        }
        // White space may stand behind a delimiter; the head begins with the end of that line.
        let end = loop {
            if let Some(at) = memmem::find(&self.buffer, END_OF_HEAD) {
                break at;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(Bad::Form("the head of a part is too long"));
            }
            self.fill().await?;
        };
        let head = self.take(end + END_OF_HEAD.len());
        let head = String::from_utf8_lossy(&head);
        let (padding, head) = head.split_once("\r\n").unwrap_or_default();
        if !padding.trim().is_empty() {
            return Err(Bad::Form("a boundary has something behind it"));
        }
        self.stage = Stage::Data;
        Ok(Some(part(head)))
    }

    /// The next of the part's data; `None` at its end.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Bad> {
        loop {
            let Stage::Data = self.stage else {
                return Ok(None);
            };
            if let Some(at) = memmem::find(&self.buffer, &self.delimiter) {
                self.stage = Stage::Between;
                if at > 0 {
                    return Ok(Some(self.take(at)));
                }
                return Ok(None);
            }
            // The rest may be the beginning of a delimiter.
            let sure = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
            if sure > 0 {
                return Ok(Some(self.take(sure)));
            }
            self.fill().await?;
        }
    }

    /// Hears the rest out.
    pub(super) async fn hear_out(&mut self) {
        self.body.hear_out().await;
    }

    fn take(&mut self, bytes: usize) -> Bytes {
        self.consumed += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.buffer.split_to(bytes).freeze()
    }

    async fn fill(&mut self) -> Result<(), Bad> {
        match self.body.next().await? {
            Some(bytes) => {
                self.buffer.extend_from_slice(&bytes);
                Ok(())
            }
            None => Err(Bad::Form("it ends before its last boundary")),
        }
    }
}

fn part(head: &str) -> Part {
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.trim().eq_ignore_ascii_case("content-disposition");
        is_it.then_some(value)
    });
    let Some((_kind, parameters)) = disposition.and_then(|value| value.split_once(';')) else {
        return Part::default();
    };
    // RFC 7578, 4.2, has no use for the second; some send it all the same.
    let extended = parameter(parameters, "filename*").and_then(|value| {
        let text = value
            .get(..7)?
            .eq_ignore_ascii_case("utf-8''")
            .then_some(value.get(7..)?)?;
        Some(percent_decode_str(text).decode_utf8_lossy().into_owned())
    });
    Part {
        name: parameter(parameters, "name").unwrap_or_default(),
        filename: extended.or_else(|| parameter(parameters, "filename")),
    }
}

/// The value of a parameter: a token, or a text in quotes, in which browsers write a quote as `%22` and others as `\"`.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';', '\r', '\n']);
        let (name, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let (value, left) = match behind.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                let (value, left) = behind.split_at(end);
                (value.trim().to_owned(), left)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = left;
    }
}

/// What stands before the closing quote, and what behind.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut signs = quoted.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return (value.replace("%22", "\""), quoted.split_at(at + 1).1),
            // Of a path of Windows it is a part.
            '\\' if quoted.split_at(at + 1).1.starts_with('"') => {
                value.push('"');
                signs.next();
            }
            _ => value.push(sign),
        }
    }
    (value.replace("%22", "\""), "")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use axum::http::HeaderValue;
    use futures_util::stream;

    use super::*;

    type Read = Result<Vec<(Part, Vec<u8>)>, Bad>;

    /// All parts of a body that comes in pieces of so many bytes.
    async fn read(body: &str, piece: usize) -> Read {
        let pieces: Vec<_> = body
            .as_bytes()
            .chunks(piece)
            .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
            .collect();
        let body = Paced::new(Body::from_stream(stream::iter(pieces)));
        let mut form = Multipart::new(body, "XX");
        let mut parts = Vec::new();
        while let Some(part) = form.next_part().await? {
            let mut data = Vec::new();
            while let Some(bytes) = form.data().await? {
                data.extend_from_slice(&bytes);
            }
            parts.push((part, data));
        }
        Ok(parts)
    }

    fn of(name: &str, filename: Option<&str>, data: &[u8]) -> (Part, Vec<u8>) {
        let part = Part {
            name: name.to_owned(),
            filename: filename.map(str::to_owned),
        };
        (part, data.to_vec())
    }

    #[tokio::test]
    async fn parts_are_read_however_they_come() {
        let body = "before\r\n--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
                    --XX  \r\ncontent-disposition: form-data; name=file; filename=\"x\\\"y;.pdf\"\r\nContent-Type: a/b\r\n\r\n\
                    \r\n--X\r\n\r\n--XY\r\r\n\r\n--XX\r\n\
                    Content-Disposition: form-data; name=\"e\"; filename*=UTF-8''%C3%A4.txt\r\n\r\n\r\n--XX--\r\nbehind";
        let expected = Ok(vec![
            of("a", None, b"1"),
            of("file", Some("x\"y;.pdf"), b"\r\n--X\r\n\r\n--XY\r\r\n"),
            of("e", Some("ä.txt"), b""),
        ]);
        for piece in [1, 2, 3, 7, 64, 10_000] {
            assert_eq!(read(body, piece).await, expected, "{piece}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form_is_refused() {
        for body in [
            "",
            "--XX",
            "--XX\r\n",
            "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
            "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XX",
            "--XXjunk\r\nA: b\r\n\r\n1\r\n--XX--",
            &"x".repeat(100_000),
            &format!("--XX\r\nA: {}", "x".repeat(100_000)),
        ] {
            assert!(
                matches!(read(body, 100).await, Err(Bad::Form(_))),
                "{}",
                body.len()
            );
        }
        assert_eq!(read("--XX--", 100).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn the_length_of_the_last_part_is_known_in_advance() {
        let head = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
        let body = format!("{head}hello\r\n--XX--\r\n");
        let declared = u64::try_from(body.len()).expect("a length");
        let mut form = Multipart::new(Paced::new(Body::from(body)), "XX");
        form.next_part().await.expect("a form").expect("a part");
        assert_eq!(form.rest_of(declared), Some(5));
        assert_eq!(form.rest_of(10), None);
    }

    #[test]
    fn a_boundary_is_found_where_there_is_one() {
        for (kind, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            (
                "Multipart/Form-Data; charset=utf-8; boundary=\"a b\"",
                Some("a b"),
            ),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/json", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(boundary(&headers).as_deref(), expected, "{kind}");
        }
    }
}
