//! The structure check: from JSON that anybody may have written to a [`Pattern`], or the name of the field that is wrong.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::limits::{MAX_FALLBACKS, MAX_FIELDS, MAX_PATTERN_BYTES, MAX_SELECTOR_BYTES};
use super::model::{FieldPattern, Method, Pattern, Selector};
use super::post::Step;

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It is longer than [`MAX_PATTERN_BYTES`].
    #[error("the pattern has {bytes} bytes, more than {MAX_PATTERN_BYTES}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is not JSON.
    #[error("the pattern is not json")]
    NotJson(#[source] serde_json::Error),
    /// A field is missing.
    #[error("{field} is missing")]
    Missing {
        /// The path of the field, as `patterns.price.primary.type`.
        field: String,
    },
    /// A field is not what it has to be.
    #[error("{field} must be {wanted}")]
    Wrong {
        /// The path of the field.
        field: String,
        /// What would be right.
        wanted: String,
    },
}

pub(super) fn pattern(json: &str) -> Result<Pattern, PatternError> {
    if json.len() > MAX_PATTERN_BYTES {
        return Err(PatternError::TooLong { bytes: json.len() });
    }
    let value: Value = serde_json::from_str(json).map_err(PatternError::NotJson)?;
    let root = Node::root(&value)?;
    let patterns = root.child("patterns")?;
    let fields = patterns.object()?;
    if fields.is_empty() || fields.len() > MAX_FIELDS {
        return Err(patterns.wrong(format!("an object with 1 to {MAX_FIELDS} fields")));
    }
    let mut read = BTreeMap::new();
    for name in fields.keys() {
        if name.is_empty() || name.len() > 100 {
            return Err(patterns.wrong("an object whose fields have names of 1 to 100 bytes"));
        }
        read.insert(name.clone(), field(&patterns.child(name)?)?);
    }
    Ok(Pattern {
        store_domain: root.child("store_domain")?.text(253)?,
        url: root
            .optional("url")
            .map(|url| url.text(2_048))
            .transpose()?,
        patterns: read,
        metadata: match root.optional("metadata") {
            Some(metadata) => metadata.object()?.clone(),
            None => Map::new(),
        },
    })
}

fn field(node: &Node<'_>) -> Result<FieldPattern, PatternError> {
    let primary = selector(&node.child("primary")?)?;
    let fallbacks = match node.optional("fallbacks") {
        Some(list) => list.items(MAX_FALLBACKS)?,
        None => Vec::new(),
    };
    Ok(FieldPattern {
        primary,
        fallbacks: fallbacks.iter().map(selector).collect::<Result<_, _>>()?,
    })
}

fn selector(node: &Node<'_>) -> Result<Selector, PatternError> {
    let kind = node.child("type")?;
    let method = Method::ALL
        .into_iter()
        .find(|method| kind.value.as_str() == Some(method.as_str()))
        .ok_or_else(|| kind.wrong("css, xpath, jsonld, meta or json"))?;
    let place = node.child("selector")?;
    let selector = place.text(MAX_SELECTOR_BYTES)?;
    let is_dotted = |path: &str| {
        path.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
    };
    if method == Method::JsonLd && !is_dotted(&selector) {
        return Err(place.wrong("a dotted path of letters, digits and underscores"));
    }
    let number = node.child("confidence")?;
    let confidence = number
        .value
        .as_f64()
        .filter(|value| (0.0..=1.0).contains(value))
        .ok_or_else(|| number.wrong("a number from 0 to 1"))?;
    let text = |name: &str| {
        node.optional(name)
            .map(|child| child.text(MAX_SELECTOR_BYTES))
            .transpose()
    };
    Ok(Selector {
        method,
        selector,
        attribute: text("attribute")?,
        confidence,
        post_process: match node.optional("post_process") {
            Some(steps) => steps_of(&steps)?,
            None => Vec::new(),
        },
        sample_value: node
            .optional("sample_value")
            .map(|child| child.value.clone()),
        json_path: text("json_path")?,
    })
}

/// One step, or a list of them.
fn steps_of(node: &Node<'_>) -> Result<Vec<Step>, PatternError> {
    let step = |node: &Node<'_>| Step::read(node.value).ok_or_else(|| node.wrong(Step::KNOWN));
    if node.value.is_array() {
        node.items(MAX_FALLBACKS)?.iter().map(step).collect()
    } else {
        Ok(vec![step(node)?])
    }
}

/// A value and the path to it, for the error.
struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    fn root(value: &'a Value) -> Result<Self, PatternError> {
        let root = Self {
            value,
            path: "the pattern".to_owned(),
        };
        root.object()?;
        Ok(Self {
            path: String::new(),
            ..root
        })
    }

    fn wrong(&self, wanted: impl Into<String>) -> PatternError {
        PatternError::Wrong {
            field: self.path.clone(),
            wanted: wanted.into(),
        }
    }

    fn below(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn object(&self) -> Result<&'a Map<String, Value>, PatternError> {
        self.value
            .as_object()
            .ok_or_else(|| self.wrong("an object"))
    }

    /// A child that may be missing, or null, which is as good.
    fn optional(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Self {
            value,
            path: self.below(name),
        })
    }

    fn child(&self, name: &str) -> Result<Self, PatternError> {
        self.object()?;
        self.optional(name).ok_or_else(|| PatternError::Missing {
            field: self.below(name),
        })
    }

    fn items(&self, most: usize) -> Result<Vec<Self>, PatternError> {
        let items = self
            .value
            .as_array()
            .filter(|items| items.len() <= most)
            .ok_or_else(|| self.wrong(format!("a list of at most {most}")))?;
        let child = |(index, value): (usize, &'a Value)| Self {
            value,
            path: self.below(&index.to_string()),
        };
        Ok(items.iter().enumerate().map(child).collect())
    }

    fn text(&self, most_bytes: usize) -> Result<String, PatternError> {
        self.value
            .as_str()
            .map(str::trim)
            .filter(|text| !text.is_empty() && text.len() <= most_bytes)
            .map(str::to_owned)
            .ok_or_else(|| self.wrong(format!("a text of 1 to {most_bytes} bytes")))
    }
}
