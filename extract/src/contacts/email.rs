//! E-mail addresses: candidates from every place they hide, one strict check for all of them.

use percent_encoding::percent_decode_str;
use url::Url;

use super::deobfuscate;
use super::finding::{Email, EmailKind, Source, best_first};
use super::mailbox::{
    MAX_CANDIDATES, around, checked, find, is_free, is_no_reply, is_plausible, is_service_local,
    listed, unglued,
};
use super::structured::{self, Property, Structured};
use super::written;
use crate::domain::below_suffix;
use crate::html::{Attributes, Block, INLINE_BOUNDARY, Icon, Page};

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

/// All addresses of a page, best first.
pub(super) fn extract(page: &Page, url: &Url, structured: &Structured) -> Vec<Email> {
    let mut found = Found {
        emails: Vec::new(),
        site: url.host_str().and_then(below_suffix).map(str::to_owned),
    };
    from_links(page, &mut found);
    for (property, value, source) in &structured.properties {
        if *property == Property::Email {
            found.add_listed(value, *source, 0.95);
        }
    }
    for block in page.blocks() {
        found.add_all(&block.text, Source::Text, 0.9);
        found.add_reversed(&block.text);
        found.add_pictured(block);
        for value in written::in_text(&block.plain(), is_service_local) {
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

    /// Adds every address in a value that holds nothing else.
    fn add_listed(&mut self, value: &str, source: Source, confidence: f32) {
        for value in listed(value) {
            self.add(&value, source, confidence);
        }
    }

    /// Adds the addresses whose sign is a picture.
    fn add_pictured(&mut self, block: &Block) {
        let signs = block.icons.iter().filter(|(_, icon)| *icon == Icon::At);
        for (place, _) in signs {
            let Some((before, after)) = block.text.split_at_checked(*place) else {
                continue;
            };
            let is_gap = [' ', INLINE_BOUNDARY];
            let before = before.trim_end_matches(is_gap);
            if let Some(value) = around(before, after.trim_start_matches(is_gap)) {
                self.add(&value, Source::Obfuscated, 0.75);
            }
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
        // Whichever way it was hidden, what it runs into is cut off as it is in a text.
        let Some(value) = checked(unglued(local.trim()), domain) else {
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
        } else if self.site.is_some() && below_suffix(domain) == self.site.as_deref() {
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
                found.add_listed(&value, Source::Obfuscated, 0.95);
            }
        } else if let Some(target) = strip_scheme(href, "mailto:") {
            mailto(target, found);
        } else if let Some(script) = strip_scheme(href, "javascript:") {
            let script = percent_decode_str(script).decode_utf8_lossy();
            let argument = script.split(['\'', '"']).nth(1).unwrap_or_default();
            let made = deobfuscate::shifted(argument).or_else(|| deobfuscate::in_call(&script));
            if let Some(value) = made {
                found.add_listed(&value, Source::Obfuscated, 0.75);
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
        found.add_listed(&part, Source::Mailto, 0.98);
        if found.emails.len() == before {
            for value in written::in_text(&part, |_| true) {
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
                        found.add_listed(&address, Source::Obfuscated, 0.95);
                    }
                    "enc-email" => {
                        for email in written::in_text(&deobfuscate::rot13(value), |_| true) {
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
                for email in written::in_text(value, |_| true) {
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
