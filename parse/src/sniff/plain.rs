//! Kinds of plain text.

use std::borrow::Cow;

use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::Kind;

/// Header fields of mail.
const FIELDS: &[&str] = &[
    "bcc",
    "cc",
    "content-transfer-encoding",
    "content-type",
    "date",
    "delivered-to",
    "dkim-signature",
    "from",
    "in-reply-to",
    "message-id",
    "mime-version",
    "received",
    "references",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "thread-topic",
    "to",
    "x-mailer",
    "x-original-to",
];
/// Those that nobody writes by hand.
const FIELDS_OF_MACHINES: &[&str] = &[
    "delivered-to",
    "dkim-signature",
    "message-id",
    "mime-version",
    "received",
    "return-path",
];

/// Which kind of text these first bytes are; nothing if they are none.
pub(super) fn of(head: &[u8], name: Option<&str>) -> Option<Kind> {
    let text = text(head)?;
    let start = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let ending = name.and_then(ending).unwrap_or_default();
    if is_html(start, &ending) {
        return Some(Kind::Html);
    }
    let is_named_text = matches!(
        &*ending,
        "txt" | "text" | "md" | "markdown" | "csv" | "tsv" | "log"
    );
    match mail(start) {
        Mail::Box => return Some(Kind::Unsupported("a box of messages (mbox)")),
        Mail::Sure => return Some(Kind::Eml),
        Mail::Maybe if ending == "eml" || !is_named_text => return Some(Kind::Eml),
        _ => {}
    }
    Some(match &*ending {
        "md" | "markdown" | "mkd" => Kind::Markdown,
        "csv" | "tsv" => Kind::Csv,
        "json" | "jsonl" | "ndjson" | "geojson" => Kind::Json,
        _ if !is_named_text && is_json(start) => Kind::Json,
        _ => Kind::Text,
    })
}

/// What stands behind the last dot of a name.
fn ending(name: &str) -> Option<String> {
    let (_, ending) = name.rsplit_once('.')?;
    (ending.len() <= 10).then(|| ending.to_ascii_lowercase())
}

/// How UTF-16 is told that does not say so: its high bytes are mostly NUL.
pub(crate) fn utf16(head: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    if head.starts_with(b"\xff\xfe") && !head.starts_with(b"\xff\xfe\0\0") {
        return Some(UTF_16LE);
    }
    if head.starts_with(b"\xfe\xff") {
        return Some(UTF_16BE);
    }
    let nuls = |parity: usize| {
        let bytes = head.iter().skip(parity).step_by(2);
        bytes.filter(|byte| **byte == 0).count()
    };
    let pairs = head.len() / 2;
    match (nuls(0), nuls(1)) {
        (0, odd) if pairs >= 2 && odd * 2 > pairs => Some(UTF_16LE),
        (even, 0) if pairs >= 2 && even * 2 > pairs => Some(UTF_16BE),
        _ => None,
    }
}

/// These bytes as text if they are any.
fn text(head: &[u8]) -> Option<Cow<'_, str>> {
    if let Some(encoding) = utf16(head) {
        let even = head.get(..head.len() & !1).unwrap_or_default();
        let (text, _, _) = encoding.decode(even);
        let odd = text
            .chars()
            .filter(|c| is_odd(*c) || *c == '\u{fffd}')
            .count();
        return (odd * 10 <= text.chars().count()).then_some(text);
    }
    let utf8 = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        // The last character is cut in two.
        Err(error) if error.error_len().is_none() => head
            .get(..error.valid_up_to())
            .and_then(|head| std::str::from_utf8(head).ok()),
        Err(_) => None,
    };
    if let Some(text) = utf8 {
        let odd = text.chars().filter(|character| is_odd(*character)).count();
        return (odd * 10 <= text.len()).then_some(Cow::Borrowed(text));
    }
    // In an encoding of old there are none, nor are there in Shift JIS and its like.
    let is_text = head
        .iter()
        .all(|byte| !is_odd(char::from(*byte)) || *byte >= 0x80 || *byte == 0x1b);
    is_text.then(|| WINDOWS_1252.decode_without_bom_handling(head).0)
}

/// Control characters that no text needs.
fn is_odd(character: char) -> bool {
    character.is_control()
        && !matches!(character, '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}')
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn is_html(start: &str, ending: &str) -> bool {
    let mut rest = start;
    // Comments and the XML declaration may stand before it.
    loop {
        let end = if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<?xml") {
            "?>"
        } else {
            break;
        };
        match rest.split_once(end) {
            Some((_, behind)) => rest = behind.trim_start(),
            None => break,
        }
    }
    let tags = ["<!doctype html", "<html", "<head", "<body"];
    tags.iter().any(|tag| starts_with(rest, tag))
        || (matches!(ending, "html" | "htm" | "xhtml" | "xht") && rest.starts_with('<'))
}

fn is_json(start: &str) -> bool {
    let mut characters = start.chars().filter(|character| !character.is_whitespace());
    match (characters.next(), characters.next()) {
        (Some('{'), Some('"' | '}')) => true,
        (Some('['), Some('{' | '[' | '"' | ']')) => {
            // `[[` and `["` begin other things as well; these do not end so.
            serde_json::from_str::<serde::de::IgnoredAny>(start)
                .map_or_else(|error| error.is_eof(), |_| true)
        }
        _ => false,
    }
}

enum Mail {
    No,
    /// Somebody may have typed it.
    Maybe,
    Sure,
    /// More than one.
    Box,
}

fn mail(start: &str) -> Mail {
    let is_box = start.starts_with("From ");
    let lines = start.lines().skip(usize::from(is_box));
    let (mut known, mut of_machines) = (0, 0);
    for line in lines {
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((field, _)) = line.split_once(':') else {
            break;
        };
        let is_field = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if field.is_empty() || !field.bytes().all(is_field) {
            break;
        }
        let field = field.to_ascii_lowercase();
        known += usize::from(FIELDS.contains(&&*field));
        of_machines += usize::from(FIELDS_OF_MACHINES.contains(&&*field));
    }
    match (known, of_machines) {
        (2.., _) if is_box => Mail::Box,
        (2.., 1..) => Mail::Sure,
        (2.., 0) => Mail::Maybe,
        _ => Mail::No,
    }
}
