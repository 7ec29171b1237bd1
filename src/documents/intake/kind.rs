//! What a file is, by its first bytes: enough to send away what nothing here reads. What it is exactly is found out when it is read.

/// How much of a file is looked at, in bytes.
pub const HEAD: usize = 4_096;

/// What is known of a file by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// This media type, as far as one can see.
    Of(&'static str),
    /// Nothing that is read here, with the name of what it is.
    Refused(&'static str),
}

/// Looks at the first [`HEAD`] bytes of a file, or at all of a smaller one. The name tells apart what is plain text.
#[must_use]
pub fn of(head: &[u8], name: &str) -> Head {
    let starts = |magic: &[u8]| head.starts_with(magic);
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    let ending = ending.as_deref().unwrap_or_default();
    let first = head.get(..1_024).unwrap_or(head);
    // A program is one also with a PDF inside.
    for (magic, what) in REFUSED {
        if starts(magic) {
            return Head::Refused(what);
        }
    }
    if memchr::memmem::find(first, b"%PDF-").is_some() {
        return Head::Of("application/pdf");
    }
    for (magic, mime) in PICTURES {
        if starts(magic) {
            return Head::Of(mime);
        }
    }
    if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        return Head::Of(zipped(head, ending));
    }
    if starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Head::Of(if ending == "xls" {
            "application/vnd.ms-excel"
        } else {
            "application/x-ole-storage"
        });
    }
    if head.get(4..8) == Some(b"ftyp") {
        return Head::Refused("a video, or another media file");
    }
    if starts(b"{\\rtf") {
        return Head::Of("application/rtf");
    }
    if !is_text(head) {
        return Head::Refused("binary data of an unknown kind");
    }
    Head::Of(plain(first, ending))
}

const REFUSED: [(&[u8], &str); 14] = [
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"\xfe\xed\xfa", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"#!", "a script"),
    (b"Rar!", "an archive"),
    (b"7z\xbc\xaf", "an archive"),
    (b"\x1f\x8b", "an archive"),
    (b"BZh", "an archive"),
    (b"\xfd7zXZ", "an archive"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
];

const PICTURES: [(&[u8], &str); 5] = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"GIF8", "image/gif"),
];

/// What an archive is taken for until it is opened.
fn zipped(head: &[u8], ending: &str) -> &'static str {
    let names = |name: &str| memchr::memmem::find(head, name.as_bytes()).is_some();
    if names("application/epub+zip") {
        return "application/epub+zip";
    }
    if names("application/vnd.oasis.opendocument.text") {
        return "application/vnd.oasis.opendocument.text";
    }
    if names("application/vnd.oasis.opendocument.spreadsheet") {
        return "application/vnd.oasis.opendocument.spreadsheet";
    }
    match ending {
        "docx" | "docm" => {
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
        }
        "xlsx" | "xlsm" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" | "pptm" => {
            "application/vnd.openxmlformats-officedocument.presentationml.presentation"
        }
        _ => "application/zip",
    }
}

/// Whether this can be text in some encoding: UTF-16 by its mark, or bytes none of which is a control character that no text has.
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return true;
    }
    let strange = head
        .iter()
        .filter(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31))
        .count();
    strange * 100 <= head.len()
}

fn plain(first: &[u8], ending: &str) -> &'static str {
    let text = String::from_utf8_lossy(first).to_ascii_lowercase();
    let text = text.trim_start_matches(['\u{feff}', ' ', '\r', '\n', '\t']);
    match ending {
        "html" | "htm" | "xhtml" => "text/html",
        "md" | "markdown" => "text/markdown",
        "csv" => "text/csv",
        "json" => "application/json",
        "eml" => "message/rfc822",
        _ if text.starts_with("<!doctype html") || text.starts_with("<html") => "text/html",
        _ => "text/plain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_decides_and_not_the_name() {
        for (head, name, expected) in [
            (&b"%PDF-1.7\n"[..], "a.exe", Head::Of("application/pdf")),
            (b"MZ\x90\0\x03\0\0\0", "a.pdf", Head::Refused("a program")),
            (b"MZ\x90\0%PDF-1.7", "a.pdf", Head::Refused("a program")),
            (b"\x7fELF\x02\x01", "a.txt", Head::Refused("a program")),
            (
                b"\0\0\0\x20ftypisom",
                "a.pdf",
                Head::Refused("a video, or another media file"),
            ),
            (b"hello, world\n", "a.pdf", Head::Of("text/plain")),
            (b"hello, world\n", "a.md", Head::Of("text/markdown")),
            (b"<!DOCTYPE html><p>", "a", Head::Of("text/html")),
            (
                b"\0\x01\x02\x03\x04\x05",
                "a.txt",
                Head::Refused("binary data of an unknown kind"),
            ),
            (b"\xe4\xf6\xfc caf\xe9", "a.txt", Head::Of("text/plain")),
            (b"", "a.txt", Head::Of("text/plain")),
        ] {
            assert_eq!(of(head, name), expected, "{name}");
        }
    }
}
