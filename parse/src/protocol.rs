//! What parent and child say to each other.
//!
//! The child's standard input is the document's file; its standard output is a socket both ways: one [`Request`] comes in, [`Frame`]s
//! go out, the last of them [`Frame::Done`] or [`Frame::Failed`]. A message is its length in bytes as a big-endian `u32`, then so
//! much JSON; behind the JSON of a [`Frame::Attachment`] stand its bytes as they are. Whoever reads them bounds both.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is to be read, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The name that the file was sent under. A hint, for types that nothing else tells apart (plain text, Markdown, CSV).
    pub name: Option<String>,
    /// To open it with. The empty one is tried in any case.
    pub password: Option<Password>,
    pub limits: Limits,
    pub cut: Cut,
    /// pdfium's library. Without it PDFs are read by the engine compiled in, if there is one.
    pub pdfium: Option<PathBuf>,
    pub sandbox: Sandbox,
    /// Whether pages without text are to be drawn and sent for recognition, as [`Frame::Picture`].
    pub pictures: bool,
    /// Pages that are left out, and why: those over which an earlier reading of the same file broke down. Of PDFs only.
    pub skip: BTreeMap<u32, Code>,
    /// Whether what pdfium does not read may be shown to the engine compiled in, if there is one: [`Frame::Asking`]. Where there is no
    /// pdfium that engine reads all of it in any case.
    pub second_look: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            name: None,
            password: None,
            limits: Limits::default(),
            cut: Cut::default(),
            pdfium: None,
            sandbox: Sandbox::default(),
            pictures: false,
            skip: BTreeMap::new(),
            second_look: true,
        }
    }
}

/// A password, which no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// What a document may cost. Whatever goes beyond ends the reading with [`Code::TooLarge`], [`Code::TooManyPages`],
/// [`Code::SecurityLimit`], [`Code::Memory`] or [`Code::Timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Address space of the child, in bytes.
    pub memory_bytes: u64,
    /// Processor time of the child, in seconds.
    pub cpu_seconds: u64,
    /// Of one page, in seconds; a page that takes longer is left out.
    pub page_seconds: u64,
    pub pages: u32,
    /// Code points of all text together.
    pub chars: u64,
    /// Bytes that archives and streams may come to when they are unpacked, all together.
    pub unpacked_bytes: u64,
    /// Files in an archive.
    pub entries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            cpu_seconds: 3_600,
            page_seconds: 20,
            pages: 20_000,
            chars: 50_000_000,
            unpacked_bytes: 1 << 30,
            entries: 10_000,
        }
    }
}

/// How the text is cut into pieces, in code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The most that a piece has.
    pub chars: u32,
    /// How much of the one before a piece has again.
    pub overlap: u32,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            chars: 1_000,
            overlap: 100,
        }
    }
}

/// What is done where the kernel cannot confine the child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// It goes on with the limits that there are.
    #[default]
    Best,
    /// It refuses ([`Code::NoSandbox`]).
    Required,
}

/// What the child tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum Frame {
    /// First, once it is known what the file is.
    Opened(Opened),
    /// A page, in order.
    Page(Page),
    /// A page that could not be read, in the place of it.
    PageFailed { number: u32, code: Code },
    /// The second engine is asked now: who breaks down before the next frame breaks down over a second look, which the document can do
    /// without ([`Request::second_look`]).
    Asking,
    /// A page without text, drawn: a PNG of so many bytes behind this frame. The child waits for what is [`Recognised`], and then
    /// tells the page.
    Picture { number: u32, bytes: u32 },
    /// Something that was attached: so many bytes behind this frame.
    Attachment { name: String, bytes: u32 },
    /// Something that was attached and is too big to be handed on: so many bytes.
    LeftOut { name: String, bytes: u64 },
    /// A piece of the text; after all pages, in order.
    Chunk(Chunk),
    /// Last: all of it is read.
    Done(Done),
    /// Last: this page of a PDF is not to be got over. The others can be read by one who leaves it out ([`Request::skip`]).
    Broke { page: u32, code: Code },
    /// Last: it cannot be read.
    Failed {
        code: Code,
        /// In plain words, for the one who sent it.
        message: String,
        /// The pages concerned, if it is about pages.
        pages: Vec<u32>,
    },
}

