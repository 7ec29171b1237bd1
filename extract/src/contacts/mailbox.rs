//! One e-mail address: where it begins and ends in a text, whether it can be somebody's, and what kind of mailbox its halves name.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::part_of;
use crate::domain::{below_suffix, suffix};
use crate::html::INLINE_BOUNDARY;
use crate::table::rows;

/// Most candidates looked at in one page.
pub(super) const MAX_CANDIDATES: usize = 5_000;

/// Fewest dots that lead from one column of a list to the next.
const MIN_LEADERS: usize = 4;

/// What no address begins with: it belongs to the text before.
const EDGES: [char; 3] = ['.', '-', '+'];

#[derive(Clone, Copy, PartialEq, Eq)]
enum DomainClass {
    Free,
    Placeholder,
    Telemetry,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LocalClass {
    Service,
    NoReply,
    Placeholder,
    StandIn,
}

static DOMAINS: LazyLock<HashMap<&'static str, DomainClass>> = LazyLock::new(|| {
    rows(include_str!("../data/email_domains.txt"))
        .filter_map(|row| match row.as_slice() {
            ["free", domain] => Some((*domain, DomainClass::Free)),
            ["placeholder", domain] => Some((*domain, DomainClass::Placeholder)),
            ["telemetry", domain] => Some((*domain, DomainClass::Telemetry)),
            _ => None,
        })
        .collect()
});

static LOCALS: LazyLock<HashMap<&'static str, LocalClass>> = LazyLock::new(|| {
    rows(include_str!("../data/email_locals.txt"))
        .filter_map(|row| match row.as_slice() {
            ["service", local] => Some((*local, LocalClass::Service)),
            ["noreply", local] => Some((*local, LocalClass::NoReply)),
            ["placeholder", local] => Some((*local, LocalClass::Placeholder)),
            ["stand_in", local] => Some((*local, LocalClass::StandIn)),
            _ => None,
        })
        .collect()
});

/// Every address in `text`, checked and in lower case, in order; not what is a part of something else ([`part_of`]).
///
/// `text` may carry [`INLINE_BOUNDARY`] marks. Linear in its length.
pub(super) fn find(text: &str) -> Vec<String> {
    addresses(text, |before, after| address_around(before, after, true))
}

/// Every address in a value that holds nothing else, as the target of a `mailto:` link does.
pub(super) fn listed(value: &str) -> Vec<String> {
    addresses(value, |before, after| address_around(before, after, false))
}

/// The address of which a sign that the text does not hold stands between these.
pub(super) fn around(before: &str, after: &str) -> Option<String> {
    let is_site = after
        .get(..4)
        .is_some_and(|head| head.eq_ignore_ascii_case("www."));
    let address = address_around(before, after, true).filter(|_| !is_site)?;
    let (local, _) = address.split_once('@')?;
    let is_name = local.contains(|c: char| c.is_ascii_alphabetic());
    (is_name && !matches!(local, "email" | "e-mail")).then_some(address)
}

fn addresses(text: &str, around: impl Fn(&str, &str) -> Option<String>) -> Vec<String> {
    let mut out = Vec::new();
    // The full-width sign ends in the byte 0xa0.
    if memchr::memchr2(b'@', 0xa0, text.as_bytes()).is_none() {
        return out;
    }
    for (at, sign) in text.char_indices().filter(|(_, c)| matches!(c, '@' | '＠')) {
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + sign.len_utf8()..)) else {
            continue;
        };
        if let Some(value) = around(before, after) {
            out.push(value);
            if out.len() >= MAX_CANDIDATES {
                break;
            }
        }
    }
    out
}

