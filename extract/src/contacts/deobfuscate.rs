//! Undoes the common ways of hiding an e-mail address from collectors.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;
use percent_encoding::percent_decode_str;
use regex::{Captures, Regex};

/// Longest script that is looked at, in bytes.
const MAX_SCRIPT_BYTES: usize = 256 * 1024;

/// Most sums of variables that are looked up in one script: each is a search of all of it.
const MAX_SUMS: usize = 50;

/// Decodes Cloudflare's e-mail protection: hexadecimal, the first byte is the key that the others were combined with by exclusive or.
///
/// The address may be followed by `?subject=…`.
pub(super) fn cloudflare(hex: &str) -> Option<String> {
    let hex = hex.split(['?', '&', '#']).next()?.trim();
    if hex.len() < 8 || hex.len() > 2_000 || hex.len() % 2 == 1 || !hex.is_ascii() {
        return None;
    }
    let bytes: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|i| {
            hex.get(i..i + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect::<Option<_>>()?;
    let (key, rest) = bytes.split_first()?;
    let text = String::from_utf8(rest.iter().map(|byte| byte ^ key).collect()).ok()?;
    Some(text.split('?').next().unwrap_or_default().to_owned())
}

#[expect(
    clippy::expect_used,
    reason = "the patterns are constants and have tests"
)]
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is valid")
}

/// As lenient as browsers: what is left over of the last byte is ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a script may hold an address at all: a cheap look before [`in_script`].
pub(super) fn may_assemble(script: &str) -> bool {
    ["@", "64;", "x40", "%40", "znvygb", "fromCharCode", "atob("]
        .iter()
        .any(|sign| memmem::find(script.as_bytes(), sign.as_bytes()).is_some())
}

/// Strings that a script puts together from pieces, or decodes, and that hold an `@`.
///
/// Only what was assembled counts: an address that stands in a script in one piece is mostly
/// configuration, and is not shown to anyone.
pub(super) fn in_script(script: &str) -> Vec<String> {
    static JOIN: LazyLock<Regex> = LazyLock::new(|| pattern(r#"["'] *\+ *["']"#));
    static APPEND: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"(?-u)["']\s*;\s*([0-9A-Za-z_]+)\s*(?:=\s*([0-9A-Za-z_]+)\s*\+|\+=)\s*["']"#)
    });
    let script = script
        .get(..script.floor_char_boundary(MAX_SCRIPT_BYTES))
        .unwrap_or(script);
    let mut decoded = numeric_entities(script);
    if decoded.contains("znvygb:") {
        decoded = rot13(&decoded);
    }
    if decoded.contains("unescape(") || decoded.contains("decodeURI") {
        decoded = percent_decode_str(&decoded)
            .decode_utf8_lossy()
            .into_owned();
    }
    for text in char_codes(&decoded)
        .into_iter()
        .chain(base64_literals(&decoded))
    {
        decoded.push_str("\n'");
        decoded.push_str(&text);
        decoded.push('\'');
    }
    if !decoded.contains('@') {
        return Vec::new();
    }
    let joined = JOIN.replace_all(&decoded, "");
    let joined = APPEND.replace_all(&joined, |found: &Captures<'_>| {
        let is_same = found
            .get(2)
            .is_none_or(|source| found.get(1).map(|t| t.as_str()) == Some(source.as_str()));
        if is_same {
            String::new()
        } else {
            found
                .get(0)
                .map_or(String::new(), |m| m.as_str().to_owned())
        }
    });
    let joined = with_variables(&joined);
    // Where nothing was put together, every literal stands in the script.
    let assembled = literals(if joined == script { "" } else { &joined });
    let assembled = assembled.filter(|literal| {
        literal.contains('@') && !literal.contains(':') && !script.contains(literal)
    });
    mailto_targets(&joined)
        .chain(assembled)
        .map(str::to_owned)
        .take(100)
        .collect()
}

/// What follows `mailto:`, up to the end of a string or tag.
fn mailto_targets(script: &str) -> impl Iterator<Item = &str> {
    let colons = memchr::memchr_iter(b':', script.as_bytes());
    colons.filter_map(|colon| {
        let (front, rest) = script.split_at_checked(colon + 1)?;
        let scheme = front.get(front.len().checked_sub("mailto:".len())?..)?;
        let rest = rest.get(..rest.floor_char_boundary(200)).unwrap_or(rest);
        let end = rest.find(['"', '\'', '\\', '<', '>']).unwrap_or(rest.len());
        let is_link = scheme.eq_ignore_ascii_case("mailto:") && end >= 5;
        rest.get(..end).filter(|_| is_link)
    })
}

