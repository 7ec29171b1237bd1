//! Reads the records of a CSV file as a stream, each with the true number of the line it starts on.
//!
//! The lines are counted here and the fields are left to `csv-core`: a parser that is handed the whole stream skips blank lines
//! and half of a CRLF before it says where a record starts. RFC 4180, and what spreadsheets make of it: a byte order mark, LF,
//! CRLF or CR, blank lines, quoted line breaks. A quote that is never closed costs its own line, not the rest of the file.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use csv_core::ReadRecordResult;

/// Longest line, in bytes.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// A quoted field may go on over so many lines.
const MAX_LINES: usize = 50;

/// Most fields of a record.
const MAX_FIELDS: usize = 512;

/// A delimiter that no text holds: the whole line is one field.
pub(super) const NO_DELIMITER: u8 = 0x1f;

/// A record, or why there is none, and where it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Number of its first line, from 1.
    pub line: u64,
    pub fields: Result<Vec<String>, RecordError>,
    /// The line as it stands, for messages.
    pub raw: String,
}

/// Why a line is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("the line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("a quote is opened and not closed within {MAX_LINES} lines")]
    OpenQuote,
    #[error("the line has more than {MAX_FIELDS} fields")]
    TooManyFields,
    #[error("the line is not UTF-8: save the file as \"CSV UTF-8\"")]
    Encoding,
}

struct Line {
    number: u64,
    bytes: Vec<u8>,
    is_cut: bool,
}

/// The records of a stream.
pub(super) struct Records<R> {
    input: R,
    delimiter: u8,
    /// Lines read and not yet used: a search for the end of a quote reads ahead.
    ahead: VecDeque<Line>,
    next_number: u64,
    bytes: u64,
}

