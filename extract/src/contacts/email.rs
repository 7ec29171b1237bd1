//! E-mail addresses: candidates from every place they hide, one strict check for all of them.

use std::collections::HashMap;
use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use psl::Psl;
use url::Url;

use super::structured::{self, Property, Structured};
use super::{Email, EmailKind, Source, best_first, deobfuscate};
use crate::html::{Attributes, INLINE_BOUNDARY, Page};
use crate::table::rows;

/// Most candidates looked at in one page.
const MAX_CANDIDATES: usize = 5_000;

/// How far back a URL is looked for that ends in an address, in bytes.
const MAX_URL_BYTES: usize = 300;

/// What no address begins with: it belongs to the text before.
const EDGES: [char; 3] = ['.', '-', '+'];

/// Attributes that never hold an address meant for a reader.
const SILENT_ATTRIBUTES: &[&str] = &[
    "action",
    "background",
    "class",
    "data-src",
    "data-srcset",
    "for",
    "id",
    "name",
    "placeholder",
    "poster",
    "sizes",
    "src",
    "srcdoc",
    "srcset",
    "style",
];

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

/// All addresses of a page, best first.
pub(super) fn extract(page: &Page, url: &Url, structured: &Structured) -> Vec<Email> {
    let mut found = Found {
        emails: Vec::new(),
        site: url.host_str().and_then(registrable),
    };
    from_links(page, &mut found);
    for (property, value, source) in &structured.properties {
        if *property == Property::Email {
            found.add_all(value, *source, 0.95);
        }
    }
    for block in page.blocks() {
        found.add_all(&block.text, Source::Text, 0.9);
        found.add_reversed(&block.text);
        for value in deobfuscate::in_text(&block.plain(), is_service_local) {
            found.add(&value, Source::Obfuscated, 0.75);
        }
    }
    from_attributes(page, &mut found);
    for script in structured::scripts(page) {
        for value in deobfuscate::in_script(&script) {
            found.add_all(&value, Source::Obfuscated, 0.6);
        }
    }
    best_first(found.emails, |email| &email.value, |email| email.confidence)
}

struct Found {
    emails: Vec<Email>,
    /// Registrable domain of the page.
    site: Option<String>,
}

impl Found {
    /// Adds every address that stands in `text`.
    fn add_all(&mut self, text: &str, source: Source, confidence: f32) {
        for value in find(text) {
            self.add(&value, source, confidence);
        }
    }

    /// Adds the addresses that stand backwards in `text`, for styles to turn.
    fn add_reversed(&mut self, text: &str) {
        let is_turned = |word: &&str| {
            word.split_once('@').is_some_and(|(front, back)| {
                front.contains('.') && !back.contains('.') && !back.is_empty()
            })
        };
        if memchr::memchr(b'@', text.as_bytes()).is_none() {
            return;
        }
        for word in text
            .split([' ', INLINE_BOUNDARY])
            .filter(is_turned)
            .take(50)
        {
            let turned: String = word.chars().rev().collect();
            if is_plausible(&turned) {
                self.add(&turned, Source::Obfuscated, 0.6);
            }
        }
    }

    /// Adds a single address, if it is one.
    fn add(&mut self, value: &str, source: Source, confidence: f32) {
        if self.emails.len() >= MAX_CANDIDATES {
            return;
        }
        let Some((local, domain)) = value.rsplit_once('@') else {
            return;
        };
        let Some(value) = checked(local, domain) else {
            return;
        };
        let Some((local, domain)) = value.rsplit_once('@') else {
            return;
        };
        let is_no_reply = is_no_reply(local);
        let kind = if is_free(domain) {
            EmailKind::Free
        } else if is_no_reply || is_service_local(local) {
            EmailKind::Service
        } else if self.site.is_some() && registrable(domain) == self.site {
            EmailKind::Corporate
        } else {
            EmailKind::Unknown
        };
        let confidence = if is_no_reply {
            confidence * 0.2
        } else {
            confidence
        };
        self.emails.push(Email {
            value,
            source,
            confidence,
            kind,
            is_no_reply,
        });
    }
}

/// Links: `mailto:`, what a script makes into it, Cloudflare's protected address, and an address
/// where a URL should be.
fn from_links(page: &Page, found: &mut Found) {
    for (_, element, href) in page.links() {
        let href = href.trim();
        if let Some((page, hex)) = href.split_once('#')
            && page.ends_with("/cdn-cgi/l/email-protection")
        {
            if let Some(value) = deobfuscate::cloudflare(hex) {
                found.add_all(&value, Source::Obfuscated, 0.95);
            }
        } else if let Some(target) = strip_scheme(href, "mailto:") {
            mailto(target, found);
        } else if let Some(script) = strip_scheme(href, "javascript:") {
            let script = percent_decode_str(script).decode_utf8_lossy();
            let argument = script.split(['\'', '"']).nth(1).unwrap_or_default();
            let made = deobfuscate::shifted(argument).or_else(|| deobfuscate::in_call(&script));
            if let Some(value) = made {
                found.add_all(&value, Source::Obfuscated, 0.75);
            }
            found.add_all(&script, Source::Attribute, 0.6);
        } else if element.name() == "a"
            && href.contains('@')
            && let Some(value) = address_for_url(href)
        {
            found.add(&value, Source::Attribute, 0.6);
        }
    }
}

