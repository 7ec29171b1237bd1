//! What document-processing can be told.

use std::time::Duration;

use gleaner_parse::protocol::{Cut, Limits, Request, Sandbox};
use serde::{Deserialize, Serialize};

use crate::documents::child::Deadline;
use crate::settings::{Options, Problem};

/// What is done about pages that are pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recognition {
    /// They have no text.
    Off,
    /// Their text is recognised where there is something that does it.
    Auto,
}

/// What a document may cost, and how its text is cut.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Processing {
    /// Address space of a child.
    pub memory_bytes: u64,
    /// Bytes that archives and streams of a file may come to, unpacked.
    pub unpacked_bytes: u64,
    /// Files in an archive.
    pub entries: u32,
    pub pages: u32,
    /// Characters of text.
    pub chars: u64,
    /// Longest time for one page.
    #[serde(with = "humantime_serde")]
    pub page_time: Duration,
    /// Longest time for a file: this,
    #[serde(with = "humantime_serde")]
    pub base_time: Duration,
    /// so much more for each MiB,
    #[serde(with = "humantime_serde")]
    pub time_per_mib: Duration,
    /// for each page,
    #[serde(with = "humantime_serde")]
    pub time_per_page: Duration,
    /// and for each page whose text is to be recognised,
    #[serde(with = "humantime_serde")]
    pub time_per_picture: Duration,
    /// but never more than this.
    #[serde(with = "humantime_serde")]
    pub longest_time: Duration,
    /// Characters of a piece, at most.
    pub chunk_chars: u32,
    /// Characters that two pieces share.
    pub chunk_overlap: u32,
    /// pdfium's library; empty to look for it.
    pub pdfium: String,
    /// Whether children that the kernel cannot confine may work: best or required.
    pub sandbox: Sandbox,
    /// Whether text on pages that are pictures is recognised: off or auto, where tesseract is installed.
    pub ocr: Recognition,
    /// Languages of that text, as tesseract names them.
    pub ocr_languages: String,
    /// The program whose `parse` reads documents; empty for this one.
    pub reader: String,
    /// Attachments of one e-mail that become documents.
    pub attachments: u32,
    /// Whether a document that is ready goes on to document-embedding by itself.
    pub embed: bool,
}

impl Options for Processing {
    fn check(&self) -> Result<(), Problem> {
        let refuse = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        if !(64 << 20..=64 << 30).contains(&self.memory_bytes) {
            return refuse("memory_bytes", "must be 64 MiB to 64 GiB");
        }
        if !(1 << 20..=64 << 30).contains(&self.unpacked_bytes) {
            return refuse("unpacked_bytes", "must be 1 MiB to 64 GiB");
        }
        if !(1..=1_000_000).contains(&self.entries) {
            return refuse("entries", "must be 1 to 1000000");
        }
        if !(1..=1_000_000).contains(&self.pages) {
            return refuse("pages", "must be 1 to 1000000");
        }
        if !(1_000..=200_000_000).contains(&self.chars) {
            return refuse("chars", "must be 1000 to 200000000");
        }
        for (key, time) in [
            ("page_time", self.page_time),
            ("base_time", self.base_time),
            ("longest_time", self.longest_time),
        ] {
            if !(1..=24 * 3_600).contains(&time.as_secs()) {
                return refuse(key, "must be one second to 24 hours");
            }
        }
        for (key, time) in [
            ("time_per_mib", self.time_per_mib),
            ("time_per_page", self.time_per_page),
            ("time_per_picture", self.time_per_picture),
        ] {
            if time > Duration::from_secs(3_600) {
                return refuse(key, "must be at most one hour");
            }
        }
        if !(100..=20_000).contains(&self.chunk_chars) {
            return refuse("chunk_chars", "must be 100 to 20000");
        }
        if self.chunk_overlap > self.chunk_chars / 2 {
            return refuse("chunk_overlap", "must be at most half of chunk_chars");
        }
        let is_language = |one: char| one.is_ascii_alphanumeric() || one == '_' || one == '+';
        if self.ocr_languages.len() > 100 || !self.ocr_languages.chars().all(is_language) {
            return refuse("ocr_languages", "must be names such as eng or eng+deu");
        }
        if self.attachments > 1_000 {
            return refuse("attachments", "must be at most 1000");
        }
        Ok(())
    }
}

impl Processing {
    /// What a child is told, but for the file's own.
    pub(crate) fn request(&self) -> Request {
        Request {
            limits: Limits {
                memory_bytes: self.memory_bytes,
                // The clock is outside; this is for a child that is forgotten.
                cpu_seconds: self.longest_time.as_secs(),
                page_seconds: self.page_time.as_secs(),
                pages: self.pages,
                chars: self.chars,
                unpacked_bytes: self.unpacked_bytes,
                entries: self.entries,
            },
            cut: Cut {
                chars: self.chunk_chars,
                overlap: self.chunk_overlap,
            },
            sandbox: self.sandbox,
            ..Request::default()
        }
    }

    /// How long a child may take, by the clock.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline {
            base: self.base_time,
            per_mib: self.time_per_mib,
            per_page: self.time_per_page,
            per_picture: self.time_per_picture,
            max: self.longest_time,
        }
    }
}
