//! Reads the offer on a page: what every page tells by itself, and what the site's own pattern finds.
//!
//! A pattern is active only after it has been tried on several pages of the site, so where it yields a price, that price
//! decides. That other places on the page agree raises its confidence; that the best of them says otherwise lowers it.

use serde_json::{Value, json};
use url::Url;

use super::validate::{self, Limits, Previous, Validation};
use crate::web::page::Document;
use gleaner_extract::notice::Notice;
use gleaner_extract::offer::{Offer, Source, SourceKind, availability_of, offer_of};
use gleaner_extract::pattern::{Fields, Pattern, format_score};
use gleaner_extract::price::{self, Currency, Hints};

/// What a pattern's confidence is multiplied by when the rest of the page says otherwise.
const DISAGREEMENT: f32 = 0.8;
/// The longest address of a picture that is kept, in bytes.
const MAX_IMAGE_BYTES: usize = 2_048;

/// An offer as it was read, and whether it can be believed.
#[derive(Clone, Debug)]
pub(super) struct Read {
    /// The offer. Its first source decided.
    pub(super) offer: Offer,
    /// What the pattern yielded, if there is one.
    pub(super) fields: Option<Fields>,
    /// Whether the price is the pattern's.
    pub(super) validation: Validation,
    /// The address by which the site knows the page.
    pub(super) canonical: Option<String>,
    /// What the page is, where it shows no price since it is only a notice.
    pub(super) notice: Option<Notice>,
}

/// What a site has of its own that helps to read its pages.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KnownSite<'a> {
    pub(super) pattern: Option<&'a Pattern>,
    /// The currency of its prices where they name none.
    pub(super) currency: Option<Currency>,
}

/// Reads a page of this site.
pub(super) fn read(
    document: &Document,
    site: KnownSite<'_>,
    previous: &Previous<'_>,
    limits: Limits,
) -> Read {
    let (page, url) = (&document.tree, &document.url);
    let mut offer = offer_of(page, Some(url));
    let mut warnings = Vec::new();
    if document.is_partial {
        warnings.push("the page ended before its declared end".to_owned());
    }
    let fields = site.pattern.map(|pattern| pattern.apply(page, Some(url)));
    let hints = Hints {
        currency: site.currency,
        language: page.language(),
        domain: url.host_str(),
        ..Hints::default()
    };
    if let Some(fields) = &fields {
        merge(&mut offer, fields, &hints, &mut warnings);
    }
    if offer.price.is_some() {
        offer.currency = offer.currency.or(site.currency);
    }
    offer.image = offer.image.filter(|image| image.len() <= MAX_IMAGE_BYTES);
    let score =
        |field, value: Option<&str>| value.map_or(0.0, |value| format_score(field, value, &hints));
    let confidences = [
        f64::from(offer.confidence),
        score("title", offer.title.as_deref()),
        score("availability", offer.availability.map(|own| own.as_str())),
        score("image", offer.image.as_deref()),
    ];
    let notice = match offer.price {
        Some(_) => None,
        None => document.notice(),
    };
    let reading = validate::Reading {
        price: offer.price,
        title: offer.title.as_deref(),
        availability: offer.availability,
        confidences,
        errors: notice
            .map(|own| own.describe().to_owned())
            .into_iter()
            .collect(),
        warnings,
    };
    let validation = validate::validate(reading, previous, limits);
    Read {
        offer,
        fields,
        validation,
        canonical: document.canonical(),
        notice,
    }
}

/// Puts what the pattern found before what the page tells by itself.
fn merge(offer: &mut Offer, fields: &Fields, hints: &Hints<'_>, warnings: &mut Vec<String>) {
    warnings.extend(fields.given_up.iter().map(|own| {
        format!(
            "the pattern's selector {:?} for the {} costs too much on this page and was given up",
            own.text, own.field
        )
    }));
    if let Some(title) = fields.value("title") {
        offer.title = Some(title.to_owned());
    }
    if let Some(found) = fields.value("availability").and_then(availability_of) {
        offer.availability = Some(found);
    }
    if let Some(image) = fields.value("image") {
        offer.image = Some(image.to_owned());
    }
    let own = |field: &str, known: &mut Option<String>| {
        if let Some(value) = fields.value(field) {
            *known = Some(value.to_owned());
        }
    };
    own("article_number", &mut offer.sku);
    own("model_number", &mut offer.mpn);
    let Some(field) = fields.fields.get("price").and_then(Option::as_ref) else {
        warnings.push("the pattern found no price".to_owned());
        return;
    };
    let Some(found) = price::parse(&field.value, hints) else {
        warnings.push("what the pattern found is no price".to_owned());
        return;
    };
    let named = fields
        .value("currency")
        .and_then(|value| Currency::from_field(value, hints));
    let currency = found.currency.or(named).or(offer.currency);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a confidence between 0 and 1"
    )]
    let mut confidence = field.confidence as f32;
    match offer.price {
        Some(price) if price == found.amount => confidence = confidence.max(offer.confidence),
        Some(price) => {
            confidence *= DISAGREEMENT;
            warnings.push(format!(
                "the pattern found {}, the rest of the page says {price}",
                found.amount
            ));
        }
        None => {}
    }
    let source = Source {
        source: SourceKind::Pattern,
        price: found.amount,
        currency,
        confidence,
    };
    offer.sources.insert(0, source);
    if offer.price != Some(found.amount) {
        offer.list_price = found.old_amount;
    }
    offer.price = Some(found.amount);
    offer.currency = currency;
    offer.confidence = confidence;
}