/// The strings without spaces between two quotes.
fn literals(script: &str) -> impl Iterator<Item = &str> {
    let quotes = memchr::memchr2_iter(b'"', b'\'', script.as_bytes());
    let mut start = None;
    quotes.filter_map(move |quote| {
        let from = start.replace(quote + 1)?;
        let content = script.get(from..quote)?;
        let is_literal =
            (5..=320).contains(&content.len()) && !content.contains(char::is_whitespace);
        if is_literal {
            start = None;
        }
        is_literal.then_some(content)
    })
}

/// Puts the strings of variables beside an `"@"` in their places: `user + "@" + host`.
fn with_variables(script: &str) -> Cow<'_, str> {
    static SUM: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r#"([A-Za-z_$][0-9A-Za-z_$]*) *\+ *["']@["'] *\+ *([A-Za-z_$][0-9A-Za-z_$]*)"#)
    });
    if !(script.contains("\"@\"") || script.contains("'@'")) {
        return Cow::Borrowed(script);
    }
    SUM.replacen(script, MAX_SUMS, |found: &Captures<'_>| {
        let name = |index: usize| found.get(index).map_or("", |m| m.as_str());
        match (string_of(script, name(1)), string_of(script, name(2))) {
            (Some(local), Some(host)) => format!("'{local}@{host}'"),
            _ => found.get(0).map_or("", |m| m.as_str()).to_owned(),
        }
    })
}

/// The string that is first assigned to a variable.
fn string_of<'a>(script: &'a str, name: &str) -> Option<&'a str> {
    script.match_indices(name).find_map(|(at, _)| {
        let before = script.get(..at)?.chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            return None;
        }
        let rest = script.get(at + name.len()..)?.trim_start();
        quoted(rest.strip_prefix('=')?.trim_start())
    })
}

/// The content of a string literal at the start of `text`.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text.get(1..)?.split_once(quote).map(|(content, _)| content)
}

/// What `String.fromCharCode(105, 110, …)` makes.
fn char_codes(script: &str) -> Vec<String> {
    let calls = script.split("fromCharCode(").skip(1).take(50);
    calls
        .filter_map(|call| {
            let codes = call.split(')').next()?.split(',');
            codes
                .map(|code| code.trim().parse().ok().and_then(char::from_u32))
                .collect()
        })
        .collect()
}

/// What `atob("…")` makes.
fn base64_literals(script: &str) -> Vec<String> {
    let calls = script.split("atob(").skip(1).take(50);
    calls.filter_map(|call| base64(quoted(call)?)).collect()
}

/// The text that is encoded in base 64, in either alphabet, padded or not.
pub(super) fn base64(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('=');
    if text.len() < 2 || text.len() > 2_000 {
        return None;
    }
    let standard = text.replace('-', "+").replace('_', "/");
    String::from_utf8(BASE64.decode(standard).ok()?).ok()
}

/// Each letter thirteen places on.
pub(super) fn rot13(text: &str) -> String {
    let turn = |c: char, first: u8| {
        u8::try_from(c).map_or(c, |byte| char::from((byte - first + 13) % 26 + first))
    };
    text.chars()
        .map(|c| match c {
            'a'..='z' => turn(c, b'a'),
            'A'..='Z' => turn(c, b'A'),
            _ => c,
        })
        .collect()
}

/// The target of a link that TYPO3 hides: `mailto:…` with each character so many places on, within
/// ranges of its own.
pub(super) fn shifted(text: &str) -> Option<String> {
    const RANGES: [(u8, u8); 3] = [(b'+', b':'), (b'@', b'Z'), (b'a', b'z')];
    const MOST: i16 = 26;
    let turn = |c: char, by: i16| {
        let byte = u8::try_from(c).ok()?;
        let (first, last) = RANGES
            .into_iter()
            .find(|(first, last)| (*first..=*last).contains(&byte))?;
        let place = (i16::from(byte - first) + by).rem_euclid(i16::from(last - first) + 1);
        Some(char::from(first + u8::try_from(place).ok()?))
    };
    let first = text.chars().next()?;
    if text.len() > 1_000 {
        return None;
    }
    let mut shifts = (-MOST..=MOST).filter(|by| turn(first, *by) == Some('m'));
    shifts.find_map(|by| {
        let text: String = text.chars().map(|c| turn(c, by).unwrap_or(c)).collect();
        text.strip_prefix("mailto:").map(str::to_owned)
    })
}

