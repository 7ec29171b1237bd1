//! What a pattern consists of, and what it yields: the data alone.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::post::Step;

/// Where the fields of a shop's pages stand. Serialised, it is the JSON it was parsed from, without what is not known here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pattern {
    pub store_domain: String,
    /// The page it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Per field (`price`, `title`, `availability`, `image` …) where it stands.
    pub patterns: BTreeMap<String, FieldPattern>,
    /// Whatever its maker noted.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// Where one field stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldPattern {
    /// Tried first.
    pub primary: Selector,
    /// Tried in order when those before yield nothing.
    pub fallbacks: Vec<Selector>,
}

/// How a selector finds its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    Css,
    Xpath,
    /// A path into JSON-LD.
    JsonLd,
    /// The name of a `<meta>`.
    Meta,
    /// A path into JSON that stands in the page.
    Json,
}

impl Method {
    pub const ALL: [Self; 5] = [Self::Css, Self::Xpath, Self::JsonLd, Self::Meta, Self::Json];

    /// Returns the name in patterns and in what is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Css => "css",
            Self::Xpath => "xpath",
            Self::JsonLd => "jsonld",
            Self::Meta => "meta",
            Self::Json => "json",
        }
    }
}

/// One place to look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Selector {
    /// How it is read.
    #[serde(rename = "type")]
    pub method: Method,
    /// What is looked for.
    pub selector: String,
    /// The attribute that is the value, instead of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// From 0 to 1.
    pub confidence: f64,
    /// What is done with the value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_process: Vec<Step>,
    /// What it found when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_value: Option<Value>,
    /// For `json`: where in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
}

/// Which selector of a field yielded its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    Primary,
    /// The fallback of this number, from 1.
    Fallback(usize),
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Primary => serializer.serialize_str("primary"),
            Self::Fallback(number) => serializer.collect_str(&format_args!("fallback {number}")),
        }
    }
}

/// The value of one field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// Not empty.
    pub value: String,
    /// How it was found.
    pub method: Method,
    /// That of the selector.
    pub confidence: f64,
    /// Which selector it was.
    pub selector: Place,
}

/// What a pattern yields on one page.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fields {
    /// Every field of the pattern; `None` where no selector yielded anything.
    pub fields: BTreeMap<String, Option<Field>>,
    /// Selectors that cost more on this page than any selector may, in the order in which they were tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<GivenUp>,
}

/// A selector that was given up, because it costs too much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GivenUp {
    /// The field that it is for.
    pub field: String,
    /// Which of the field's selectors it is.
    pub selector: Place,
    /// What it looks for.
    pub text: String,
}

impl Fields {
    /// The value of a field, if it has one.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&str> {
        Some(self.fields.get(field)?.as_ref()?.value.as_str())
    }
}