/// The recipients of a `mailto:` link and its `cc` and `bcc` fields; a subject or body may quote anything.
fn mailto(target: &str, found: &mut Found) {
    let (recipients, fields) = target.split_once('?').unwrap_or((target, ""));
    let copies = fields.split('&').filter_map(|field| {
        let (name, value) = field.split_once('=')?;
        matches!(name.to_ascii_lowercase().as_str(), "to" | "cc" | "bcc").then_some(value)
    });
    for part in std::iter::once(recipients).chain(copies) {
        let part = percent_decode_str(part).decode_utf8_lossy();
        let before = found.emails.len();
        found.add_all(&part, Source::Mailto, 0.98);
        if found.emails.len() == before {
            for value in deobfuscate::in_text(&part, |_| true) {
                found.add(&value, Source::Obfuscated, 0.75);
            }
        }
    }
}

/// The address that stands where a URL should: bare, after `http://`, or after a misspelt `mailto:`.
fn address_for_url(href: &str) -> Option<String> {
    let lower = href.to_ascii_lowercase();
    let web = ["http://", "https://"]
        .iter()
        .find_map(|scheme| lower.strip_prefix(scheme));
    let bare = match (web, lower.split_once(':')) {
        (Some(rest), _) => rest.strip_prefix("mailto:").unwrap_or(rest),
        (None, Some((scheme, rest))) => {
            let is_misspelt = scheme.starts_with("ma") || scheme.contains("mail");
            is_misspelt.then_some(rest.trim_start_matches('/'))?
        }
        (None, None) => lower.rsplit('/').next().unwrap_or(&lower),
    };
    let bare = percent_decode_str(bare.trim_end_matches('/'))
        .decode_utf8_lossy()
        .into_owned();
    is_plausible(&bare).then_some(bare)
}

fn strip_scheme<'a>(href: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, tail) = href.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(tail)
}

/// Any other attribute: `data-email`, `onclick`, `title`, hidden form fields …
fn from_attributes(page: &Page, found: &mut Found) {
    for (_, element) in page.elements() {
        let is_field = matches!(element.name(), "input" | "textarea" | "select" | "option");
        let is_hidden_field = || {
            element
                .attribute("type")
                .is_some_and(|kind| kind.eq_ignore_ascii_case("hidden"))
        };
        if is_field && !is_hidden_field() {
            continue;
        }
        let mut user = None;
        let mut host = None;
        let mut suffix = None;
        for (name, value) in element.attrs() {
            if let Some(piece) = name.strip_prefix("data-") {
                match piece {
                    "user" | "name" | "local" | "mailbox" | "part1" => user = Some(value),
                    "domain" | "host" | "website" | "part2" => host = Some(value),
                    "tld" | "part3" => suffix = Some(value),
                    "cfemail" | "mailto-token" => {
                        let address = if piece == "cfemail" {
                            deobfuscate::cloudflare(value)
                        } else {
                            deobfuscate::shifted(value)
                        };
                        let address = address.unwrap_or_default();
                        found.add_all(&address, Source::Obfuscated, 0.95);
                    }
                    "enc-email" => {
                        for email in deobfuscate::in_text(&deobfuscate::rot13(value), |_| true) {
                            found.add(&email, Source::Obfuscated, 0.75);
                        }
                    }
                    _ => {}
                }
            }
            let has_sign = memchr::memchr(b'@', value.as_bytes()).is_some();
            let is_data = name.starts_with("data-");
            if !(has_sign || is_data)
                || name == "href"
                || SILENT_ATTRIBUTES.contains(&name)
                || name.starts_with("data-cfe")
            {
                continue;
            }
            if has_sign {
                found.add_all(value, Source::Attribute, 0.6);
            } else if value.len() < 300 {
                for email in deobfuscate::in_text(value, |_| true) {
                    found.add(&email, Source::Obfuscated, 0.75);
                }
                if name.contains("mail")
                    && let Some(text) = deobfuscate::base64(value)
                {
                    found.add_all(&text, Source::Obfuscated, 0.75);
                }
            }
        }
        if let (Some(user), Some(host)) = (user, host) {
            let dot = if suffix.is_some_and(|suffix| !suffix.starts_with('.')) {
                "."
            } else {
                ""
            };
            let value = format!("{user}@{host}{dot}{}", suffix.unwrap_or_default());
            found.add(&value, Source::Obfuscated, 0.75);
        }
        // Joomla's element: both halves in base 64.
        if element.name() == "joomla-hidden-mail" {
            let half = |name| deobfuscate::base64(element.attribute(name)?);
            if let (Some(local), Some(host)) = (half("first"), half("last")) {
                found.add(&format!("{local}@{host}"), Source::Obfuscated, 0.75);
            }
        }
    }
}

