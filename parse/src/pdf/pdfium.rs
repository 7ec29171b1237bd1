//! pdfium, through its bindings.

use std::path::Path;

use pdfium_render::prelude::{
    PdfBitmapFormat, PdfDocument, PdfDocumentMetadataTagType, PdfPage,
    PdfPageAnnotationCommon as _, PdfRenderConfig, Pdfium, PdfiumError, PdfiumInternalError,
};

use super::text::Joined;
use super::{Source, picture};
use crate::protocol::Code;
use crate::wire::MAX_PAGE_CHARS;

/// Titles are cut at this many characters.
const TITLE_CHARS: usize = 300;

/// The library, loaded.
pub(super) struct Library {
    pdfium: Pdfium,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a document is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not with this password, or without one.
    Password,
    /// It is encrypted, and not in a way that pdfium knows.
    Encryption,
    Damaged,
}

impl Library {
    /// Loads it, once in the life of a process.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let bindings = Pdfium::bind_to_library(path).map_err(|error| format!("{error:?}"))?;
        Ok(Self {
            pdfium: Pdfium::new(bindings),
        })
    }

    /// What it is called among parsers.
    #[expect(clippy::unused_self, reason = "it is called so once it is there")]
    pub(super) fn name(&self) -> &'static str {
        "pdfium"
    }

    /// Opens a document.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn open<'a>(
        &'a self,
        source: &'a Source,
        password: Option<&str>,
    ) -> Result<Document<'a>, Refusal> {
        // It goes into C.
        if password.is_some_and(|password| password.contains('\0')) {
            return Err(Refusal::Password);
        }
        let opened = match source {
            Source::Memory(bytes) => self.pdfium.load_pdf_from_byte_slice(bytes, password),
            Source::File(file) => self.pdfium.load_pdf_from_reader(file, password),
        };
        opened
            .map(|document| Document { document })
            .map_err(|error| match error {
                PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::PasswordError) => {
                    Refusal::Password
                }
                PdfiumError::PdfiumLibraryInternalError(PdfiumInternalError::SecurityError) => {
                    Refusal::Encryption
                }
                _ => Refusal::Damaged,
            })
    }
}

/// A document that is open. Its forms are ready: the binding sees to that.
pub(super) struct Document<'a> {
    document: PdfDocument<'a>,
}

impl Document<'_> {
    /// How many pages it has.
    pub(super) fn pages(&self) -> u32 {
        u32::try_from(self.document.pages().len()).unwrap_or(0)
    }

    /// What it says that it is called.
    pub(super) fn title(&self) -> Option<String> {
        let tag = self
            .document
            .metadata()
            .get(PdfDocumentMetadataTagType::Title)?;
        let title: String = tag
            .value()
            .chars()
            .filter(|char| !char.is_control())
            .take(TITLE_CHARS)
            .collect();
        let title = title.trim();
        (!title.is_empty()).then(|| title.to_owned())
    }

    /// The text of a page, by its number from 1, in the order in which it was written.
    ///
    /// # Errors
    /// That the page is damaged, or holds too much.
    pub(super) fn text(&self, number: u32) -> Result<String, Code> {
        let index = i32::try_from(number - 1).map_err(|_error| Code::TooManyPages)?;
        let mut page = self
            .document
            .pages()
            .get(index)
            .map_err(|_error| Code::Corrupt)?;
        if !page.annotations().is_empty() {
            flatten(&mut page);
        }
        let text = page.text().map_err(|_error| Code::Corrupt)?;
        let mut joined = Joined::default();
        for char in text.chars().iter() {
            joined.push(char.unicode_value());
            if joined.chars() > MAX_PAGE_CHARS {
                return Err(Code::TooLarge);
            }
        }
        Ok(joined.finish())
    }

    /// A picture of a page, in shades of grey, as fine as text recognition wants it; as a PNG.
    ///
    /// # Errors
    /// That it cannot be drawn, or is too large.
    pub(super) fn draw(&self, number: u32) -> Result<Vec<u8>, Code> {
        let index = i32::try_from(number - 1).map_err(|_error| Code::TooManyPages)?;
        let page = self
            .document
            .pages()
            .get(index)
            .map_err(|_error| Code::Corrupt)?;
        let (width, height) = picture::size(page.width().value, page.height().value);
        let config = PdfRenderConfig::new()
            .set_fixed_size(width, height)
            .set_format(PdfBitmapFormat::Gray)
            .use_grayscale_rendering(true)
            .set_reverse_byte_order(false);
        let bitmap = page
            .render_with_config(&config)
            .map_err(|_error| Code::Corrupt)?;
        picture::png(width, height, &bitmap.as_raw_bytes()).ok_or(Code::Corrupt)
    }
}

/// Has form fields and annotations written into the page: the text of a page is only what stands in its own content.
///
/// pdfium's binding flattens what is printed, so all that is not hidden is made to be printed first. What goes wrong here costs the
/// annotations, not the page.
fn flatten(page: &mut PdfPage<'_>) {
    for mut annotation in page.annotations().iter() {
        if !annotation.is_hidden() && !annotation.is_printed() {
            drop(annotation.set_is_printed(true));
        }
    }
    drop(page.flatten());
}
