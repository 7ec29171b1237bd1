//! Finds how to reach whoever is behind a page: e-mail addresses, telephone and fax numbers, social
//! profiles, name and postal address.
//!
//! Every finding says where it was found and how far to trust it; nothing is invented, and what is
//! not there is `None` or absent. The order is stable: confidence first, then order of discovery
//! (links, structured data, text, attributes, each in document order).

mod deobfuscate;
mod email;
mod label;
mod phone;
mod region;
mod social;
mod structured;

use std::collections::HashMap;

use serde::{Serialize, Serializer};
use url::Url;

use super::html::Page;

pub use self::email::is_plausible as is_plausible_email;

/// Most addresses, numbers or profiles taken from one page, each.
pub const MAX_FINDINGS: usize = 500;

/// What the caller knows beyond the page.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The country (ISO 3166-1 alpha-2) in which numbers without a country code are tried first.
    pub default_region: Option<&'a str>,
}

/// Where a finding stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A `mailto:` link.
    Mailto,
    /// A `tel:`, `sms:`, `callto:` or `WhatsApp` link.
    Tel,
    /// JSON-LD.
    JsonLd,
    /// Microdata, `RDFa` or a `<meta>` that names the property.
    Microdata,
    /// Text a reader sees.
    Text,
    /// Hidden from collectors: Cloudflare's scheme, `name [at] domain`, pieces joined by a script.
    Obfuscated,
    /// Some other attribute.
    Attribute,
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Source {
    /// The name stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mailto => "mailto",
            Self::Tel => "tel",
            Self::JsonLd => "json-ld",
            Self::Microdata => "microdata",
            Self::Text => "text",
            Self::Obfuscated => "obfuscated",
            Self::Attribute => "attribute",
        }
    }
}

/// What kind of mailbox an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmailKind {
    /// A role (`info`, `sales`, …), after RFC 2142 and common use.
    Service,
    /// A named mailbox under the page's own registrable domain.
    Corporate,
    /// A mailbox at a provider where anyone can open one.
    Free,
    /// A named mailbox under another domain.
    Unknown,
}

impl Serialize for EmailKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl EmailKind {
    /// The name stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Corporate => "corporate",
            Self::Free => "free",
            Self::Unknown => "unknown",
        }
    }
}

/// An e-mail address.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Email {
    /// Lower case, domain in ASCII (punycode).
    pub value: String,
    /// Its best source.
    pub source: Source,
    /// From 0 to 1.
    pub confidence: f32,
    /// What kind of mailbox it is.
    pub kind: EmailKind,
    /// Nobody reads it (`noreply@…`); always [`EmailKind::Service`] or [`EmailKind::Free`].
    pub is_no_reply: bool,
}

/// What a number is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PhoneKind {
    /// A telephone, by its label or link.
    Voice,
    /// A fax.
    Fax,
    /// Nothing says.
    Unknown,
}

impl Serialize for PhoneKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl PhoneKind {
    /// The name stored in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Fax => "fax",
            Self::Unknown => "unknown",
        }
    }
}

/// A telephone or fax number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phone {
    /// E.164, with `+`.
    pub e164: String,
    /// As it was written.
    pub raw: String,
    /// What it is for.
    pub kind: PhoneKind,
    /// Its best source.
    pub source: Source,
    /// From 0 to 1.
    pub confidence: f32,
}

/// A profile on a social platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Social {
    /// The platform's name, lower case (`facebook`, `x`, `linkedin`, …).
    pub platform: &'static str,
    /// The canonical address of the profile.
    pub url: String,
    /// The name of the profile on the platform.
    pub handle: String,
}

/// What a page says about reaching its owner.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Contacts {
    /// One entry per address.
    pub emails: Vec<Email>,
    /// One entry per number.
    pub phones: Vec<Phone>,
    /// One entry per profile, in document order.
    pub socials: Vec<Social>,
    /// Name of the organisation or person, from structured data or a card (hCard); failing that, what
    /// the head says the site is called (`og:site_name`).
    pub name: Option<String>,
    /// Postal address in one line, from structured data, a card, or an `<address>`.
    pub address: Option<String>,
}

/// Extracts the contacts of a page that was fetched from `url`.
///
/// Numbers without a country code are read in the first of these regions in which they are valid:
/// `options.default_region`, the region of the page's language tag, the country of the URL's host,
/// the country named in structured data, and then weaker signs (bare language, country names and
/// postcodes in the text). Without any region only numbers with a country code are taken.
pub fn extract(page: &Page, url: &Url, options: &Options<'_>) -> Contacts {
    let structured = structured::read(page);
    let regions = region::candidates(page, url, options.default_region, &structured);
    Contacts {
        emails: email::extract(page, url, &structured),
        phones: phone::extract(page, &regions, &structured),
        socials: social::extract(page, url, &structured),
        name: structured.name,
        address: structured.address,
    }
}

/// Keeps, per key, the finding with the highest confidence, and sorts by confidence.
///
/// Both are stable: of equals, the first found wins and stays first.
fn best_first<T>(found: Vec<T>, key: fn(&T) -> &str, confidence: fn(&T) -> f32) -> Vec<T> {
    let mut best: Vec<T> = Vec::new();
    let mut by_key: HashMap<String, usize> = HashMap::new();
    for item in found {
        match by_key
            .get(key(&item))
            .and_then(|index| best.get_mut(*index))
        {
            Some(earlier) if confidence(&item) > confidence(earlier) => *earlier = item,
            Some(_) => {}
            None => {
                by_key.insert(key(&item).to_owned(), best.len());
                best.push(item);
            }
        }
    }
    best.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)));
    best.truncate(MAX_FINDINGS);
    best
}

#[cfg(test)]
mod accuracy;
#[cfg(test)]
mod tests;
