//! Reads what a product page offers: the product, its price, whether it can be bought.
//!
//! A page says so several times over, in ways of different worth: JSON-LD, microdata, `RDFa`, Open
//! Graph and other `<meta>`, the state of its scripts, and at last the text a buyer sees. Each is
//! read by itself ([`Source`]); the best of them answers, and [`Offer::confidence`] says how far
//! the others agree with it.
//!
//! A page with many products and none of its own (a list, a blog, a front page) has no price.

mod availability;
mod items;
mod meta;
mod name;
mod product;
mod region;
mod script;
mod visible;

use serde::Serialize;
use serde_json::Value;
use url::Url;

pub use self::availability::{Availability, availability_of};
use self::items::Syntax;
use self::meta::Meta;
use self::name::Names;
use self::product::{Context, Product};
use self::visible::{Seen, Visible};
use super::html::{Attributes, Page, folded};
use super::price::{Amount, Currency, Hints};
use super::structured::json_ld;
use super::title::{MAX_TITLE_CHARS, Site, document_title, heading_of, host_label, title_of};

/// The confidence from which a price on the page outweighs the same page's data.
const SURE_ENOUGH: f32 = 0.6;

/// How much a heading must be the same as one of the page's names to be the product's: a longer name
/// in the data is common, a heading that is the shop's or a section's is not to be taken.
const MIN_TITLE_SAMENESS: f32 = 0.2;

/// Where on a page a price was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// `<script type="application/ld+json">`.
    #[serde(rename = "jsonld")]
    JsonLd,
    /// `itemprop` attributes.
    Microdata,
    /// `property` and `typeof` attributes.
    Rdfa,
    /// Open Graph, `product:` and Twitter `<meta>`.
    Og,
    /// The state or analytics data of the page's scripts.
    ScriptData,
    /// A selector the caller brought; never found by [`offer`] itself.
    Pattern,
    /// The scorer over the prices a buyer sees.
    HtmlMl,
}

impl SourceKind {
    /// The name written and stored (`jsonld`, `microdata`, `rdfa`, `og`, `script_data`, `pattern`,
    /// `html_ml`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonLd => "jsonld",
            Self::Microdata => "microdata",
            Self::Rdfa => "rdfa",
            Self::Og => "og",
            Self::ScriptData => "script_data",
            Self::Pattern => "pattern",
            Self::HtmlMl => "html_ml",
        }
    }
}

/// What one place on the page says about the price.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    pub source: SourceKind,
    pub price: Amount,
    /// Its currency, if the place or its surroundings name one.
    pub currency: Option<Currency>,
    /// How far to trust this place alone, from 0 to 1.
    pub confidence: f32,
}

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
    let seen = visible.price(&names).filter(|_| !is_of_many);
    let mut judged = judge(&readings, seen, visible.shows_free());
    if judged.price.is_some() {
        judged.currency = judged.currency.or_else(|| Currency::local(&context.hints));
    }
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
            .or_else(|| title_of(page, &data, &shop)),
        availability: readings
            .iter()
            .find_map(|reading| reading.product.availability)
            .or_else(|| visible.availability(&names)),
        sku: first(|product| product.sku.as_ref()),
        gtin: first(|product| product.gtin.as_ref()),
        mpn: first(|product| product.mpn.as_ref()),
        brand: first(|product| product.brand.as_ref()),
        image,
        condition: first(|product| product.condition.as_ref()),
        ..judged
    }
}

/// What one place says, in the order of trust.
struct Reading {
    kind: SourceKind,
    product: Product,
    /// How far a price there is to be trusted by itself.
    trust: f32,
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

/// Chooses the price among what the sources say, and how far to trust it.
///
/// The most trusted source answers. Each source that agrees takes away a third of the doubt, each that disagrees a
/// fifth of the trust.
fn judge(readings: &[Reading], seen: Option<Seen>, shows_free: bool) -> Offer {
    let mut sources: Vec<Source> = readings
        .iter()
        .filter_map(|reading| {
            let price = reading.product.price?;
            // Templates leave zeros where they know no price; only what the buyer reads makes it free.
            let is_believed = !price.is_zero() || shows_free;
            is_believed.then_some(Source {
                source: reading.kind,
                price,
                currency: reading.product.currency,
                confidence: reading.trust,
            })
        })
        .collect();
    // Of several variants, the one whose price stands on the page.
    if let (Some(seen), Some(first)) = (&seen, readings.first())
        && !first.product.is_chosen_by_url
        && first.product.prices.contains(&seen.amount)
        && let Some(source) = sources
            .iter_mut()
            .find(|source| source.source == first.kind && source.price != seen.amount)
    {
        source.price = seen.amount;
    }
    if let Some(seen) = &seen {
        // `1.299` in data is a thousand and more where the buyer reads it so.
        for source in &mut sources {
            if source.price.scale() == 3 && source.price.times_ten_to(3) == Some(seen.amount) {
                source.price = seen.amount;
            }
        }
        sources.push(Source {
            source: SourceKind::HtmlMl,
            price: seen.amount,
            currency: seen.currency,
            confidence: seen.confidence,
        });
    }
    let Some(mut chosen) = sources.first().cloned() else {
        return Offer::default();
    };
    // Data that still carry the former price, which the buyer sees struck out beside today's.
    let mut list_price = None;
    if let Some(seen) = &seen
        && seen.list_price == Some(chosen.price)
        && seen.confidence >= SURE_ENOUGH
        && let Some(now) = sources.iter().find(|source| source.price == seen.amount)
    {
        list_price = Some(chosen.price);
        chosen = now.clone();
    }
    let others = sources
        .iter()
        .filter(|source| source.source != chosen.source);
    let mut confidence = chosen.confidence;
    for other in others {
        confidence = if other.price == chosen.price {
            1.0 - (1.0 - confidence) * (1.0 - other.confidence / 3.0)
        } else {
            confidence * (1.0 - other.confidence / 5.0)
        };
    }
    let currency = chosen.currency.or_else(|| {
        sources
            .iter()
            .filter(|source| source.price == chosen.price)
            .chain(&sources)
            .find_map(|source| source.currency)
    });
    let list_price = list_price
        .into_iter()
        .chain(
            readings
                .iter()
                .filter_map(|reading| reading.product.list_price),
        )
        .chain(seen.and_then(|seen| seen.list_price))
        .find(|list| *list > chosen.price);
    Offer {
        price: Some(chosen.price),
        currency,
        list_price,
        sources,
        confidence,
        ..Offer::default()
    }
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