impl<R: BufRead> Records<R> {
    /// Over this stream. Lines are whole fields until [`Self::set_delimiter`] says otherwise.
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            delimiter: NO_DELIMITER,
            ahead: VecDeque::new(),
            next_number: 1,
            bytes: 0,
        }
    }

    /// What separates fields from now on.
    pub(super) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes that the stream starts with, to be looked at before anything is read.
    pub(super) fn first_bytes(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    /// The first line that is not blank, which stays to be read.
    pub(super) fn peek(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            if !self.look_ahead(0)? {
                return Ok(None);
            }
            if self.ahead.front().is_some_and(is_blank) {
                self.ahead.pop_front();
            } else {
                return Ok(self.ahead.front().map(|line| line.bytes.as_slice()));
            }
        }
    }

    /// The next record; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        if self.peek()?.is_none() {
            return Ok(None);
        }
        let mut fields = Fields::new(self.delimiter);
        let mut used = 0;
        let outcome = loop {
            if used == MAX_LINES || !self.look_ahead(used)? {
                break Err(RecordError::OpenQuote);
            }
            let Some(line) = self.ahead.get(used) else {
                break Err(RecordError::OpenQuote);
            };
            if line.is_cut {
                // A quote that runs into it is not closed in reason.
                break Err(if used == 0 {
                    RecordError::TooLong
                } else {
                    RecordError::OpenQuote
                });
            }
            used += 1;
            match fields.feed(&line.bytes) {
                Ok(true) => break fields.finish(),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
        };
        // Of a broken record only its first line is lost.
        let lost = if outcome.is_ok() { used } else { 1 };
        let first = self.ahead.pop_front();
        self.ahead
            .drain(..lost.saturating_sub(1).min(self.ahead.len()));
        Ok(first.map(|line| Record {
            line: line.number,
            fields: outcome,
            raw: String::from_utf8_lossy(&line.bytes).into_owned(),
        }))
    }

    /// Makes sure that the line `index` places ahead is read; whether there is one.
    fn look_ahead(&mut self, index: usize) -> io::Result<bool> {
        while self.ahead.len() <= index {
            match self.read_line()? {
                Some(line) => self.ahead.push_back(line),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// A line without its end, which is LF, CRLF or CR.
    fn read_line(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line {
            number: self.next_number,
            bytes: Vec::new(),
            is_cut: false,
        };
        let mut is_empty = true;
        loop {
            let available = self.input.fill_buf()?;
            if available.is_empty() {
                break;
            }
            is_empty = false;
            let end = memchr::memchr2(b'\n', b'\r', available);
            let (text, rest) = available.split_at(end.unwrap_or(available.len()));
            let is_cr = rest.first() == Some(&b'\r');
            let room = MAX_LINE_BYTES.saturating_sub(line.bytes.len());
            line.is_cut |= text.len() > room;
            line.bytes.extend(text.iter().take(room));
            let taken = text.len() + usize::from(end.is_some());
            self.consume(taken);
            if end.is_some() {
                if is_cr && self.input.fill_buf()?.first() == Some(&b'\n') {
                    self.consume(1);
                }
                break;
            }
        }
        if is_empty {
            return Ok(None);
        }
        if line.number == 1 && line.bytes.starts_with(b"\xef\xbb\xbf") {
            line.bytes.drain(..3);
        }
        self.next_number += 1;
        Ok(Some(line))
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.bytes += u64::try_from(bytes).unwrap_or(0);
    }
}

fn is_blank(line: &Line) -> bool {
    !line.is_cut && line.bytes.trim_ascii().is_empty()
}

/// The fields of one line that is a record by itself.
pub(super) fn split(line: &[u8], delimiter: u8) -> Result<Vec<String>, RecordError> {
    let mut fields = Fields::new(delimiter);
    if fields.feed(line)? {
        fields.finish()
    } else {
        Err(RecordError::OpenQuote)
    }
}

/// Takes lines until they make a record.
struct Fields {
    parser: csv_core::Reader,
    output: Vec<u8>,
    written: usize,
    ends: Vec<usize>,
    count: usize,
}

impl Fields {
    fn new(delimiter: u8) -> Self {
        Self {
            parser: csv_core::ReaderBuilder::new().delimiter(delimiter).build(),
            output: Vec::new(),
            written: 0,
            ends: vec![0; MAX_FIELDS],
            count: 0,
        }
    }

    /// Takes a line; whether the record is whole.
    fn feed(&mut self, line: &[u8]) -> Result<bool, RecordError> {
        // A field is never longer than what it was written as.
        self.output.resize(self.written + line.len() + 8, 0);
        for part in [line, b"\n"] {
            let mut input = part;
            while !input.is_empty() {
                let output = self.output.get_mut(self.written..).unwrap_or_default();
                let ends = self.ends.get_mut(self.count..).unwrap_or_default();
                let (result, read, written, ended) = self.parser.read_record(input, output, ends);
                input = input.get(read..).unwrap_or_default();
                self.written += written;
                self.count += ended;
                match result {
                    ReadRecordResult::InputEmpty => {}
                    ReadRecordResult::Record => return Ok(true),
                    ReadRecordResult::OutputEndsFull => return Err(RecordError::TooManyFields),
                    ReadRecordResult::OutputFull | ReadRecordResult::End => {
                        return Err(RecordError::TooLong);
                    }
                }
            }
        }
        Ok(false)
    }

    fn finish(&self) -> Result<Vec<String>, RecordError> {
        let mut start = 0;
        self.ends
            .iter()
            .take(self.count)
            .map(|end| {
                let bytes = self.output.get(start..*end).unwrap_or_default();
                start = *end;
                match std::str::from_utf8(bytes) {
                    Ok(text) => Ok(text.trim().to_owned()),
                    Err(_not_utf8) => Err(RecordError::Encoding),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    type Found = Vec<(u64, Result<Vec<String>, RecordError>)>;

    fn read(text: &[u8], delimiter: u8) -> Found {
        // A tiny buffer, so that every boundary falls into every place.
        let mut records = Records::new(BufReader::with_capacity(3, text));
        records.set_delimiter(delimiter);
        let mut found = Vec::new();
        while let Some(record) = records.next().unwrap() {
            found.push((record.line, record.fields));
        }
        found
    }

    fn good(line: u64, fields: &[&str]) -> (u64, Result<Vec<String>, RecordError>) {
        (
            line,
            Ok(fields.iter().map(|field| (*field).to_owned()).collect()),
        )
    }

    #[test]
    fn lines_are_counted_as_they_stand() {
        let expected = vec![
            good(1, &["a", "b"]),
            good(4, &["c", "d"]),
            good(5, &["e", ""]),
        ];
        for ending in ["\n", "\r\n", "\r"] {
            let text = ["\u{feff}a,b", "", "  ", "c , d", "e,"].join(ending);
            assert_eq!(read(text.as_bytes(), b','), expected, "{ending:?}");
            assert_eq!(
                read((text + ending).as_bytes(), b','),
                expected,
                "{ending:?}"
            );
        }
        assert_eq!(read(b"", b','), vec![]);
        assert_eq!(read(b"\n\n", b','), vec![]);
    }

    #[test]
    fn quotes_may_hold_anything() {
        assert_eq!(
            read(b"\"a,\"\"b\"\"\",\"c\r\nd\"\ne,f\n", b','),
            vec![good(1, &["a,\"b\"", "c\nd"]), good(3, &["e", "f"])]
        );
        assert_eq!(
            read(b"5\" pipe,x\n", b','),
            vec![good(1, &["5\" pipe", "x"])]
        );
    }

    #[test]
    fn without_a_delimiter_a_line_is_a_field() {
        assert_eq!(
            read(b"https://e.com/a,b;c\n\"d\"\n", NO_DELIMITER),
            vec![good(1, &["https://e.com/a,b;c"]), good(2, &["d"])]
        );
    }

    #[test]
    fn a_broken_line_costs_itself_only() {
        let mut text = b"\"open\nb\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE_BYTES + 1]);
        text.extend(b"\nd\n\xff\xfe\nf\n");
        assert_eq!(
            read(&text, b','),
            vec![
                (1, Err(RecordError::OpenQuote)),
                good(2, &["b"]),
                (3, Err(RecordError::TooLong)),
                good(4, &["d"]),
                (5, Err(RecordError::Encoding)),
                good(6, &["f"]),
            ]
        );
        let many = ",".repeat(MAX_FIELDS + 1);
        assert_eq!(
            read(many.as_bytes(), b','),
            vec![(1, Err(RecordError::TooManyFields))]
        );
    }
}