fn address_around(before: &str, after: &str, may_be_part: bool) -> Option<String> {
    // Cheap refusals first: a page may hold a million `@`.
    let has_dot = after
        .chars()
        .take(260)
        .take_while(|c| is_domain_char(*c) || *c == INLINE_BOUNDARY)
        .any(|c| c == '.');
    if !has_dot {
        return None;
    }
    let (local, rest) = local_part(before)?;
    if may_be_part {
        let end = after.find(|c| !(is_domain_char(c) || c == INLINE_BOUNDARY));
        let (domain, tail) = after.split_at(end.unwrap_or(after.len()));
        if part_of::is_part(rest, &local, domain, tail) {
            return None;
        }
    }
    domain_parts(after).find_map(|domain| checked(&local, &domain))
}

/// The longest local part that ends where `before` ends, and what is before that.
fn local_part(before: &str) -> Option<(String, &str)> {
    let length: usize = before
        .chars()
        .rev()
        .take(120)
        .take_while(|c| is_local_char(*c) || *c == INLINE_BOUNDARY)
        .map(char::len_utf8)
        .sum();
    let raw = before.get(before.len() - length..)?;
    let mut local = String::new();
    for segment in raw
        .split(INLINE_BOUNDARY)
        .rev()
        .filter(|segment| !segment.is_empty())
    {
        let is_word = segment.chars().all(|c| c.is_ascii_digit()) || is_mail_label(segment);
        if !local.is_empty() && is_word {
            break;
        }
        local.insert_str(0, segment);
    }
    // Left over from a URL (`%20info`) or a script string (`\u003einfo`, `\ninfo`).
    if let Some(index) = local.rfind('%') {
        local = local.get(index + 3..)?.to_owned();
    }
    if before
        .get(..before.len() - length)
        .is_some_and(|rest| rest.ends_with('\\'))
    {
        let escape = if local.starts_with("u00") { 5 } else { 1 };
        local = local.get(escape..)?.to_owned();
    }
    // One dot is what is left of a longer name; many lead from one column to the next.
    let edge = local.len() - local.trim_start_matches(EDGES).len();
    let dots = local.get(..edge).unwrap_or_default().matches('.').count();
    if (1..MIN_LEADERS).contains(&dots) {
        return None;
    }
    let local = unglued(local.trim_start_matches(EDGES));
    let rest = before
        .get(..before.len() - length)?
        .trim_end_matches(INLINE_BOUNDARY);
    if local.is_empty() || is_cut(rest) {
        return None;
    }
    let is_name = is_irish(rest) && !is_service_local(local);
    let local = if is_name {
        format!("o'{local}")
    } else {
        local.to_owned()
    };
    Some((local, rest))
}

/// Whether what stands before a local part shows that it is the end of a longer one, cut or masked or with a letter that is none of ours
/// (`jörg@…`).
fn is_cut(before: &str) -> bool {
    let is_accented = |c: char| matches!(c, '\u{c0}'..='\u{24f}') && c.is_alphabetic();
    let is_masked = || {
        before
            .strip_suffix('*')
            .is_some_and(|rest| rest.ends_with(|c: char| c == '*' || c.is_alphanumeric()))
    };
    before.ends_with(is_accented) || before.ends_with(['…', '•', '●']) || is_masked()
}

/// `O'` before a name.
fn is_irish(before: &str) -> bool {
    let mut back = before.chars().rev();
    matches!(back.next(), Some('\'' | '’'))
        && matches!(back.next(), Some('o' | 'O'))
        && back.next().is_none_or(|c| !c.is_alphanumeric())
}

/// The local part without the label or number that it runs into: `E-mailinfo`, `0301234567info`. What is left is left as it is
/// a second time, in lower case too.
pub(super) fn unglued(local: &str) -> &str {
    let label = local
        .split_at_checked("e-mail".len())
        .filter(|(label, _)| label.eq_ignore_ascii_case("e-mail"))
        .map(|(_, rest)| rest)
        .or_else(|| local.strip_prefix("Email"));
    let number = local
        .find(|c: char| c.is_ascii_alphabetic())
        .filter(|end| *end >= 5)
        .and_then(|end| local.get(end..));
    label
        .or(number)
        .filter(|rest| is_service_local(rest))
        .unwrap_or(local)
}

