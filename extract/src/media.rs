//! What kind of thing a body is: HTML, or something that is not to be read as a page.

/// How far into a body its first tag is looked for.
const SNIFF_BYTES: usize = 1_024;

/// Whether a body is to be read as a page: by its declared type, or, where that is missing or says nothing, by its first tag
/// (after the WHATWG MIME Sniffing Standard, section 7.1, in short).
#[must_use]
pub fn is_html(content_type: Option<&str>, body: &[u8]) -> bool {
    let declared = content_type
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase())
        .unwrap_or_default();
    match declared.as_str() {
        "text/html" | "application/xhtml+xml" => true,
        "" | "application/octet-stream" | "text/plain" | "unknown/unknown" => starts_as_html(body),
        _ => false,
    }
}

fn starts_as_html(body: &[u8]) -> bool {
    let head: Vec<u8> = body
        .iter()
        .take(SNIFF_BYTES)
        .filter(|byte| **byte != 0)
        .map(u8::to_ascii_lowercase)
        .skip_while(|byte| byte.is_ascii_whitespace() || *byte >= 0x80)
        .collect();
    ["<!doctype html", "<html", "<head", "<body", "<!--"]
        .iter()
        .any(|tag| head.starts_with(tag.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_other_things() {
        for (content_type, body, expected) in [
            (Some("text/html; charset=utf-8"), "", true),
            (Some("Application/XHTML+xml"), "", true),
            (Some("application/pdf"), "<html>", false),
            (None, "\u{feff}\n <!DOCTYPE html><p>", true),
            (None, "%PDF-1.4", false),
            (Some("text/plain"), "<html><body>", true),
            (Some("text/plain"), "just words", false),
        ] {
            assert_eq!(
                is_html(content_type, body.as_bytes()),
                expected,
                "{content_type:?} {body}"
            );
        }
    }
}
