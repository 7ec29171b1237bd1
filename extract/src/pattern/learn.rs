//! Learns a pattern from pages of one shop whose prices are known, and tries patterns on such pages.
//!
//! What could hold a field is proposed from each page: paths of JSON-LD first, then `<meta>` and microdata, then CSS selectors
//! for the elements that show the known price. Every proposal is tried on all pages, and only what is right on most of them
//! and hardly ever wrong is taken. Names that look generated (six digits in a row, eight hexadecimal ones, three letters or
//! less) are not built upon; an id comes before a `data-` attribute, that before a class, and that before a position.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::select::Reader;
use super::{FieldPattern, Method, Pattern, Selector, format_score};
use crate::html::{Page, ego::NodeRef, node_text};
use crate::offer::{Availability, availability_of};
use crate::price::{self, Amount, Currency, Hints};

/// A page, and what is known of it from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    pub page: &'a Page,
    /// Where it was fetched from.
    pub url: &'a Url,
    /// The price it shows; without it the page proves nothing about prices.
    pub price: Option<Amount>,
    /// Its currency.
    pub currency: Option<Currency>,
    /// The availability it shows.
    pub availability: Option<Availability>,
}

/// How a pattern did on pages whose price is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// How many there were.
    pub pages: usize,
    /// On how many it found the price.
    pub right: usize,
    /// On how many it found another one.
    pub wrong: usize,
}

/// A pattern as it was learnt, and how it did on the pages it was learnt from.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    /// The pattern; its metadata tells how sure it is.
    pub pattern: Pattern,
    pub trial: Trial,
    /// The mean confidence of its fields' primary selectors, times the share of pages on which the price was right.
    pub confidence: f64,
}

/// Most fallbacks of a field.
const MAX_FALLBACKS: usize = 3;
/// Most proposals for a field, over all pages.
const MAX_PROPOSALS: usize = 60;
/// Most elements of a page that selectors are made for.
const MAX_ELEMENTS: usize = 12;
/// Elements with more text than this, in characters, are no prices.
const MAX_TEXT_CHARS: usize = 80;
/// Ancestors that a selector may begin at.
const MAX_ANCESTORS: usize = 6;
/// The least share of pages on which a selector must be right.
const MIN_SHARE: f64 = 0.7;

/// The fields that are looked for, and where they mostly stand: method, selector, attribute, confidence.
type Place = (
    &'static str,
    Method,
    &'static str,
    Option<&'static str>,
    f64,
);
const PLACES: &[Place] = &[
    ("price", Method::JsonLd, "offers.price", None, 0.95),
    ("price", Method::JsonLd, "offers.lowPrice", None, 0.95),
    (
        "price",
        Method::JsonLd,
        "offers.priceSpecification.price",
        None,
        0.95,
    ),
    (
        "price",
        Method::JsonLd,
        "hasVariant.offers.price",
        None,
        0.9,
    ),
    (
        "price",
        Method::Css,
        "[itemprop=\"price\"][content]",
        Some("content"),
        0.95,
    ),
    (
        "price",
        Method::Css,
        "[data-price]",
        Some("data-price"),
        0.95,
    ),
    (
        "price",
        Method::Css,
        "[data-product-price]",
        Some("data-product-price"),
        0.95,
    ),
    (
        "price",
        Method::Css,
        "[data-price-amount]",
        Some("data-price-amount"),
        0.95,
    ),
    ("price", Method::Meta, "product:price:amount", None, 0.85),
    (
        "price",
        Method::Meta,
        "product:sale_price:amount",
        None,
        0.85,
    ),
    ("price", Method::Meta, "og:price:amount", None, 0.85),
    ("price", Method::Meta, "twitter:data1", None, 0.85),
    (
        "currency",
        Method::JsonLd,
        "offers.priceCurrency",
        None,
        0.95,
    ),
    (
        "currency",
        Method::Css,
        "[itemprop=\"priceCurrency\"][content]",
        Some("content"),
        0.95,
    ),
    (
        "currency",
        Method::Meta,
        "product:price:currency",
        None,
        0.85,
    ),
    ("currency", Method::Meta, "og:price:currency", None, 0.85),
    ("title", Method::JsonLd, "name", None, 0.95),
    ("title", Method::Meta, "og:title", None, 0.95),
    ("title", Method::Css, "h1", None, 0.85),
    (
        "availability",
        Method::JsonLd,
        "offers.availability",
        None,
        0.95,
    ),
    (
        "availability",
        Method::Css,
        "[itemprop=\"availability\"][href]",
        Some("href"),
        0.95,
    ),
    (
        "availability",
        Method::Meta,
        "product:availability",
        None,
        0.85,
    ),
    ("availability", Method::Css, "[class*=\"stock\"]", None, 0.8),
    (
        "availability",
        Method::Css,
        "[class*=\"availability\"]",
        None,
        0.8,
    ),
    ("availability", Method::Css, "[class*=\"lager\"]", None, 0.8),
    ("image", Method::Meta, "og:image", None, 0.95),
    ("image", Method::JsonLd, "image", None, 0.95),
    ("article_number", Method::JsonLd, "sku", None, 0.95),
    (
        "article_number",
        Method::Css,
        "[itemprop=\"sku\"]",
        None,
        0.95,
    ),
    ("model_number", Method::JsonLd, "mpn", None, 0.95),
];