/// Every address in `text`, checked and in lower case, in order.
///
/// `text` may carry [`INLINE_BOUNDARY`] marks. Linear in its length.
pub(super) fn find(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    // The full-width sign ends in the byte 0xa0.
    if memchr::memchr2(b'@', 0xa0, text.as_bytes()).is_none() {
        return out;
    }
    for (at, sign) in text.char_indices().filter(|(_, c)| matches!(c, '@' | '＠')) {
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + sign.len_utf8()..)) else {
            continue;
        };
        if let Some(value) = address_around(before, after) {
            out.push(value);
            if out.len() >= MAX_CANDIDATES {
                break;
            }
        }
    }
    out
}

fn address_around(before: &str, after: &str) -> Option<String> {
    // Cheap refusals first: a page may hold a million `@`.
    let has_dot = after
        .chars()
        .take(260)
        .take_while(|c| is_domain_char(*c) || *c == INLINE_BOUNDARY)
        .any(|c| c == '.');
    if !has_dot {
        return None;
    }
    let local = local_part(before)?;
    domain_parts(after).find_map(|domain| checked(&local, &domain))
}

/// The longest local part that ends where `before` ends.
fn local_part(before: &str) -> Option<String> {
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
    let local = unglued(local.trim_start_matches(EDGES));
    let rest = before
        .get(..before.len() - length)?
        .trim_end_matches(INLINE_BOUNDARY);
    if local.is_empty() || is_cut(rest) {
        return None;
    }
    let is_name = is_irish(rest) && !is_service_local(local);
    Some(if is_name {
        format!("o'{local}")
    } else {
        local.to_owned()
    })
}

/// Whether what stands before a local part shows that it is a piece of something else: a letter with
/// a diacritic (`jörg@…`), or a URL up to its password.
fn is_cut(before: &str) -> bool {
    let is_accented = |c: char| matches!(c, '\u{c0}'..='\u{24f}') && c.is_alphabetic();
    let start = before.floor_char_boundary(before.len().saturating_sub(MAX_URL_BYTES));
    let is_in_url = || {
        let word = before.get(start..).and_then(|near| near.rsplit(' ').next());
        word.is_some_and(|word| word.contains("//"))
    };
    before.ends_with(is_accented) || (before.ends_with(':') && is_in_url())
}

/// `O'` before a name.
fn is_irish(before: &str) -> bool {
    let mut back = before.chars().rev();
    matches!(back.next(), Some('\'' | '’'))
        && matches!(back.next(), Some('o' | 'O'))
        && back.next().is_none_or(|c| !c.is_alphanumeric())
}

/// The local part without the label or number that it runs into: `E-mailinfo`, `0301234567info`.
fn unglued(local: &str) -> &str {
    let label = ["E-mail", "E-Mail", "e-mail", "Email"]
        .iter()
        .find_map(|label| local.strip_prefix(label));
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
fn checked(local: &str, domain: &str) -> Option<String> {
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
    let suffix = psl::List.suffix(domain.as_bytes())?;
    let has_name = psl::List.domain(domain.as_bytes()).is_some();
    (suffix.is_known() && has_name).then_some(domain)
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
    let registrable = registrable(domain).unwrap_or_default();
    let name = registrable.split('.').next().unwrap_or_default();
    is_listed(domain)
        || is_listed(&registrable)
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

fn is_free(domain: &str) -> bool {
    DOMAINS.get(domain) == Some(&DomainClass::Free)
}

fn is_no_reply(local: &str) -> bool {
    LOCALS.get(local) == Some(&LocalClass::NoReply)
        || local.starts_with("noreply")
        || local.starts_with("no-reply")
        || local.starts_with("donotreply")
}

/// Whether the local part, or its first word (`sales.uk`, `info2`), is a role.
fn is_service_local(local: &str) -> bool {
    let is_role = |word: &str| LOCALS.get(word) == Some(&LocalClass::Service);
    let local = local.to_ascii_lowercase();
    let first = local.split(['.', '-', '_', '+']).next().unwrap_or_default();
    is_role(&local)
        || is_role(first)
        || is_role(local.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// The registrable domain of a host, by the public suffix list.
fn registrable(host: &str) -> Option<String> {
    let host = host.to_ascii_lowercase();
    psl::List.domain(host.as_bytes()).and_then(|domain| {
        std::str::from_utf8(domain.as_bytes())
            .ok()
            .map(str::to_owned)
    })
}