impl Read {
    /// The names of the places that say the same price, the one that decided first.
    pub(super) fn price_sources(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for source in &self.offer.sources {
            let name = source.source.as_str();
            if Some(source.price) == self.offer.price && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// All of it, for the result's `parsed_data`.
    pub(super) fn details(&self, url: &Url) -> Value {
        json!({
            "url": url.as_str(),
            "canonical_url": self.canonical,
            "offer": self.offer,
            "pattern": self.fields,
            "validation": self.validation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        min_confidence: 0.6,
        max_change_percent: 50.0,
    };

    const PATTERN: &str = r#"{"store_domain": "shop.example", "patterns": {
        "price": {"primary": {"type": "css", "selector": ".price", "confidence": 0.85}, "fallbacks": []},
        "availability": {"primary": {"type": "css", "selector": ".stock", "confidence": 0.8}, "fallbacks": []}}}"#;

    fn read_with(html: &str, pattern: Option<&str>, currency: Option<&str>) -> Read {
        let pattern = pattern.map(|json| Pattern::parse(json).unwrap());
        let site = KnownSite {
            pattern: pattern.as_ref(),
            currency: currency.and_then(Currency::from_code),
        };
        let url = Url::parse("https://shop.example/kettle").unwrap();
        let document = Document::parse(url, html.to_owned());
        read(&document, site, &Previous::default(), LIMITS)
    }

    /// Price and currency as stored, and where the price was found.
    fn found(read: &Read) -> (String, String) {
        let price = read.offer.price.map(|price| price.to_string());
        let currency = read.offer.currency.map(Currency::code);
        (
            format!(
                "{} {}",
                price.as_deref().unwrap_or("-"),
                currency.unwrap_or("-")
            ),
            read.price_sources().join(","),
        )
    }

    const JSON_LD: &str = r#"<script type="application/ld+json">{"@type": "Product", "name": "Brass kettle",
        "offers": {"@type": "Offer", "price": "1299.00", "priceCurrency": "NOK"}}</script>"#;

    #[test]
    fn a_pattern_decides_where_it_yields_a_price() {
        let shown = |price: &str| {
            format!(
                "<title>Brass kettle</title>{JSON_LD}<h1>Brass kettle</h1><b class=price>{price}</b><i class=stock>Utsolgt</i>"
            )
        };
        let agreed = read_with(&shown("kr 1 299,00"), Some(PATTERN), None);
        let (price, sources) = found(&agreed);
        assert_eq!(price, "1299.00 NOK");
        assert!(sources.starts_with("pattern,jsonld"), "{sources}");
        assert_eq!(agreed.offer.availability.unwrap().as_str(), "OutOfStock");
        assert!(agreed.validation.valid);

        // What the data say stands on the page; what the pattern finds is another product's.
        let related = format!(
            "{JSON_LD}<h1>Brass kettle</h1><p>kr 1 299,00</p><aside class=related><b class=price>kr 999,00</b></aside>"
        );
        let disagreed = read_with(&related, Some(PATTERN), None);
        assert_eq!(found(&disagreed).0, "999.00 NOK");
        assert!(disagreed.offer.confidence < agreed.offer.confidence);
        assert_eq!(
            disagreed.validation.warnings,
            ["the pattern found 999.00, the rest of the page says 1299.00"]
        );

        let silent = read_with(&shown("ring oss"), Some(PATTERN), None);
        assert_eq!(
            found(&silent),
            (
                "1299.00 NOK".to_owned(),
                found(&read_with(&shown("ring oss"), None, None)).1
            )
        );
        assert!(
            silent
                .validation
                .warnings
                .contains(&"what the pattern found is no price".to_owned())
        );
    }

    #[test]
    fn a_site_s_currency_is_that_of_prices_that_name_none() {
        let html = "<html lang=en><h1>Brass kettle</h1><p class=price>12.50</p></html>";
        let read = read_with(html, Some(PATTERN), Some("EUR"));
        assert_eq!(found(&read).0, "12.50 EUR");
    }

    #[test]
    fn a_page_without_a_price_is_an_error() {
        let read = read_with("<title>Our blog</title><p>Hello</p>", None, None);
        assert_eq!(read.validation.errors, ["no price was found"]);
    }
}