/// Parts of names that prices go by.
const PRICE_NAMES: &[&str] = &[
    "price", "pris", "preis", "prix", "precio", "prezzo", "amount", "cost",
];

impl Trial {
    /// The share of pages on which the price was found, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        share(self.right, self.pages)
    }
}

impl Sample<'_> {
    fn hints(&self) -> Hints<'_> {
        Hints {
            currency: self.currency,
            language: self.page.language(),
            domain: self.url.host_str(),
            ..Hints::default()
        }
    }

    /// Whether a value is what the field holds on this page; `None` where that is not known.
    fn is_right(&self, field: &str, value: &str) -> Option<bool> {
        match field {
            "price" => {
                let known = self.price?;
                Some(price::parse(value, &self.hints()).is_some_and(|own| own.amount == known))
            }
            "currency" => {
                let known = self.currency?;
                Some(Currency::from_field(value, &self.hints()) == Some(known))
            }
            "availability" => {
                let known = self.availability?;
                Some(availability_of(value) == Some(known))
            }
            _ => Some(format_score(field, value, &self.hints()) > 0.0),
        }
    }
}

/// Tries a pattern on pages.
#[must_use]
pub fn test(pattern: &Pattern, samples: &[Sample<'_>]) -> Trial {
    let mut trial = Trial::default();
    for sample in samples.iter().filter(|sample| sample.price.is_some()) {
        trial.pages += 1;
        let fields = pattern.apply(sample.page, Some(sample.url));
        match fields.value("price") {
            Some(value) if sample.is_right("price", value) == Some(true) => trial.right += 1,
            Some(_) => trial.wrong += 1,
            None => {}
        }
    }
    trial
}

/// Learns a pattern from pages of the shop `domain`. `None` when nothing finds the price on most pages whose price is known.
///
/// The same pages in the same order give the same pattern.
#[must_use]
pub fn learn(domain: &str, samples: &[Sample<'_>]) -> Option<Learnt> {
    let readers: Vec<(Sample<'_>, Reader<'_>)> = samples
        .iter()
        .map(|sample| (*sample, Reader::new(sample.page, Some(sample.url))))
        .collect();
    let names: BTreeSet<&str> = PLACES.iter().map(|(field, ..)| *field).collect();
    let patterns: BTreeMap<String, FieldPattern> = names
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), best(field, &readers)?)))
        .collect();
    patterns.get("price")?;
    let primaries: Vec<f64> = patterns
        .values()
        .map(|field| field.primary.confidence)
        .collect();
    let mut pattern = Pattern {
        store_domain: domain.to_owned(),
        url: samples.first().map(|sample| sample.url.to_string()),
        patterns,
        metadata: Map::new(),
    };
    let trial = test(&pattern, samples);
    let mean = primaries.iter().sum::<f64>() / count(primaries.len()).max(1.0);
    let confidence = ((mean * trial.share()) * 100.0).round() / 100.0;
    pattern.metadata = metadata(&pattern, names.len(), confidence, trial);
    Some(Learnt {
        pattern,
        trial,
        confidence,
    })
}

