//! Numbers that links and other attributes hold.

use percent_encoding::percent_decode_str;

use super::super::finding::{PhoneKind, Source};
use super::finder;
use super::found::{Found, MAX_DIGITS, MIN_DIGITS};
use crate::html::Page;

/// Longest attribute that may be a number, in bytes.
const MAX_VALUE_BYTES: usize = 40;

/// Most attributes that are looked at for the rest of numbers that the text cuts short.
const MAX_VALUES: usize = 2_000;

/// `tel:` and its relatives.
pub(super) fn from_links(page: &Page, found: &mut Found<'_>) {
    for (_, _, href) in page.links() {
        let Some((scheme, target)) = href.trim().split_once(':') else {
            continue;
        };
        let is = |names: &[&str]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
        let kind = if is(&["http", "https", "whatsapp"]) {
            whatsapp(target, found);
            continue;
        } else if is(&["tel", "telto", "sms", "callto", "phone"]) {
            PhoneKind::Voice
        } else if is(&["fax"]) {
            PhoneKind::Fax
        } else {
            continue;
        };
        let target = percent_decode_str(target).decode_utf8_lossy();
        // RFC 3966: parameters after a semicolon; some write queries.
        let target = target
            .split([';', '?'])
            .next()
            .unwrap_or_default()
            .trim_start_matches('/');
        found.add_value(target, kind, Source::Tel, 0.95);
    }
}

/// The number of a link that opens a conversation in `WhatsApp`: `wa.me/…`, `…/send?phone=…`.
fn whatsapp(target: &str, found: &mut Found<'_>) {
    const SEND: [&str; 3] = ["api.whatsapp.com/send", "web.whatsapp.com/send", "send"];
    let target = target.trim_start_matches('/');
    let number = target.strip_prefix("wa.me/").or_else(|| {
        let query = SEND.iter().find_map(|front| target.strip_prefix(front))?;
        query
            .trim_start_matches('/')
            .trim_start_matches('?')
            .split('&')
            .find_map(|field| field.strip_prefix("phone="))
    });
    let Some(number) = number else {
        return;
    };
    let number = percent_decode_str(number).decode_utf8_lossy();
    let digits: String = number
        .trim_start_matches(['+', ' '])
        .chars()
        .take_while(char::is_ascii_digit)
        .take(MAX_DIGITS)
        .collect();
    if let Some(e164) = found.international(&digits) {
        let raw = number.chars().take(40).collect();
        found.push(e164, raw, PhoneKind::Voice, Source::Tel, 0.85);
    }
}

/// Numbers in attributes that say so by their names (`data-phone`), and calls in others (`onclick="…'tel:+49…'"`).
pub(super) fn from_attributes(page: &Page, found: &mut Found<'_>) {
    let attributes = page.elements().flat_map(|(_, element)| element.attrs());
    for (name, value) in attributes {
        if let Some(kind) = kind_of(name) {
            if is_number(value) {
                found.add_value(value, kind, Source::Attribute, 0.6);
            }
        } else if (name.starts_with("data-") || name.starts_with("on"))
            && let Some(target) = call(value)
        {
            found.add_value(target, PhoneKind::Voice, Source::Attribute, 0.6);
        }
    }
}

/// The whole of numbers that the text cuts short, if some attribute has them: the page shows them when it is asked to.
pub(super) fn complete(page: &Page, found: &mut Found<'_>) {
    let cuts = std::mem::take(&mut found.cuts);
    let attributes = page.elements().flat_map(|(_, element)| element.attrs());
    let numbers = attributes
        .map(|(_, value)| value)
        .filter(|value| is_number(value))
        .take(if cuts.is_empty() { 0 } else { MAX_VALUES });
    for value in numbers {
        let digits: String = value.chars().filter(char::is_ascii_digit).collect();
        if cuts.iter().any(|cut| digits.contains(cut.as_str())) {
            found.add_value(value, PhoneKind::Voice, Source::Attribute, 0.6);
        }
    }
}

/// What the numbers of an attribute with this name are for: `data-phone`, `data-fax-number`.
fn kind_of(name: &str) -> Option<PhoneKind> {
    let words = || {
        name.strip_prefix("data-")
            .into_iter()
            .flat_map(|rest| rest.split(['-', '_']))
    };
    let has = |known: &[&str]| words().any(|word| known.contains(&word));
    if has(&["fax", "faxnumber", "telefax"]) {
        return Some(PhoneKind::Fax);
    }
    has(&[
        "phone",
        "phonenumber",
        "telephone",
        "tel",
        "telefon",
        "telefono",
        "telefone",
        "telefoon",
        "telnr",
        "mobile",
        "mobil",
        "whatsapp",
    ])
    .then_some(PhoneKind::Voice)
}

/// Whether a value is a number and nothing else.
fn is_number(value: &str) -> bool {
    let is_written =
        |c: char| c.is_ascii_digit() || matches!(c, ' ' | '+' | '-' | '.' | '/' | '(' | ')');
    value.len() <= MAX_VALUE_BYTES
        && value.chars().all(is_written)
        && finder::count_digits(value, MIN_DIGITS) == MIN_DIGITS
}

/// What follows `tel:` in a script or address.
fn call(value: &str) -> Option<&str> {
    let (front, rest) = value.split_once("tel:")?;
    let is_scheme = !front.ends_with(char::is_alphanumeric);
    let end = rest
        .find(['\'', '"', '\\', ';', '?', '<'])
        .unwrap_or(rest.len());
    rest.get(..end)
        .filter(|target| is_scheme && is_number(target))
}
