//! Reads what a product page offers: the product, its price, whether it can be bought.
//!
//! A page says so several times over, in ways of different worth: JSON-LD, microdata, `RDFa`, Open
//! Graph and other `<meta>`, the state of its scripts, and at last the text a buyer sees. Each is
//! read by itself ([`Source`]); the amount that they trust most together is the price, and
//! [`Offer::confidence`] says how far they agree.
//!
//! A page with many products and none of its own (a list, a blog, a front page) has no price.

mod article;
mod availability;
mod items;
mod judge;
mod meta;
mod name;
mod product;
mod region;
mod script;
mod section;
mod source;
mod typography;
mod visible;

use serde::Serialize;
use serde_json::Value;
use url::Url;

pub use self::availability::{Availability, availability_of};
use self::items::Syntax;
use self::judge::{Reading, judge};
use self::meta::Meta;
use self::name::Names;
use self::product::{Context, Product};
pub use self::source::{Source, SourceKind};
use self::visible::Visible;
use self::visible::article::Numbers;
use self::visible::stock::Stock;
use super::html::{Attributes, Page, folded};
use super::price::{self, Amount, Currency, Hints};
use super::structured::json_ld;
use super::title::{MAX_TITLE_CHARS, Site, document_title, heading_of, host_label, title_of};

/// How much a heading must be the same as one of the page's names to be the product's: a longer name
/// in the data is common, a heading that is the shop's or a section's is not to be taken.
const MIN_TITLE_SAMENESS: f32 = 0.2;

/// What a page offers. Serialised, it is the output of the kind `offer`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Offer {
    /// The product's name.
    pub title: Option<String>,
    /// What it costs now; of a range, the lowest. Zero means free.
    pub price: Option<Amount>,
    /// The currency of both prices.
    pub currency: Option<Currency>,
    /// What it cost before, or the maker's recommendation, where the page says so.
    pub list_price: Option<Amount>,
    /// Whether it can be bought.
    pub availability: Option<Availability>,
    /// The shop's own number.
    pub sku: Option<String>,
    /// A GTIN (EAN, UPC, ISBN-13): 8, 12, 13 or 14 digits with a valid check digit.
    pub gtin: Option<String>,
    /// The maker's number.
    pub mpn: Option<String>,
    /// The brand's name.
    pub brand: Option<String>,
    /// The address of a picture, absolute if the page's address is known.
    pub image: Option<String>,
    /// `NewCondition`, `UsedCondition`, `RefurbishedCondition` or `DamagedCondition`.
    pub condition: Option<String>,
    /// Every place that named a price, the most trusted first.
    pub sources: Vec<Source>,
    /// How far to trust `price`, from 0 to 1; 0 without a price.
    pub confidence: f32,
}

/// Reads the offer of a page given as text. See [`offer_of`].
#[must_use]
pub fn offer(html: &str, url: Option<&Url>) -> Offer {
    offer_of(&Page::parse(html), url)
}

/// Reads the offer of a page that was fetched from `url`.
///
/// Never fails: what the page does not say is `None`. Time and memory are bounded by the page's.
#[must_use]
pub fn offer_of(page: &Page, url: Option<&Url>) -> Offer {
    let language = language(page);
    let hints = Hints {
        currency: None,
        decimal_separator: None,
        language: language.as_deref(),
        domain: url.and_then(Url::host_str),
    };
    let meta = Meta::read(page);
    let visible = visible::read(page, &hints);
    let document_title = document_title(page);
    let site = [
        meta.get(&["og:site_name", "application-name"]),
        url.and_then(host_label),
    ];
    let names = Names::new(
        visible
            .headings()
            .chain(document_title.as_deref())
            .chain(meta.get(&["og:title"])),
    )
    .of_site(site.into_iter().flatten());
    let context = Context {
        url,
        names: &names,
        hints,
    };
    let data = product::with_references(json_ld(page));
    let is_of_many = product::is_of_many(&data);
    let readings = read_all(page, &data, &context, &meta);
    let anchor = visible.anchor(&names);
    let availability = availability(&readings, visible.stock(anchor.as_ref()));
    let is_sold_out = availability.is_some_and(|known| !known.is_available());
    let seen = visible
        .price(anchor.as_ref(), is_sold_out)
        .filter(|_| !is_of_many);
    let judged = judge(&readings, seen.as_ref(), visible.shows_free());
    let currency = judged.price.and_then(|_| {
        let sign = seen.as_ref().and_then(|seen| seen.sign.as_deref());
        let local = Currency::local(&context.hints)
            .filter(|local| sign.is_none_or(|sign| price::may_mean(sign, *local)));
        judged.currency.or(local)
    });
    let numbers = visible.numbers(anchor.as_ref());
    let named = Names::new(
        readings
            .iter()
            .filter_map(|reading| reading.product.title.as_deref())
            .chain(document_title.as_deref()),
    )
    .of_site(site.into_iter().flatten());
    let first = |field: fn(&Product) -> Option<&String>| {
        readings
            .iter()
            .find_map(|reading| field(&reading.product))
            .cloned()
    };
    let shop = Site::of(page, &data, url);
    let base = url.map(|url| page.base_url(url));
    let image = first(|product| product.image.as_ref()).map(|image| {
        base.and_then(|base| base.join(image.trim()).ok())
            .map_or(image, String::from)
    });
    Offer {
        title: heading_of(page, &data, &shop)
            .or_else(|| title(&visible, &named, &readings, &shop))
            .or_else(|| title_of(page, &data, &shop))
            .map(|title| as_a_name(title, &visible)),
        price: judged.price,
        currency,
        list_price: judged.list_price,
        availability,
        sku: sku(&readings, &numbers),
        gtin: first(|product| product.gtin.as_ref()).or(numbers.gtin),
        mpn: first(|product| product.mpn.as_ref()).or(numbers.mpn),
        brand: first(|product| product.brand.as_ref()),
        image,
        condition: first(|product| product.condition.as_ref()),
        sources: judged.sources,
        confidence: judged.confidence,
    }
}

