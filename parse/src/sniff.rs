//! What a file is, by what it holds. Its name decides only between kinds of plain text.

use std::io::{self, Read, Seek};

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
/// If it cannot be read.
pub fn sniff(file: &mut (impl Read + Seek), name: Option<&str>) -> io::Result<Kind> {
    let _ = (file, name);
    Ok(Kind::Unsupported("not yet"))
}

/// What the first [`HEAD_BYTES`] of a file tell, or all of it if it has fewer.
#[must_use]
pub fn sniff_head(head: &[u8], name: Option<&str>) -> Head {
    let _ = (head, name);
    Head::Container
}
