//! What a file is, by what it holds. Its name decides only between kinds of plain text.

mod magic;
pub(crate) mod ole;
pub(crate) mod plain;
mod zip;

use std::io::{self, Read, Seek, SeekFrom};

use memchr::memmem::find;

/// What can be read, or at least told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Pdf,
    Docx,
    Xlsx,
    Xls,
    Pptx,
    Odt,
    Ods,
    Epub,
    Html,
    Markdown,
    Text,
    Csv,
    Json,
    Eml,
    Rtf,
    /// A picture: its mime type.
    Image(&'static str),
    /// An office document that is encrypted as a whole.
    Encrypted,
    /// Something else: what it is called.
    Unsupported(&'static str),
}

/// What the first bytes of a file tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It is this.
    Accepted(Kind),
    /// An archive or a compound file: what it is stands further behind.
    Container,
    /// Nothing that is read: what it is called.
    Refused(&'static str),
}

/// How many bytes of a file [`sniff_head`] wants.
pub const HEAD_BYTES: usize = 4096;

/// Where the header of a PDF may begin at the latest.
const PDF_HEADER_WITHIN: usize = 1024;

impl Kind {
    /// Its media type.
    #[must_use]
    pub fn mime(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Xls => "application/vnd.ms-excel",
            Self::Pptx => {
                "application/vnd.openxmlformats-officedocument.presentationml.presentation"
            }
            Self::Odt => "application/vnd.oasis.opendocument.text",
            Self::Ods => "application/vnd.oasis.opendocument.spreadsheet",
            Self::Epub => "application/epub+zip",
            Self::Html => "text/html",
            Self::Markdown => "text/markdown",
            Self::Text => "text/plain",
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::Eml => "message/rfc822",
            Self::Rtf => "application/rtf",
            Self::Image(mime) => mime,
            Self::Encrypted => "application/x-ole-storage",
            Self::Unsupported(_) => "application/octet-stream",
        }
    }
}

/// What a file is. Reads from the beginning and leaves the position anywhere.
///
/// # Errors
///
/// If it cannot be read, or is an archive that is damaged.
pub fn sniff(file: &mut (impl Read + Seek), name: Option<&str>) -> io::Result<Kind> {
    let mut head = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    let most = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
    Read::take(&mut *file, most).read_to_end(&mut head)?;
    match sniff_head(&head, name) {
        Head::Accepted(kind) => Ok(kind),
        Head::Refused(what) => Ok(Kind::Unsupported(what)),
        Head::Container if head.starts_with(ole::MAGIC) => ole::kind(file),
        Head::Container => zip::kind(file),
    }
}

/// What the first [`HEAD_BYTES`] of a file tell, or all of it if it has fewer.
#[must_use]
pub fn sniff_head(head: &[u8], name: Option<&str>) -> Head {
    let head = head.get(..HEAD_BYTES).unwrap_or(head);
    if let Some(known) = magic::of(head) {
        return known;
    }
    if is_pdf_behind_something(head) {
        return Head::Accepted(Kind::Pdf);
    }
    match plain::of(head, name) {
        Some(Kind::Unsupported(what)) => Head::Refused(what),
        Some(kind) => Head::Accepted(kind),
        None => Head::Refused("of no known type"),
    }
}

/// A PDF may have something before its header, but not much, and the header begins a line or stands behind what is no text.
fn is_pdf_behind_something(head: &[u8]) -> bool {
    let within = head.get(..PDF_HEADER_WITHIN).unwrap_or(head);
    let Some(at) = find(within, b"%PDF-") else {
        return false;
    };
    let is_version = matches!(
        head.get(at + 5..at + 8),
        Some([b'0'..=b'9', b'.', b'0'..=b'9'])
    );
    let begins_line = at
        .checked_sub(1)
        .and_then(|before| head.get(before))
        .is_none_or(|before| matches!(before, b'\n' | b'\r' | 0) || *before >= 0x80);
    is_version && begins_line
}

#[cfg(test)]
#[path = "sniff/tests.rs"]
mod tests;
