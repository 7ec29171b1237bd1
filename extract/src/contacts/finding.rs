//! What is found: an address, a number, a profile, and where each stood.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

/// Most addresses, numbers or profiles taken from one page, each.
pub const MAX_FINDINGS: usize = 500;

/// Where a finding stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// A `mailto:` link.
    Mailto,
    /// A `tel:`, `sms:`, `callto:` or `WhatsApp` link.
    Tel,
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

/// Keeps, per key, the finding with the highest confidence, and sorts by confidence.
///
/// Both are stable: of equals, the first found wins and stays first.
pub(super) fn best_first<T>(
    found: Vec<T>,
    key: fn(&T) -> &str,
    confidence: fn(&T) -> f32,
) -> Vec<T> {
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