fn is_mail_label(word: &str) -> bool {
    let word = word.trim_matches(['.', '-']).to_ascii_lowercase();
    matches!(
        word.as_str(),
        "e" | "m"
            | "email"
            | "e-mail"
            | "mail"
            | "emails"
            | "correo"
            | "contact"
            | "kontakt"
            | "epost"
            | "e-post"
            | "courriel"
            | "address"
    )
}

/// What the domain after an `@` may be, best first.
fn domain_parts(after: &str) -> impl Iterator<Item = String> {
    let length: usize = after
        .chars()
        .take(260)
        .take_while(|c| is_domain_char(*c) || *c == INLINE_BOUNDARY)
        .map(char::len_utf8)
        .sum();
    let raw = after.get(..length).unwrap_or_default();
    // Up to each inline boundary, shortest first, as long as the rest does not go on with a dot.
    let mut candidates = Vec::new();
    let mut joined = String::new();
    let mut segments = raw
        .split(INLINE_BOUNDARY)
        .filter(|s| !s.is_empty())
        .take(8)
        .peekable();
    while let Some(segment) = segments.next() {
        joined.push_str(segment);
        let goes_on = segments.peek().is_some_and(|next| next.starts_with('.'));
        if !goes_on && !joined.ends_with('.') {
            push_domain_candidates(&joined, &mut candidates);
        }
    }
    push_domain_candidates(&joined, &mut candidates);
    candidates.into_iter()
}

/// The whole, and what is left when the end of the word belongs to the next sentence.
fn push_domain_candidates(raw: &str, candidates: &mut Vec<String>) {
    let raw = raw.trim_end_matches(['.', '-', '_']);
    let labels: Vec<&str> = raw.split('.').collect();
    let Some((last, front)) = labels.split_last() else {
        return;
    };
    // `info@x.com.Call us`: a sentence begins.
    let is_sentence = front.len() > 1
        && last.starts_with(|c: char| c.is_uppercase())
        && front
            .last()
            .is_some_and(|label| label.starts_with(|c: char| c.is_lowercase()));
    if is_sentence {
        candidates.push(front.join("."));
    }
    candidates.push(raw.to_owned());
    // `info@x.comPhone`, `info@x.com2014`: words run together.
    let mut previous = ' ';
    for (index, c) in last.char_indices() {
        let is_seam = (previous.is_lowercase() && c.is_uppercase())
            || (previous.is_ascii_alphabetic() && (c.is_ascii_digit() || is_ideographic(c)));
        if is_seam && let Some(head) = last.get(..index) {
            candidates.push(format!("{}.{head}", front.join(".")));
            break;
        }
        previous = c;
    }
    // The front of a name that nobody reads mail at is no better.
    if is_placeholder_domain(&raw.to_ascii_lowercase()) {
        return;
    }
    // `info@x.com.and`: the longest front that is a domain.
    for end in (2..labels.len()).rev().take(3) {
        if let Some(shorter) = labels.get(..end) {
            candidates.push(shorter.join("."));
        }
    }
}

/// Scripts that set no spaces between words.
fn is_ideographic(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

fn is_local_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-')
}

fn is_domain_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-')
}

/// Whether `value` is an address that could belong to someone: well formed, under a known public
/// suffix, and no placeholder, asset name or generated key.
pub fn is_plausible(value: &str) -> bool {
    value
        .rsplit_once('@')
        .is_some_and(|(local, domain)| checked(local, domain).is_some())
}

