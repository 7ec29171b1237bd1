//! Finds how to reach whoever is behind a page: e-mail addresses, telephone and fax numbers, social
//! profiles, name and postal address.
//!
//! Every finding says where it was found and how far to trust it; nothing is invented, and what is
//! not there is `None` or absent. The order is stable: confidence first, then order of discovery
//! (links, structured data, text, attributes, each in document order).

mod deobfuscate;
mod email;
mod finding;
mod label;
mod mailbox;
mod part_of;
mod phone;
mod phone_plan;
mod region;
mod social;
mod structured;
mod written;

use serde::Serialize;
use url::Url;

use super::html::Page;

pub use self::finding::{Email, EmailKind, MAX_FINDINGS, Phone, PhoneKind, Social, Source};
pub use self::mailbox::is_plausible as is_plausible_email;

/// What the caller knows beyond the page.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The country (ISO 3166-1 alpha-2) in which numbers without a country code are tried first.
    pub default_region: Option<&'a str>,
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
    let origin = region::origin(page, url, options.default_region, &structured);
    Contacts {
        emails: email::extract(page, url, &structured),
        phones: phone::extract(page, &origin, &structured),
        socials: social::extract(page, url, &structured),
        name: structured.name,
        address: structured.address,
    }
}

#[cfg(test)]
mod accuracy;
#[cfg(test)]
mod tests;
