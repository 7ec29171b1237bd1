//! Patterns: where on the pages of one shop a price, a title and so on stand, as data that is stored, versioned and tested.
//!
//! ```json
//! {"store_domain": "shop.example", "url": "https://shop.example/p/1",
//!  "patterns": {"price": {"primary": {"type": "css", "selector": ".price", "attribute": "data-price", "confidence": 0.95},
//!                         "fallbacks": [{"type": "jsonld", "selector": "offers.price", "confidence": 0.9}]}},
//!  "metadata": {"fields_found": 1}}
//! ```
//!
//! A field is what its first selector yields that yields anything: the primary one, then the fallbacks in order. A selector that
//! is wrong, too costly or finds nothing yields nothing; none can fail the page. One that is too costly for the page is given up,
//! and told ([`Fields::given_up`]): that is the pattern's fault, whatever the page. Types:
//!
//! - `css`: the first match; its `attribute`, or its text.
//! - `xpath`: the first node of a subset of `XPath` 1.0 (see [`xpath`]); its `attribute`, or its text; or a string.
//! - `jsonld`: a dotted path (`offers.price`) into the JSON-LD blocks; `@graph` and lists are looked into.
//! - `meta`: the `content` of the `<meta>` with this `property`, else `name`; with `[…]` in it, a CSS selector.
//! - `json`: the `attribute` (else the text) of the first match of a CSS selector, read as JSON, at `json_path`.
//!
//! Values have their white space folded. The steps of `post_process` are applied to them in order (see [`Step`]).

mod check;
mod css;
pub mod learn;
mod limits;
mod model;
mod post;
mod score;
mod select;
mod work;
pub mod xpath;

use url::Url;

pub use self::check::PatternError;
pub use self::limits::{
    MAX_FALLBACKS, MAX_FIELDS, MAX_PATTERN_BYTES, MAX_SELECTOR_BYTES, MAX_VALUE_CHARS,
};
pub use self::model::{Field, FieldPattern, Fields, GivenUp, Method, Pattern, Place, Selector};
pub use self::post::Step;
pub use self::score::format_score;
pub use self::work::{MAX_PATTERN_STEPS, MAX_SELECTOR_STEPS};

use self::select::{GaveUp, Reader};
use super::html::Page;

impl Pattern {
    /// Reads and checks a pattern.
    ///
    /// # Errors
    /// The first thing that is wrong, naming the field it is in.
    pub fn parse(json: &str) -> Result<Self, PatternError> {
        check::pattern(json)
    }

    /// Reads the fields of a page that was fetched from `url`.
    #[must_use]
    pub fn apply(&self, page: &Page, url: Option<&Url>) -> Fields {
        let reader = Reader::new(page, url);
        let mut given_up = Vec::new();
        let fields = self
            .patterns
            .iter()
            .map(|(name, field)| (name.clone(), field.read(name, &reader, &mut given_up)))
            .collect();
        Fields { fields, given_up }
    }
}

impl FieldPattern {
    fn read(&self, name: &str, reader: &Reader<'_>, given_up: &mut Vec<GivenUp>) -> Option<Field> {
        let places = std::iter::once(Place::Primary).chain((1..).map(Place::Fallback));
        let selectors = std::iter::once(&self.primary).chain(&self.fallbacks);
        for (place, selector) in places.zip(selectors) {
            match reader.read(selector) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    return Some(Field {
                        value,
                        method: selector.method,
                        confidence: selector.confidence,
                        selector: place,
                    });
                }
                Err(GaveUp) => given_up.push(GivenUp {
                    field: name.to_owned(),
                    selector: place,
                    text: selector.selector.clone(),
                }),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
