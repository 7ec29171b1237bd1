//! `pdf_oxide`, in Rust alone.

use pdf_oxide::PdfDocument;
use pdf_oxide::error::Error;
use pdf_oxide::object::Object;
use pdf_oxide::optional_content::decode_pdf_text_string;

use crate::pdf::text::Joined;
use crate::pdf::{Refusal, title};
use crate::protocol::Code;
use crate::wire::MAX_PAGE_CHARS;

/// A document that is open.
pub(super) struct Document {
    document: PdfDocument,
    pages: u32,
}

impl Document {
    /// The version is pinned in `Cargo.toml`.
    pub(super) const NAME: Option<&str> = Some("pdf_oxide 0.3.78");

    /// Opens a document.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn open(bytes: &[u8], password: Option<&str>) -> Result<Self, Refusal> {
        let document = PdfDocument::from_bytes(bytes.to_vec()).map_err(|error| refusal(&error))?;
        if document.is_encrypted() {
            let password = password.unwrap_or_default().as_bytes();
            let is_open = document
                .authenticate(password)
                .map_err(|_error| Refusal::Encryption)?;
            if !is_open {
                return Err(Refusal::Password);
            }
        }
        let pages = document.page_count().map_err(|error| refusal(&error))?;
        Ok(Self {
            document,
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
        })
    }

    /// How many pages it has.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// What it says that it is called.
    pub(super) fn title(&self) -> Option<String> {
        let trailer = self.document.trailer().as_dict()?;
        let info = self.resolved(trailer.get("Info")?)?;
        match self.resolved(info.as_dict()?.get("Title")?)? {
            Object::String(bytes) => title(&decode_pdf_text_string(&bytes)),
            _ => None,
        }
    }

    fn resolved(&self, object: &Object) -> Option<Object> {
        match object {
            Object::Reference(reference) => self.document.load_object(*reference).ok(),
            other => Some(other.clone()),
        }
    }

    /// The text of a page, by its number from 1.
    ///
    /// # Errors
    /// That the page is damaged, or holds too much.
    pub(super) fn text(&self, number: u32) -> Result<String, Code> {
        let index = usize::try_from(number - 1).map_err(|_error| Code::TooManyPages)?;
        let text = self
            .document
            .extract_text(index)
            .map_err(|_error| Code::Corrupt)?;
        let mut joined = Joined::default();
        for char in text.chars() {
            joined.push(u32::from(char));
            if joined.chars() > MAX_PAGE_CHARS {
                return Err(Code::TooLarge);
            }
        }
        Ok(joined.finish())
    }
}

fn refusal(error: &Error) -> Refusal {
    match error {
        Error::EncryptedPdf => Refusal::Password,
        _ => Refusal::Damaged,
    }
}
