//! Telephone and fax numbers: candidates with boundaries, then libphonenumber's rules.
//!
//! Text is full of digits that are no telephone. A candidate is taken if it is valid in a country of
//! the page *and* something speaks for it: a country code, a label, or the shape in which numbers of
//! that country are written.

mod finder;
mod found;
mod links;
mod register;
mod spans;
mod text;
mod vanity;

use self::found::Found;
#[cfg(test)]
pub(super) use self::vanity::key;
use super::finding::{Phone, PhoneKind};
use super::region::Origin;
use super::structured::{Property, Structured};
use crate::html::Page;

/// All numbers of a page, best first.
pub(super) fn extract(page: &Page, origin: &Origin, structured: &Structured) -> Vec<Phone> {
    let mut found = Found::new(origin);
    links::from_links(page, &mut found);
    for (property, value, source) in &structured.properties {
        let kind = match property {
            Property::Phone => PhoneKind::Voice,
            Property::Fax => PhoneKind::Fax,
            Property::Number => PhoneKind::Unknown,
            Property::Email | Property::SameAs => continue,
        };
        found.add_value(value, kind, *source, 0.95);
    }
    text::from_text(page.blocks(), &mut found);
    links::from_attributes(page, &mut found);
    links::complete(page, &mut found);
    found.into_phones()
}
