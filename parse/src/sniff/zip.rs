//! What a ZIP archive is, by the names in it.

use std::io::{self, Read, Seek};

use super::Kind;
use crate::archive::Archive;
use crate::failure::Failure;
use crate::protocol::Limits;

/// More names than any archive may have that is read, so that it is told what it is before it is refused.
const MAX_ENTRIES: u32 = 200_000;

/// # Errors
///
/// If it cannot be read, or is damaged.
pub(super) fn kind(file: &mut (impl Read + Seek)) -> io::Result<Kind> {
    let limits = Limits {
        entries: MAX_ENTRIES,
        ..Limits::default()
    };
    let mut archive = Archive::open(file, &limits)?;
    if let Some(kind) = declared(&mut archive)? {
        return Ok(kind);
    }
    let has = |name: &str| archive.has(name);
    let has_below = |folder: &str| archive.names().any(|name| name.starts_with(folder));
    Ok(if has("[Content_Types].xml") {
        if has_below("word/") {
            Kind::Docx
        } else if has("xl/workbook.bin") {
            Kind::Unsupported("a binary Excel workbook (xlsb)")
        } else if has_below("xl/") {
            Kind::Xlsx
        } else if has_below("ppt/") {
            Kind::Pptx
        } else if has_below("visio/") {
            Kind::Unsupported("a Visio drawing")
        } else {
            Kind::Unsupported("a package of documents (OPC)")
        }
    } else if has("META-INF/container.xml") {
        Kind::Epub
    } else if has_below("Index/") || has("index.apxl") || has("Index.zip") {
        Kind::Unsupported("an Apple iWork document")
    } else if has("AndroidManifest.xml") {
        Kind::Unsupported("a program (Android)")
    } else if has("META-INF/MANIFEST.MF") {
        Kind::Unsupported("a program (Java)")
    } else {
        Kind::Unsupported("an archive (ZIP)")
    })
}

/// By the type that files of the Open Document Format and books say they are.
fn declared<R: Read + Seek>(archive: &mut Archive<R>) -> Result<Option<Kind>, Failure> {
    let Some(bytes) = archive.small("mimetype", 200)? else {
        return Ok(None);
    };
    let mime = String::from_utf8_lossy(&bytes);
    let open = mime
        .trim()
        .strip_prefix("application/vnd.oasis.opendocument.");
    Ok(match open {
        Some("text" | "text-template" | "text-master") => Some(Kind::Odt),
        Some("spreadsheet" | "spreadsheet-template") => Some(Kind::Ods),
        Some("presentation" | "presentation-template") => {
            Some(Kind::Unsupported("an OpenDocument presentation (odp)"))
        }
        Some("graphics" | "graphics-template") => {
            Some(Kind::Unsupported("an OpenDocument drawing (odg)"))
        }
        Some(_) => Some(Kind::Unsupported("an OpenDocument file")),
        None if mime.trim() == "application/epub+zip" => Some(Kind::Epub),
        None => None,
    })
}