/// Reads every kind of structured data, the most trusted first.
fn read_all(page: &Page, data: &[Value], context: &Context<'_>, meta: &Meta) -> Vec<Reading> {
    let mut readings = Vec::new();
    let mut push = |kind, product: Option<Product>, trust| {
        if let Some(product) = product {
            readings.push(Reading {
                kind,
                product,
                trust,
            });
        }
    };
    push(SourceKind::JsonLd, product::of_page(data, context), 0.95);
    for (kind, syntax, trust) in [
        (SourceKind::Microdata, Syntax::Microdata, 0.9),
        (SourceKind::Rdfa, Syntax::Rdfa, 0.85),
    ] {
        let (roots, loose) = items::read(page, syntax);
        let product = product::of_page(&roots, context)
            .filter(|product| product.price.is_some())
            .or_else(|| product::of_loose(roots, loose, context));
        push(kind, product, trust);
    }
    push(SourceKind::Og, Some(meta.product(&context.hints)), 0.85);
    push(SourceKind::ScriptData, script::of_page(page, context), 0.75);
    readings
}

/// The page's own word, where it says plainly that nothing is left; else what most of the data say, by their trust; else what is seen.
fn availability(readings: &[Reading], stock: Stock) -> Option<Availability> {
    let said = |reading: &Reading| reading.product.availability;
    let chosen = readings
        .iter()
        .find(|reading| reading.product.is_chosen_by_url && said(reading).is_some());
    let trust = |is_available: bool| -> f32 {
        readings
            .iter()
            .filter(|reading| said(reading).is_some_and(|one| one.is_available() == is_available))
            .map(|reading| reading.trust)
            .sum()
    };
    let is_available = trust(true) >= trust(false);
    let in_data = chosen.and_then(said).or_else(|| {
        readings
            .iter()
            .filter_map(said)
            .find(|one| one.is_available() == is_available)
    });
    if chosen.is_none()
        && let Some(sold_out) = stock.plainly_sold_out()
    {
        return in_data
            .filter(|known| !known.is_available())
            .or(Some(sold_out));
    }
    in_data.or_else(|| stock.availability())
}

/// The shop's own number: from data about products first, then as people read it, then from what is kept for advertisements and scripts.
fn sku(readings: &[Reading], seen: &Numbers) -> Option<String> {
    let is_product_data = |reading: &&Reading| {
        matches!(
            reading.kind,
            SourceKind::JsonLd | SourceKind::Microdata | SourceKind::Rdfa
        )
    };
    let in_data = readings
        .iter()
        .filter(is_product_data)
        .find_map(|reading| reading.product.sku.clone());
    in_data.or_else(|| seen.sku.clone()).or_else(|| {
        readings
            .iter()
            .find_map(|reading| reading.product.sku.clone())
    })
}

/// A title without what stands beside the product's name where it is the page's heading: buttons, numbers.
fn as_a_name(title: String, visible: &Visible<'_>) -> String {
    let mut names = visible
        .headings()
        .filter_map(|name| folded(name, MAX_TITLE_CHARS));
    names
        .find(|name| title.starts_with(name.as_str()))
        .unwrap_or(title)
}

/// The heading of the product, if the page's names agree with it; else the best of these names.
fn title(
    visible: &Visible<'_>,
    names: &Names,
    readings: &[Reading],
    shop: &Site,
) -> Option<String> {
    let heading = visible
        .heading(names)
        .filter(|(_, sameness)| *sameness >= MIN_TITLE_SAMENESS)
        .and_then(|(text, _)| folded(text, MAX_TITLE_CHARS));
    heading.or_else(|| {
        let named = readings
            .iter()
            .find_map(|reading| reading.product.title.as_deref())?;
        Some(shop.without(named).to_owned())
    })
}

/// The language tag of `<html>`.
fn language(page: &Page) -> Option<String> {
    page.elements()
        .find(|(_, element)| element.name() == "html")
        .and_then(|(_, element)| {
            element
                .attribute("lang")
                .or_else(|| element.attribute("xml:lang"))
        })
        .map(|tag| tag.trim().chars().take(20).collect())
}

#[cfg(test)]
mod accuracy;
#[cfg(test)]
mod tests;