fn metadata(pattern: &Pattern, total: usize, confidence: f64, trial: Trial) -> Map<String, Value> {
    let told = json!({
        "fields_found": pattern.patterns.len(),
        "total_fields": total,
        "overall_confidence": confidence,
        "validated_count": trial.right,
    });
    match told {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The best selectors of a field: right on most pages where that can be told, the surest first.
fn best(field: &str, readers: &[(Sample<'_>, Reader<'_>)]) -> Option<FieldPattern> {
    let mut tried: Vec<(f64, Selector)> = Vec::new();
    for mut selector in proposals(field, readers) {
        let (mut right, mut wrong, mut known) = (0, 0, 0);
        for (sample, reader) in readers {
            let value = reader.read_alone(&selector);
            if field == "price" && sample.price.is_none() {
                continue;
            }
            known += 1;
            match value.as_deref().map(|value| sample.is_right(field, value)) {
                Some(Some(true)) => {
                    right += 1;
                    selector.sample_value = selector.sample_value.or(value.map(Value::String));
                }
                Some(Some(false)) => wrong += 1,
                Some(None) | None => {}
            }
        }
        if wrong == 0 && right > 0 && share(right, known) >= MIN_SHARE {
            tried.push((share(right, known), selector));
        }
    }
    tried.sort_by(|(share, a), (other, b)| {
        other
            .total_cmp(share)
            .then(b.confidence.total_cmp(&a.confidence))
    });
    let mut selectors = tried.into_iter().map(|(_, selector)| selector);
    Some(FieldPattern {
        primary: selectors.next()?,
        fallbacks: selectors.take(MAX_FALLBACKS).collect(),
    })
}

/// Selectors to try for a field, each once.
fn proposals(field: &str, readers: &[(Sample<'_>, Reader<'_>)]) -> Vec<Selector> {
    let mut proposed: Vec<Selector> = PLACES
        .iter()
        .filter(|(name, ..)| *name == field)
        .map(|(_, method, text, attribute, confidence)| {
            selector(*method, text, *attribute, *confidence)
        })
        .collect();
    if field == "price" {
        for (sample, reader) in readers {
            for own in held_at(sample).into_iter().chain(shown_at(sample, reader)) {
                let is_new = proposed.iter().all(|known| known.selector != own.selector);
                if is_new && proposed.len() < MAX_PROPOSALS {
                    proposed.push(own);
                }
            }
        }
    }
    proposed
}

fn selector(method: Method, text: &str, attribute: Option<&str>, confidence: f64) -> Selector {
    Selector {
        method,
        selector: text.to_owned(),
        attribute: attribute.map(str::to_owned),
        confidence,
        post_process: Vec::new(),
        sample_value: None,
        json_path: None,
    }
}

/// Selectors for `data-` attributes that hold the known price.
fn held_at(sample: &Sample<'_>) -> Vec<Selector> {
    if sample.price.is_none() {
        return Vec::new();
    }
    sample
        .page
        .elements()
        .flat_map(|(_, element)| element.attrs())
        .filter(|(name, _)| name.starts_with("data-") && is_lasting(name))
        .filter(|(_, value)| {
            value.len() <= MAX_TEXT_CHARS && sample.is_right("price", value) == Some(true)
        })
        .map(|(name, _)| selector(Method::Css, &format!("[{name}]"), Some(name), 0.9))
        .take(MAX_ELEMENTS)
        .collect()
}

/// Selectors whose first match shows the known price, for the innermost elements that do.
fn shown_at(sample: &Sample<'_>, reader: &Reader<'_>) -> Vec<Selector> {
    if sample.price.is_none() {
        return Vec::new();
    }
    let mut elements: Vec<NodeRef<'_>> = sample
        .page
        .elements()
        .map(|(node, _)| node)
        .filter(|node| {
            shows_price(*node, sample) && !node.children().any(|child| shows_price(child, sample))
        })
        .take(MAX_ELEMENTS * 4)
        .collect();
    elements.sort_by_key(|node| !is_named_price(*node));
    elements.truncate(MAX_ELEMENTS);
    elements
        .into_iter()
        .flat_map(|node| {
            paths(node)
                .into_iter()
                .map(|path| selector(Method::Css, &path, None, 0.8))
                .filter(|own| {
                    let value = reader.read_alone(own);
                    value.is_some_and(|value| sample.is_right("price", &value) == Some(true))
                })
                .take(2)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn shows_price(node: NodeRef<'_>, sample: &Sample<'_>) -> bool {
    let Some(element) = node.value().as_element() else {
        return false;
    };
    if matches!(
        element.name(),
        "script" | "style" | "template" | "head" | "title" | "del" | "s"
    ) {
        return false;
    }
    let text = node_text(node, MAX_TEXT_CHARS + 1);
    text.bytes()
        .any(|byte| !byte.is_ascii() || byte.is_ascii_digit())
        && text.chars().count() <= MAX_TEXT_CHARS
        && sample.is_right("price", &text) == Some(true)
}

/// Whether the element, or one just around it, goes by a name that prices go by.
fn is_named_price(node: NodeRef<'_>) -> bool {
    std::iter::once(node)
        .chain(node.ancestors().take(2))
        .filter_map(|own| own.value().as_element())
        .flat_map(|element| {
            ["id", "class", "itemprop", "data-testid"]
                .into_iter()
                .filter_map(|name| element.attr(name))
        })
        .any(|value| {
            let value = value.to_ascii_lowercase();
            PRICE_NAMES.iter().any(|name| value.contains(name))
        })
}

/// Selectors that may lead to an element, the most durable first.
fn paths(node: NodeRef<'_>) -> Vec<String> {
    let mut paths = anchors(node);
    let own: Vec<String> = anchors(node).into_iter().chain(name(node)).collect();
    let mut position = String::new();
    let mut child = node;
    for ancestor in node.ancestors().take(MAX_ANCESTORS) {
        let above = anchors(ancestor);
        for anchor in &above {
            paths.extend(own.iter().map(|own| format!("{anchor} {own}")));
        }
        if let Some(step) = nth_child(child) {
            position = if position.is_empty() {
                step
            } else {
                format!("{step} > {position}")
            };
        }
        if let Some(anchor) = above.first() {
            paths.push(format!("{anchor} > {position}"));
        }
        child = ancestor;
    }
    paths.truncate(MAX_PROPOSALS);
    paths
}

/// Ways to name an element by itself: id, `data-` attributes, what it means, classes.
fn anchors(node: NodeRef<'_>) -> Vec<String> {
    let Some(element) = node.value().as_element() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if let Some(id) = element.attr("id").filter(|id| is_lasting(id)) {
        found.push(format!("#{id}"));
    }
    for (name, value) in element.attrs() {
        if (name.starts_with("data-") || name == "itemprop") && is_name(name) && is_lasting(value) {
            found.push(format!("[{name}=\"{value}\"]"));
        }
    }
    let mut classes: Vec<&str> = element
        .attr("class")
        .unwrap_or_default()
        .split_whitespace()
        .filter(|class| is_lasting(class))
        .collect();
    classes.sort_by_key(|class| {
        let class = class.to_ascii_lowercase();
        !PRICE_NAMES.iter().any(|name| class.contains(name))
    });
    found.extend(classes.into_iter().take(3).map(|class| format!(".{class}")));
    found
}

fn name(node: NodeRef<'_>) -> Option<String> {
    let name = node.value().as_element()?.name();
    is_name(name).then(|| name.to_owned())
}

fn nth_child(node: NodeRef<'_>) -> Option<String> {
    let before = node
        .prev_siblings()
        .filter(|sibling| sibling.value().is_element())
        .count();
    Some(format!("{}:nth-child({})", name(node)?, before + 1))
}

/// Whether a text is a plain name, which needs no escaping in a selector.
fn is_name(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a name was given by a person, as far as one can see, and will be there tomorrow.
fn is_lasting(text: &str) -> bool {
    let longest = |of: fn(char) -> bool| {
        text.split(|letter: char| !of(letter))
            .map(str::len)
            .max()
            .unwrap_or(0)
    };
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let hex = text
        .split(|letter: char| !letter.is_ascii_hexdigit())
        .filter(|run| run.bytes().any(|byte| byte.is_ascii_digit()))
        .map(str::len)
        .max()
        .unwrap_or(0);
    is_name(text) && letters > 3 && longest(|letter| letter.is_ascii_digit()) < 6 && hex < 8
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        count(part) / count(whole)
    }
}

/// Small numbers only.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url::parse("https://shop.example/kettle").unwrap()
    }

    /// What is learnt from these pages with their prices, and the price selectors of it.
    fn learnt(pages: &[(&str, Option<&str>)]) -> Option<(Learnt, Vec<String>)> {
        let parsed: Vec<Page> = pages.iter().map(|(html, _)| Page::parse(html)).collect();
        let url = url();
        let samples: Vec<Sample<'_>> = parsed
            .iter()
            .zip(pages)
            .map(|(page, (_, price))| Sample {
                page,
                url: &url,
                price: price.map(|price| price.parse().unwrap()),
                currency: Currency::from_code("NOK"),
                availability: None,
            })
            .collect();
        let learnt = learn("shop.example", &samples)?;
        let price = learnt.pattern.patterns.get("price").unwrap();
        let selectors = std::iter::once(&price.primary)
            .chain(&price.fallbacks)
            .map(|own| format!("{} {}", own.method.as_str(), own.selector))
            .collect();
        Some((learnt, selectors))
    }

    fn shown(price: &str) -> String {
        format!(
            "<html lang=nb><h1>Messingkjele</h1><p class=old>kr 2 000,00</p>
             <div class='product-box x1'><span class='amount k3f9a8b7c6d'>{price}</span></div>
             <footer><span>kr 49,00</span></footer></html>"
        )
    }

    #[test]
    fn structured_data_comes_before_selectors() {
        let page = |price: &str| {
            format!(
                r#"<meta property="product:price:amount" content="{price}"><script type="application/ld+json">
                {{"@type": "Product", "name": "Messingkjele", "offers": {{"price": "{price}", "priceCurrency": "NOK"}}}}</script>
                <h1>Messingkjele</h1><b class=price>{price} kr</b>"#
            )
        };
        let (one, two) = (page("1299.00"), page("49.90"));
        let (learnt, selectors) =
            learnt(&[(&one, Some("1299.00")), (&two, Some("49.90"))]).unwrap();
        assert_eq!(selectors.first().unwrap(), "jsonld offers.price");
        assert!(selectors.contains(&"meta product:price:amount".to_owned()));
        assert!(selectors.len() <= 1 + MAX_FALLBACKS);
        assert_eq!((learnt.trial.right, learnt.trial.pages), (2, 2));
        assert!(learnt.confidence > 0.9);
        let fields: Vec<&str> = learnt.pattern.patterns.keys().map(String::as_str).collect();
        assert_eq!(fields, ["currency", "price", "title"]);
        // What is stored can be read again.
        let json = serde_json::to_string(&learnt.pattern).unwrap();
        assert_eq!(Pattern::parse(&json).unwrap(), learnt.pattern);
    }

    #[test]
    fn selectors_avoid_generated_names_and_other_prices() {
        let (one, two) = (shown("kr 1 299,00"), shown("kr 899,50"));
        let (learnt, selectors) =
            learnt(&[(&one, Some("1299.00")), (&two, Some("899.50"))]).unwrap();
        assert_eq!(selectors.first().unwrap(), "css .amount");
        assert!(
            selectors
                .iter()
                .all(|own| !own.contains("k3f9") && !own.contains("x1")),
            "{selectors:?}"
        );
        assert_eq!(learnt.trial.right, 2);
    }

    /// PT-19: without a price there is no pattern, whatever else there is.
    #[test]
    fn without_a_price_there_is_no_pattern() {
        let page = shown("ring oss");
        assert_eq!(learnt(&[(&page, Some("10.00"))]), None);
        assert_eq!(learnt(&[(&shown("kr 10,00"), None)]), None);
        assert_eq!(learnt(&[]), None);
    }

    /// One selector that is right by chance on one page is wrong on the next.
    #[test]
    fn what_is_wrong_on_another_page_is_not_taken() {
        let page = |first: &str, second: &str| {
            format!("<div class=prices><b>{first} kr</b><i class=main>{second} kr</i></div>")
        };
        let (one, two) = (page("100", "100"), page("50", "70"));
        let (_, selectors) = learnt(&[(&one, Some("100")), (&two, Some("70"))]).unwrap();
        assert!(
            selectors.iter().all(|own| own.ends_with("i")
                || own.contains("main")
                || own.contains("nth-child(2)")),
            "{selectors:?}"
        );
    }

    #[test]
    fn names_are_told_from_generated_ones() {
        for (name, expected) in [
            ("product-price", true),
            ("price", true),
            ("css-1a2b3c4d5e", false),
            ("item-1234567", false),
            ("abc", false),
            ("x9", false),
            ("deadbeef", true),
            ("sc-d3adb33f", false),
            ("a b", false),
            ("price\"]", false),
            ("_price", false),
        ] {
            assert_eq!(is_lasting(name), expected, "{name}");
        }
    }

    #[test]
    fn a_pattern_is_tried_on_pages_with_known_prices_only() {
        let (one, two) = (shown("kr 10,00"), shown("kr 20,00"));
        let (learnt, _) = learnt(&[(&one, Some("10")), (&two, Some("20"))]).unwrap();
        let url = url();
        let pages = [
            Page::parse(&shown("kr 10,00")),
            Page::parse("<p>empty"),
            Page::parse(&shown("kr 11,00")),
            Page::parse(&shown("kr 12,00")),
        ];
        let samples: Vec<Sample<'_>> = pages
            .iter()
            .zip(["10", "10", "10", ""])
            .map(|(page, price)| Sample {
                page,
                url: &url,
                price: price.parse().ok(),
                currency: Currency::from_code("NOK"),
                availability: None,
            })
            .collect();
        assert_eq!(
            test(&learnt.pattern, &samples),
            Trial {
                pages: 3,
                right: 1,
                wrong: 1
            }
        );
    }
}