/// The address that a call in a `javascript:` link is given in two or three pieces: `mail('info', 'firm.com')`.
pub(super) fn in_call(script: &str) -> Option<String> {
    let (name, arguments) = script.split_once('(')?;
    if !name.to_ascii_lowercase().contains("mail") {
        return None;
    }
    let pieces: Vec<&str> = arguments
        .split(')')
        .next()?
        .split(',')
        .map_while(|argument| quoted(argument.trim()))
        .collect();
    match *pieces.as_slice() {
        [local, host] => Some(format!("{local}@{host}")),
        [local, host, suffix] => Some(format!("{local}@{host}.{}", suffix.trim_start_matches('.'))),
        _ => None,
    }
}

/// Replaces `&#64;` and `&#x40;`: scripts write such markup.
fn numeric_entities(text: &str) -> String {
    static ENTITY: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"&#(?:[xX]([0-9a-fA-F]{1,6})|([0-9]{1,7}));?"));
    ENTITY
        .replace_all(text, |found: &Captures<'_>| {
            let code = match (found.get(1), found.get(2)) {
                (Some(hex), _) => u32::from_str_radix(hex.as_str(), 16).ok(),
                (_, Some(decimal)) => decimal.as_str().parse().ok(),
                _ => None,
            };
            code.and_then(char::from_u32)
                .map_or(String::new(), String::from)
        })
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloudflare_addresses_are_decoded() {
        let encode = |key: u8, text: &str| {
            let mut hex = format!("{key:02x}");
            for byte in text.bytes() {
                hex.push_str(&format!("{:02x}", byte ^ key));
            }
            hex
        };
        assert_eq!(
            cloudflare(&encode(0x5a, "info@x.com")).as_deref(),
            Some("info@x.com")
        );
        assert_eq!(
            cloudflare(&encode(1, "a@b.de?subject=x")).as_deref(),
            Some("a@b.de")
        );
        for bad in ["", "zz", "5", "é5é5é5é5", "5a5a5a5", "ffffffffff"] {
            assert!(
                cloudflare(bad).is_none_or(|text| !text.contains('@')),
                "{bad}"
            );
        }
    }

    #[test]
    fn assembled_script_strings_are_found() {
        let check =
            |script: &str, expected: &[&str]| assert_eq!(in_script(script), expected, "{script}");
        check(
            "var addy = '&#105;nf' + 'o' + '&#64;';\n addy = addy + 'firm' + '&#46;' + 'eu'; w(addy)",
            &["info@firm.eu"],
        );
        check(
            "document.write('<a href=\"mai'+'lto:jo@fi'+'rm.com\">x</a>')",
            &["jo@firm.com"],
        );
        check("var config = {dsn: 'key@errors.firm.com'}", &[]);
        check(
            "w('<n uers=\"znvygb:wb@svez.pbz\">'.replace(/[a-z]/g, turn))",
            &["jo@firm.com"],
        );
        check(
            "eval(unescape('%77%28%27%6d%61%69%6c%74%6f%3a%6a%6f%40%66%69%72%6d%2e%63%6f%6d%27%29'))",
            &["jo@firm.com"],
        );
        check(
            "w(String.fromCharCode(106, 111, 64,102,105,114,109,46,99,111,109))",
            &["jo@firm.com"],
        );
        check("w(atob('am9AZmlybS5jb20='))", &["jo@firm.com"]);
        check(
            "var a = 'jo', the_host = \"firm.com\"; w('<a>' + a + '@' + the_host)",
            &["jo@firm.com"],
        );
        check("w(a + '@' + b)", &[]);
    }

    #[test]
    fn links_that_a_script_decodes_are_found() {
        let check_shift = |text: &str| {
            assert_eq!(shifted(text).as_deref(), Some("jo@firm.com"), "{text}");
        };
        check_shift("nbjmup+kpAgjsn/dpn");
        check_shift("ocknvq,lqBhkto0eqo");
        check_shift("lzhksn9inZehql-bnl");
        check_shift("mailto:jo@firm.com");
        assert_eq!(shifted("javascript"), None);
        let check = |script: &str, expected: Option<&str>| {
            assert_eq!(in_call(script).as_deref(), expected, "{script}");
        };
        check("sendMail('jo', \"firm.com\")", Some("jo@firm.com"));
        check("mail('jo','firm','com')", Some("jo@firm.com"));
        check("open('jo','firm.com')", None);
        check("mail(jo)", None);
    }

    #[test]
    fn text_in_base_64_is_decoded() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(base64(text).as_deref(), expected, "{text}");
        };
        check("aW5mbw==", Some("info"));
        check("am9AZmlybS5jb20", Some("jo@firm.com"));
        check("é", None);
        check("", None);
    }
}
