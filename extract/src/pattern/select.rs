//! Finds the value of one selector on one page.

use std::cell::Cell;

use serde_json::Value;
use url::Url;

use super::css;
use super::limits::MAX_VALUE_CHARS;
use super::model::{Method, Selector};
use super::work::{MAX_PATTERN_STEPS, MAX_SELECTOR_STEPS, Work};
use super::xpath;
use crate::html::{Page, ego::NodeRef, folded, node_text};
use crate::structured::{json_ld, script_text};

/// Most JSON-LD objects looked into for one path.
const MAX_OBJECTS: usize = 10_000;

/// Bytes of JSON that are read in a step.
const JSON_BYTES_PER_STEP: usize = 1;

/// What one object of JSON-LD costs to look into.
const OBJECT_STEPS: u64 = 4;

/// A page, and what of it several selectors need.
pub(super) struct Reader<'a> {
    page: &'a Page,
    base: Option<Url>,
    json_ld: Vec<Value>,
    /// Steps that the selectors have left together.
    left: Cell<u64>,
}

/// A selector has used up its budget, or that of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GaveUp;

impl<'a> Reader<'a> {
    pub(super) fn new(page: &'a Page, url: Option<&Url>) -> Self {
        Self {
            page,
            base: url.map(|url| page.base_url(url)),
            json_ld: json_ld(page),
            left: Cell::new(MAX_PATTERN_STEPS),
        }
    }

    /// The value a selector yields, white space folded, after its steps; never empty.
    pub(super) fn read(&self, selector: &Selector) -> Result<Option<String>, GaveUp> {
        let steps = self.left.get().min(MAX_SELECTOR_STEPS);
        let work = Work::new(steps);
        let value = self.value(selector, &work);
        self.left.set(self.left.get() - (steps - work.left()));
        if work.is_used_up() {
            return Err(GaveUp);
        }
        Ok(value)
    }

    /// The same of a selector that is tried by itself: what others have cost does not matter, and one that costs too much has
    /// found nothing.
    pub(super) fn read_alone(&self, selector: &Selector) -> Option<String> {
        let work = Work::new(MAX_SELECTOR_STEPS);
        self.value(selector, &work).filter(|_| !work.is_used_up())
    }

    fn value(&self, selector: &Selector, work: &Work) -> Option<String> {
        let attribute = selector.attribute.as_deref();
        let found = match selector.method {
            Method::Css => value_of(
                *css::first(&selector.selector, self.page, work)?,
                attribute,
                work,
            ),
            Method::Xpath => match xpath::first(&selector.selector, self.page, work)? {
                xpath::Found::Node(node) => value_of(node, attribute, work),
                xpath::Found::Text(text) => Some(text),
            },
            Method::JsonLd => self
                .json_ld
                .iter()
                .find_map(|block| at_path_in(block, &selector.selector, work)),
            Method::Meta => self.meta(&selector.selector, work),
            Method::Json => {
                let element = css::first(&selector.selector, self.page, work)?;
                let json = match attribute {
                    Some(name) => parse_json(element.attr(name)?, work),
                    None => parse_json(&script_text(*element), work),
                };
                at_path(&json?, selector.json_path.as_deref().unwrap_or_default())
            }
        }?;
        let mut value = folded(&found, MAX_VALUE_CHARS)?;
        for step in &selector.post_process {
            value = folded(
                &step.apply(&value, self.base.as_ref(), work)?,
                MAX_VALUE_CHARS,
            )?;
        }
        Some(value)
    }

    fn meta(&self, name: &str, work: &Work) -> Option<String> {
        if name.contains('[') {
            let found = css::first(name, self.page, work)?;
            return found.attr("content").map(str::to_owned);
        }
        ["property", "name"].iter().find_map(|attribute| {
            self.page
                .elements()
                .take_while(|_| work.spend(1))
                .filter(|(_, element)| element.name() == "meta")
                .filter(|(_, element)| {
                    element
                        .attr(attribute)
                        .is_some_and(|value| value.trim().eq_ignore_ascii_case(name))
                })
                .find_map(|(_, element)| element.attr("content"))
                .map(str::to_owned)
        })
    }
}

fn value_of(node: NodeRef<'_>, attribute: Option<&str>, work: &Work) -> Option<String> {
    match attribute {
        Some(name) => node.value().as_element()?.attr(name).map(str::to_owned),
        None => {
            // At the most all of it is gone through.
            let below = node.descendants().count();
            work.spend_bytes(below, 4)
                .then(|| node_text(node, MAX_VALUE_CHARS))
        }
    }
}

/// JSON in an attribute, perhaps escaped once more than it had to be.
fn parse_json(text: &str, work: &Work) -> Option<Value> {
    if !work.spend_bytes(text.len(), JSON_BYTES_PER_STEP) {
        return None;
    }
    serde_json::from_str(text).ok().or_else(|| {
        let text = text
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        serde_json::from_str(&text).ok()
    })
}

/// The value at a path in a block of JSON-LD: in the block, in each item of a list, in each member of a `@graph`.
fn at_path_in(block: &Value, path: &str, work: &Work) -> Option<String> {
    let mut open = vec![block];
    let mut left = MAX_OBJECTS;
    while let Some(value) = open.pop() {
        left = left.checked_sub(1)?;
        if !work.spend(OBJECT_STEPS) {
            return None;
        }
        match value {
            Value::Array(items) => open.extend(items.iter().rev()),
            Value::Object(object) => {
                if let Some(found) = at_path(value, path) {
                    return Some(found);
                }
                open.extend(object.get("@graph"));
            }
            _ => {}
        }
    }
    None
}

/// The value at a dotted path; of a list the first item, unless the path gives its number.
fn at_path(value: &Value, path: &str) -> Option<String> {
    let mut value = value;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        value = match value {
            Value::Array(items) => match name.parse::<usize>() {
                Ok(index) => items.get(index)?,
                Err(_) => items.first()?.get(name)?,
            },
            other => other.get(name)?,
        };
    }
    if let Value::Array(items) = value {
        value = items.first()?;
    }
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
    .filter(|text| !text.trim().is_empty())
}