/// The parent's answer to a [`Frame::Picture`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recognised {
    /// What stands on it; nothing, most likely, if it is empty.
    Text(String),
    /// It could not be looked at, and why.
    Failed(Code),
}

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// By what it holds.
    pub mime: String,
    /// How many pages it has, where that is known before they are read.
    pub pages: Option<u32>,
    pub title: Option<String>,
    /// Whether it holds macros. They are never run.
    pub has_macros: bool,
    /// What reads it, with version.
    pub parser: String,
}

/// A page: of a file without pages a sheet, a slide, a chapter, or all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// From 1.
    pub number: u32,
    /// Name of a sheet, slide or chapter.
    pub locator: Option<String>,
    /// Where it begins in the text of the document, in code points. Pages follow each other with one form feed between two.
    pub start: u64,
    /// NFC, without NUL.
    pub text: String,
    pub source: Source,
}

/// Where the text of a page comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From the file.
    #[default]
    Text,
    /// From a picture of it, by recognition.
    Ocr,
}

impl Source {
    /// As the database and the API have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Ocr => "ocr",
        }
    }
}

/// A piece of the text, by where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// From 0.
    pub seq: u32,
    pub page_from: u32,
    pub page_to: u32,
    /// In the text of the document, in code points.
    pub start: u64,
    /// Behind its last.
    pub end: u64,
    /// Heading, sheet or slide that it stands under.
    pub locator: Option<String>,
}

/// What is known once all is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub pages: u32,
    pub pages_without_text: Vec<u32>,
    pub pages_failed: Vec<u32>,
    /// ISO 639-1.
    pub language: Option<String>,
    /// The text search configuration of PostgreSQL for it; `simple` where there is none.
    pub config: String,
    /// Words.
    pub tokens: u64,
    /// Code points.
    pub chars: u64,
}

/// Why a document, or a page, could not be read: a closed set, which the API shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Of no type that can be read.
    UnsupportedType,
    /// It is encrypted, and not with the empty password.
    PasswordRequired,
    /// The password given does not open it.
    WrongPassword,
    /// It is damaged.
    Corrupt,
    /// There is nothing in it.
    Empty,
    /// Its pages are pictures, and nothing here recognises text in them.
    NoTextLayer,
    /// More text than is taken.
    TooLarge,
    TooManyPages,
    /// It unpacks to more than is taken, or nests deeper: a bomb, most likely.
    SecurityLimit,
    /// It took longer than documents of its size may.
    Timeout,
    /// It took more memory than documents may.
    Memory,
    /// What reads it broke down over it.
    ParserCrashed,
    /// Nothing here reads PDFs.
    NoPdfEngine,
    /// The kernel cannot confine what would read it, and that is demanded.
    NoSandbox,
    /// The stored file is gone.
    FileMissing,
    /// It was stopped by hand.
    Stopped,
    /// A fault of ours.
    Internal,
}

impl Code {
    /// Whether the same file may be read another time, or elsewhere.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::PasswordRequired
                | Self::WrongPassword
                | Self::NoTextLayer
                | Self::NoPdfEngine
                | Self::NoSandbox
                | Self::Stopped
                | Self::Internal
        )
    }

    /// As the database and the API have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnsupportedType => "unsupported_type",
            Self::PasswordRequired => "password_required",
            Self::WrongPassword => "wrong_password",
            Self::Corrupt => "corrupt",
            Self::Empty => "empty",
            Self::NoTextLayer => "no_text_layer",
            Self::TooLarge => "too_large",
            Self::TooManyPages => "too_many_pages",
            Self::SecurityLimit => "security_limit",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::ParserCrashed => "parser_crashed",
            Self::NoPdfEngine => "no_pdf_engine",
            Self::NoSandbox => "no_sandbox",
            Self::FileMissing => "file_missing",
            Self::Stopped => "stopped",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
