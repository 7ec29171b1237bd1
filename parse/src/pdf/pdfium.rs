//! pdfium, through its bindings.

use std::path::Path;

use pdfium_render::prelude::{
    PdfBitmapFormat, PdfDocument, PdfDocumentMetadataTagType, PdfPage,
    PdfPageAnnotationCommon as _, PdfPageObjectType, PdfPageObjectsCommon as _, PdfPageTextChar,
    PdfRect, PdfRenderConfig, Pdfium, PdfiumError, PdfiumInternalError,
};

use super::text::Joined;
use super::{Refusal, Source, letters, paper, title};
use crate::picture::png;
use crate::protocol::Code;
use crate::wire::MAX_PAGE_CHARS;

/// A page with so many letters says enough to be believed.
const ENOUGH_LETTERS: usize = 1_000;

/// The text of a page.
pub(super) struct Told {
    pub(super) text: String,
    /// Whether that is little for what the page shows.
    pub(super) is_little: bool,
}

/// The library, loaded.
pub(super) struct Library {
    pdfium: Pdfium,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
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
        title(tag.value())
    }

    /// The text of a page, by its number from 1, in the order in which it was written.
    ///
    /// # Errors
    /// That the page is damaged, or holds too much.
    pub(super) fn text(&self, number: u32) -> Result<Told, Code> {
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
        // Line ends that pdfium has put in, and the last character before them.
        let (mut breaks, mut before) = (0, None);
        for char in text.chars().iter() {
            let value = char.unicode_value();
            if matches!(value, CR | LF) && char.is_generated().unwrap_or(false) {
                breaks += u32::from(value == LF);
                continue;
            }
            if breaks > 0 {
                match before
                    .as_ref()
                    .map_or(Joint::Line, |before| joint(before, &char))
                {
                    Joint::None => {}
                    Joint::Space => joined.push(SPACE),
                    Joint::Line => (0..breaks).for_each(|_| joined.push(LF)),
                }
                breaks = 0;
            }
            joined.push(value);
            if joined.chars() > MAX_PAGE_CHARS {
                return Err(Code::TooLarge);
            }
            before = Some(char);
        }
        let text = joined.finish();
        Ok(Told {
            is_little: is_little(&page, &text),
            text,
        })
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
        let (width, height) = paper::size(page.width().value, page.height().value);
        let config = PdfRenderConfig::new()
            .set_fixed_size(width, height)
            .set_format(PdfBitmapFormat::Gray)
            .use_grayscale_rendering(true)
            .set_reverse_byte_order(false);
        let bitmap = page
            .render_with_config(&config)
            .map_err(|_error| Code::Corrupt)?;
        paper::picture(width, height, &bitmap.as_raw_bytes())
            .and_then(|picture| png(&picture))
            .ok_or(Code::Corrupt)
    }
}

/// Whether a text is little for its page: fewer letters than pieces of content that may show some, or no content that was understood.
fn is_little(page: &PdfPage<'_>, text: &str) -> bool {
    let letters = letters(text);
    if letters >= ENOUGH_LETTERS {
        return false;
    }
    let objects = page.objects();
    let may_show = |kind| {
        matches!(
            kind,
            PdfPageObjectType::Text | PdfPageObjectType::XObjectForm
        )
    };
    let showing = objects
        .iter()
        .filter(|object| may_show(object.object_type()));
    objects.is_empty() || letters < showing.take(ENOUGH_LETTERS).count()
}

const CR: u32 = 0x0D;
const LF: u32 = 0x0A;
const SPACE: u32 = 0x20;

/// What stands between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    None,
    Space,
    Line,
}

/// What stands between two characters that pdfium has parted. It ends the line behind each letter of a text that runs up or down the
/// page, as beside drawings and in the heads of tables; by where the letters stand they are words all the same.
fn joint(before: &PdfPageTextChar<'_>, after: &PdfPageTextChar<'_>) -> Joint {
    let is_upright = |char: &PdfPageTextChar<'_>| {
        char.angle_radians()
            .map_or(true, |angle| angle.cos().abs() > 0.1)
    };
    if is_upright(before) || is_upright(after) {
        return Joint::Line;
    }
    match (before.loose_bounds(), after.loose_bounds()) {
        (Ok(before), Ok(after)) => upwards(&before, &after),
        _ => Joint::Line,
    }
}

/// The same of two letters that lie on their sides.
fn upwards(before: &PdfRect, after: &PdfRect) -> Joint {
    let size = before.width().value;
    let is_same_line = (before.left().value - after.left().value).abs() < size / 2.0;
    let gap = f32::max(
        after.bottom().value - before.top().value,
        before.bottom().value - after.top().value,
    );
    if !is_same_line || !gap.is_finite() || gap > size {
        Joint::Line
    } else if gap > size / 5.0 {
        Joint::Space
    } else {
        Joint::None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_on_their_sides_are_words_by_where_they_stand() {
        // Bottom, left, top, right: ten points high, six wide, lying.
        let letter = |x: f32, y: f32| PdfRect::new_from_values(y, x, y + 6.0, x + 10.0);
        for (after, expected) in [
            (letter(100.0, 56.0), Joint::None),
            (letter(100.0, 44.0), Joint::None),
            (letter(101.0, 57.0), Joint::None),
            (letter(100.0, 60.0), Joint::Space),
            (letter(100.0, 80.0), Joint::Line),
            (letter(112.0, 50.0), Joint::Line),
            (letter(f32::NAN, f32::NAN), Joint::Line),
        ] {
            assert_eq!(upwards(&letter(100.0, 50.0), &after), expected, "{after:?}");
        }
    }
}
