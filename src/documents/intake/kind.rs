//! What a file is, by its first bytes: enough to send away what nothing here reads. What it is exactly is found out when it is read.

use gleaner_parse::sniff::{self, sniff_head};

/// How much of a file is looked at, in bytes.
pub const HEAD: usize = sniff::HEAD_BYTES;

/// What is known of a file by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// This media type, as far as one can see.
    Of(&'static str),
    /// Nothing that is read here, with the name of what it is.
    Refused(&'static str),
}

/// Looks at the first [`HEAD`] bytes of a file, or at all of a smaller one. The name tells apart what is plain text, and is believed of
/// archives until they are opened.
#[must_use]
pub fn of(head: &[u8], name: &str) -> Head {
    match sniff_head(head, Some(name)) {
        sniff::Head::Accepted(kind) => Head::Of(kind.mime()),
        sniff::Head::Container => Head::Of(contained(name)),
        sniff::Head::Refused(what) => Head::Refused(what),
    }
}

/// What an archive is taken for until it is opened.
fn contained(name: &str) -> &'static str {
    use sniff::Kind::{Docx, Epub, Ods, Odt, Pptx, Xls, Xlsx};
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    let kind = match ending.as_deref() {
        Some("docx" | "docm") => Docx,
        Some("xlsx" | "xlsm") => Xlsx,
        Some("xls") => Xls,
        Some("pptx" | "pptm") => Pptx,
        Some("odt") => Odt,
        Some("ods") => Ods,
        Some("epub") => Epub,
        _ => return "application/octet-stream",
    };
    kind.mime()
}
