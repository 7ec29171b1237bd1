//! Finds the value of one selector on one page.

use std::collections::HashMap;

use scraper::ElementRef;
use serde_json::Value;
use url::Url;

use super::limits::{MAX_SELECTOR_BYTES, MAX_VALUE_CHARS};
use super::model::{Method, Selector};
use super::xpath;
use crate::html::{Page, ego::NodeRef, folded, node_text};
use crate::structured::{json_ld, script_text};

/// The most steps that a CSS selector may take on a page in the worst case.
const MAX_CSS_STEPS: u64 = 1_000_000_000;

/// Most JSON-LD objects looked into for one path.
const MAX_OBJECTS: usize = 10_000;

/// A page, and what of it several selectors need.
pub(super) struct Reader<'a> {
    page: &'a Page,
    base: Option<Url>,
    shape: Shape,
    json_ld: Vec<Value>,
}

/// How large a tree is, as far as a selector's cost depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    elements: u64,
    depth: u64,
    /// The longest list of children.
    siblings: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(page: &'a Page, url: Option<&Url>) -> Self {
        Self {
            page,
            base: url.map(|url| page.base_url(url)),
            shape: Shape::of(page),
            json_ld: json_ld(page),
        }
    }

    /// The value a selector yields, white space folded, after its steps; never empty.
    pub(super) fn read(&self, selector: &Selector) -> Option<String> {
        let attribute = selector.attribute.as_deref();
        let found = match selector.method {
            Method::Css => value_of(*self.css(&selector.selector)?, attribute),
            Method::Xpath => match xpath::first(&selector.selector, self.page)? {
                xpath::Found::Node(node) => value_of(node, attribute),
                xpath::Found::Text(text) => Some(text),
            },
            Method::JsonLd => self
                .json_ld
                .iter()
                .find_map(|block| at_path_in(block, &selector.selector)),
            Method::Meta => self.meta(&selector.selector),
            Method::Json => {
                let element = self.css(&selector.selector)?;
                let json = match attribute {
                    Some(name) => parse_json(element.attr(name)?),
                    None => parse_json(&script_text(*element)),
                };
                at_path(&json?, selector.json_path.as_deref().unwrap_or_default())
            }
        }?;
        let mut value = folded(&found, MAX_VALUE_CHARS)?;
        for step in &selector.post_process {
            value = folded(&step.apply(&value, self.base.as_ref())?, MAX_VALUE_CHARS)?;
        }
        Some(value)
    }

    /// The first match.
    fn css(&self, selector: &str) -> Option<ElementRef<'a>> {
        if steps(selector, self.shape)? > MAX_CSS_STEPS {
            return None;
        }
        let selector = scraper::Selector::parse(selector).ok()?;
        self.page.document().select(&selector).next()
    }

    fn meta(&self, name: &str) -> Option<String> {
        if name.contains('[') {
            return self.css(name)?.attr("content").map(str::to_owned);
        }
        ["property", "name"].iter().find_map(|attribute| {
            self.page
                .elements()
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

impl Shape {
    fn of(page: &Page) -> Self {
        let mut shape = Self {
            elements: 0,
            depth: 0,
            siblings: 0,
        };
        // Parents come before their children.
        let mut depths: HashMap<_, u64> = HashMap::new();
        let mut children: HashMap<_, u64> = HashMap::new();
        for (node, _) in page.elements() {
            let parent = node.parent().map(|parent| parent.id());
            let depth = 1 + parent.and_then(|id| depths.get(&id)).copied().unwrap_or(0);
            depths.insert(node.id(), depth);
            let count = children.entry(parent).or_default();
            *count += 1;
            shape.siblings = shape.siblings.max(*count);
            shape.depth = shape.depth.max(depth);
            shape.elements += 1;
        }
        shape
    }
}

/// How many steps a CSS selector may take on a page of this shape; `None` for one that is never tried.
///
/// Every element is compared with the selector. What looks at siblings (`~`, `:nth-…`, `…-of-type`) may go through all of them,
/// what stands in brackets (`:not(a b)`) may go up to the root, and each of these may be tried at every step of those around it.
/// `:has(…)` searches below every element and is not for pages that anybody may have written.
fn steps(selector: &str, shape: Shape) -> Option<u64> {
    let selector = selector.to_ascii_lowercase();
    if selector.len() > MAX_SELECTOR_BYTES || selector.contains(":has(") {
        return None;
    }
    let count = |part: &str| u32::try_from(selector.matches(part).count()).unwrap_or(u32::MAX);
    let among_siblings = count("~")
        .saturating_sub(count("~="))
        .saturating_add(count(":nth-"))
        .saturating_add(count("-of-type"));
    let in_brackets = [":not(", ":is(", ":where(", ":matches("]
        .iter()
        .map(|name| count(name))
        .sum();
    Some(
        shape
            .elements
            .saturating_mul(shape.siblings.max(1).saturating_pow(among_siblings))
            .saturating_mul(shape.depth.max(1).saturating_pow(in_brackets)),
    )
}

fn value_of(node: NodeRef<'_>, attribute: Option<&str>) -> Option<String> {
    match attribute {
        Some(name) => node.value().as_element()?.attr(name).map(str::to_owned),
        None => Some(node_text(node, MAX_VALUE_CHARS)),
    }
}

/// JSON in an attribute, perhaps escaped once more than it had to be.
fn parse_json(text: &str) -> Option<Value> {
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
fn at_path_in(block: &Value, path: &str) -> Option<String> {
    let mut open = vec![block];
    let mut left = MAX_OBJECTS;
    while let Some(value) = open.pop() {
        left = left.checked_sub(1)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_selector_grows_with_what_it_looks_at() {
        let shape = Shape {
            elements: 1_000,
            depth: 10,
            siblings: 100,
        };
        for (selector, expected) in [
            (".price", Some(1_000)),
            ("div > span.price a[href~=x]", Some(1_000)),
            ("li:nth-child(2)", Some(100_000)),
            ("a ~ b ~ c", Some(10_000_000)),
            ("p:not(.old)", Some(10_000)),
            ("p:not(a ~ b)", Some(1_000_000)),
            ("tr:HAS(td)", None),
        ] {
            assert_eq!(steps(selector, shape), expected, "{selector}");
        }
        assert_eq!(steps(&"a ".repeat(501), shape), None);
        assert_eq!(steps(&"~a".repeat(400), shape), Some(u64::MAX));
    }

    #[test]
    fn the_shape_is_measured() {
        let page = Page::parse("<ul><li>1<li>2<li>3<p><b></b></ul>");
        assert_eq!(
            Shape::of(&page),
            Shape {
                elements: 9,
                depth: 6,
                siblings: 3
            }
        );
    }
}