/// The address in canonical form, or nothing if it is not one.
pub(super) fn checked(local: &str, domain: &str) -> Option<String> {
    let local = local.trim().to_ascii_lowercase();
    let is_well_formed = (1..=64).contains(&local.len())
        && local
            .chars()
            .all(|c| (is_local_char(c) && c != '%') || c == '\'')
        && !local.starts_with(EDGES)
        && !local.starts_with('\'')
        && !local.ends_with(['.', '\''])
        && !local.contains("..")
        && local.contains(|c: char| c.is_ascii_alphanumeric());
    if !is_well_formed || is_generated(&local) {
        return None;
    }
    let domain = canonical_domain(domain)?;
    let class = LOCALS.get(local.as_str());
    if is_placeholder_domain(&domain) || class == Some(&LocalClass::Placeholder) {
        return None;
    }
    let is_generic_host =
        is_free(&domain) || domain.starts_with("email.") || domain.starts_with("mail.");
    if class == Some(&LocalClass::StandIn) && is_generic_host {
        return None;
    }
    // `name@name.tld` as in `mail@mail.de`, `email@email.com`.
    let second_level = domain.split('.').next();
    if matches!(class, Some(LocalClass::StandIn)) && second_level == Some(local.as_str()) {
        return None;
    }
    Some(format!("{local}@{domain}"))
}

/// Lower case, ASCII, with a known public suffix and a label before it.
fn canonical_domain(domain: &str) -> Option<String> {
    let domain = domain.trim().trim_end_matches('.');
    if domain.is_empty() || domain.len() > 253 {
        return None;
    }
    let domain = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(domain).ok()?
    };
    let is_well_formed = domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    });
    if !is_well_formed || is_asset(&domain) {
        return None;
    }
    let is_listed = suffix(&domain)?.is_known();
    (is_listed && below_suffix(&domain).is_some()).then_some(domain)
}

/// `logo@2x.png` and its like: a file name with a scale. Most file extensions are no public
/// suffixes; these are.
fn is_asset(domain: &str) -> bool {
    let is_scale = |label: &str| {
        label
            .split('-')
            .next()
            .and_then(|head| head.strip_suffix('x'))
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    domain.split('.').next().is_some_and(is_scale) || matches!(last, "zip" | "mov")
}

/// A key, not a name: long hexadecimal strings and UUIDs.
fn is_generated(local: &str) -> bool {
    let digits = local.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = local.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (is_hex && local.len() >= 16 && digits >= 4) || (local.len() >= 32 && digits * 3 >= local.len())
}

fn is_placeholder_domain(domain: &str) -> bool {
    let is_listed = |name: &str| {
        matches!(
            DOMAINS.get(name),
            Some(DomainClass::Placeholder | DomainClass::Telemetry)
        )
    };
    let registrable = below_suffix(domain).unwrap_or_default();
    let name = registrable.split('.').next().unwrap_or_default();
    is_listed(domain)
        || is_listed(registrable)
        || domain
            .split_once('.')
            .is_some_and(|(_, parent)| is_listed(parent))
        || matches!(
            name,
            "example"
                | "yourdomain"
                | "your-domain"
                | "mydomain"
                | "yourcompany"
                | "your-company"
                | "yourwebsite"
                | "yoursite"
                | "domainname"
                | "youremail"
        )
}

pub(super) fn is_free(domain: &str) -> bool {
    DOMAINS.get(domain) == Some(&DomainClass::Free)
}

pub(super) fn is_no_reply(local: &str) -> bool {
    LOCALS.get(local) == Some(&LocalClass::NoReply)
        || local.starts_with("noreply")
        || local.starts_with("no-reply")
        || local.starts_with("donotreply")
}

/// Whether the local part, or its first word (`sales.uk`, `info2`), is a role.
pub(super) fn is_service_local(local: &str) -> bool {
    let is_role = |word: &str| LOCALS.get(word) == Some(&LocalClass::Service);
    let local = local.to_ascii_lowercase();
    let first = local.split(['.', '-', '_', '+']).next().unwrap_or_default();
    is_role(&local)
        || is_role(first)
        || is_role(local.trim_end_matches(|c: char| c.is_ascii_digit()))
}
