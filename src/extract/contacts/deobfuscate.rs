//! Undoes the common ways of hiding an e-mail address from collectors.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Longest script that is looked at, in bytes.
const MAX_SCRIPT_BYTES: usize = 256 * 1024;

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
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is valid")
}

/// Addresses written out for humans: `name [at] domain [dot] tld`, `name at domain dot tld`,
/// `name @ domain.tld`, `name(at)domain.tld` and their like. Not yet checked.
///
/// `trusts` says of a local part whether it alone makes the loosest form (`name @ domain.tld`, no
/// label before it) believable.
pub(super) fn in_text(text: &str, trusts: impl Fn(&str) -> bool) -> Vec<String> {
    /// Anything in brackets that means "at", or a plain `@`.
    static BRACKETED: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?ix)
            ([a-z0-9][a-z0-9._+\-]{0,63}
              (?: (?: \sdot\s | \s?[\[({<«|_*] \s? (?: dot | punkt | punt | point | punto | ponto | tečka | kropka | точка
                    | \. ) \s? [\])}>»|_*]\s? ) [a-z0-9][a-z0-9_+\-]{0,62} ){0,3})
            \s?(?: [\[({<«|_*] \s? (?: at | ät | ad | a | @ | \(at\) | arroba | chiocciola | małpa | malpa
                | zavinac | zavináč | kukac | æt | apestaartje | собака ) \s? [\])}>»|_*]
              | (@) | \s(at)\s )
            \s?
            ([a-z0-9][a-z0-9\-]{0,62}
              (?: (?: \. | \s\.\s? | \sdot\s | \spunkt\s
                    | \s?[\[({<«|_*] \s? (?: dot | punkt | punt | point | punto | ponto | tečka | kropka | точка
                    | \. ) \s? [\])}>»|_*]\s? ) [a-z0-9][a-z0-9\-]{0,62} ){1,5})",
        )
    });
    static DOT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?ix) \s? [\[({<«|_*] \s? (?: dot | punkt | punt | point | punto | ponto | tečka | kropka
              | точка | \. ) \s? [\])}>»|_*] \s? | \s(?:dot|punkt)\s | \s?\.\s?",
        )
    });
    static LABEL: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)(?:e-?mail|mail|e-?post|correo|courriel|почта)\W*$"));
    if text.len() < 8 || !(text.contains('@') || has_at_word(text)) {
        return Vec::new();
    }
    let mut out = Vec::new();
    for found in BRACKETED.captures_iter(text).take(200) {
        let (Some(whole), Some(local), Some(domain)) = (found.get(0), found.get(1), found.get(4))
        else {
            continue;
        };
        let has_written_dot = DOT.find_iter(domain.as_str()).any(|dot| {
            dot.as_str()
                .chars()
                .any(|c| c.is_alphabetic() || "[({<«|_*".contains(c))
        });
        let is_plain_sign = found.get(2).is_some();
        let is_plain_word = found.get(3).is_some();
        if is_plain_word && !has_written_dot {
            continue;
        }
        if is_plain_sign && !has_written_dot {
            let is_spaced = [" @", "@ ", " ."]
                .iter()
                .any(|gap| whole.as_str().contains(gap));
            let before = text.get(..whole.start()).unwrap_or_default();
            let tail_start = before.floor_char_boundary(before.len().saturating_sub(40));
            let is_labelled = LABEL.is_match(before.get(tail_start..).unwrap_or_default());
            if !is_spaced || !(is_labelled || trusts(local.as_str())) {
                continue;
            }
        }
        let domain = join_domain(&DOT.replace_all(domain.as_str(), "."));
        let local = DOT.replace_all(local.as_str(), ".");
        out.push(format!("{local}@{domain}"));
    }
    out
}

/// Drops the words of the next sentence: labels are joined only as far as they make a domain.
fn join_domain(domain: &str) -> String {
    let labels: Vec<&str> = domain.split('.').collect();
    (2..=labels.len())
        .rev()
        .filter_map(|end| labels.get(..end))
        .map(|front| front.join("."))
        .find(|front| super::is_plausible_email(&format!("info@{front}")))
        .unwrap_or_else(|| domain.to_owned())
}

fn has_at_word(text: &str) -> bool {
    static AT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)[\[({<«|_*]\s?(?:at|ät|ad|a|arroba|chiocciola|małpa|malpa|zavinac|zavináč|kukac|æt|apestaartje|собака)\s?[\])}>»|_*]|\sat\s",
        )
    });
    AT.is_match(text)
}

/// Strings that a script puts together from pieces and that hold an `@`.
///
/// Only what was assembled counts: an address that stands in a script in one piece is mostly
/// configuration, and is not shown to anyone.
pub(super) fn in_script(script: &str) -> Vec<String> {
    static JOIN: LazyLock<Regex> = LazyLock::new(|| pattern(r#"["']\s*\+\s*["']"#));
    static APPEND: LazyLock<Regex> =
        LazyLock::new(|| pattern(r#"["']\s*;\s*(\w+)\s*(?:=\s*(\w+)\s*\+|\+=)\s*["']"#));
    static MAILTO: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?i)mailto:([^"'\\<>]{5,200})"#));
    static LITERAL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"["']([^"'\s]{5,320})["']"#));
    let script = script
        .get(..script.floor_char_boundary(MAX_SCRIPT_BYTES))
        .unwrap_or(script);
    let decoded = numeric_entities(script);
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
    if !joined.contains('@') {
        return Vec::new();
    }
    let shown = MAILTO.captures_iter(&joined);
    // Where nothing was put together, every literal stands in the script.
    let assembled = LITERAL.captures_iter(if joined == script { "" } else { &joined });
    shown
        .filter_map(|found| found.get(1).map(|m| m.as_str().to_owned()))
        .chain(
            assembled
                .filter_map(|found| found.get(1).map(|m| m.as_str().to_owned()))
                .filter(|literal| {
                    literal.contains('@')
                        && !literal.contains(':')
                        && !script.contains(literal.as_str())
                }),
        )
        .take(100)
        .collect()
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
    fn written_out_addresses_are_found() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(in_text(text, |local| local == "info"), expected, "{text}");
        };
        check("write to jo [at] firm [dot] com now", &["jo@firm.com"]);
        check(
            "jo [dot] van [dot] doe [at] firm [dot] com",
            &["jo.van.doe@firm.com"],
        );
        check("ask jo dot doe at firm dot com", &["jo.doe@firm.com"]);
        check("jo(at)firm.co.uk", &["jo@firm.co.uk"]);
        check("jo {at} firm {dot} co {dot} uk", &["jo@firm.co.uk"]);
        check("jo at firm dot com", &["jo@firm.com"]);
        check("jo@firm [dot] com", &["jo@firm.com"]);
        check("info @ firm.com", &["info@firm.com"]);
        check("E-Mail: jo @ firm . de", &["jo@firm.de"]);
        check("jo (a) firm.fi", &["jo@firm.fi"]);
        check("jo[ät]firm.de. Danke", &["jo@firm.de"]);
        check("legal@firm.com. To unsubscribe", &[]);
        check("info @ firm.com. To unsubscribe", &["info@firm.com"]);
        check("jo [ at ] firm [ dot ] com", &["jo@firm.com"]);
        check("meet us at amazon.com", &[]);
        check("cheap shoes @ amazon.com", &[]);
        check("look at this dot", &[]);
        check("jo@firm.com", &[]);
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
    }
}
