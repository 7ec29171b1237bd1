//! The places on a page that name a price.

use serde::Serialize;

use crate::price::{Amount, Currency};

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
    /// A selector the caller brought; never found by [`offer`](super::offer()) itself.
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
