//! Microdata and `RDFa` as the same trees of objects that JSON-LD gives.

use ego_tree::NodeId;
use ego_tree::iter::Edge;
use scraper::Node;
use scraper::node::Element;
use serde_json::{Map, Value};

use super::typography::price_text;
use crate::html::{Attributes, Page, ego::NodeRef, folded, node_text};

/// Longest text of a property, in characters.
const MAX_VALUE_CHARS: usize = 500;

/// Most items read from one page, and most properties of one item.
const MAX_ITEMS: usize = 2_000;

/// Properties that are amounts, whose cents may be told by typography alone.
const PRICES: [&str; 3] = ["price", "lowPrice", "highPrice"];

/// How items and properties are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// `itemscope`, `itemtype`, `itemprop`.
    Microdata,
    /// `typeof`, `property` (`RDFa` Lite).
    Rdfa,
}

impl Syntax {
    fn begins_item(self, element: &Element) -> bool {
        match self {
            Self::Microdata => {
                element.attribute("itemscope").is_some() || element.attribute("itemtype").is_some()
            }
            Self::Rdfa => element.attribute("typeof").is_some(),
        }
    }

    fn kind(self, element: &Element) -> &str {
        let attribute = match self {
            Self::Microdata => "itemtype",
            Self::Rdfa => "typeof",
        };
        element
            .attribute(attribute)
            .and_then(|kind| kind.split_ascii_whitespace().next())
            .unwrap_or_default()
    }

    fn properties(self, element: &Element) -> &str {
        let attribute = match self {
            Self::Microdata => "itemprop",
            Self::Rdfa => "property",
        };
        element.attribute(attribute).unwrap_or_default()
    }
}

struct Open {
    id: NodeId,
    /// The properties of the item around it that this item is.
    names: Vec<String>,
    object: Map<String, Value>,
}

/// Reads all items of a page, and as a last one without type the properties outside of any item.
pub(super) fn read(page: &Page, syntax: Syntax) -> (Vec<Value>, Map<String, Value>) {
    let mut roots = Vec::new();
    let mut loose = Map::new();
    let mut open: Vec<Open> = Vec::new();
    let mut left = MAX_ITEMS;
    for edge in page.document().tree.root().traverse() {
        match edge {
            Edge::Open(node) => {
                let Node::Element(element) = node.value() else {
                    continue;
                };
                let names: Vec<String> = syntax
                    .properties(element)
                    .split_ascii_whitespace()
                    .take(8)
                    .map(local_name)
                    .filter(|name| !name.is_empty())
                    .collect();
                if syntax.begins_item(element) && left > 0 {
                    left -= 1;
                    let mut object = Map::new();
                    object.insert("@type".to_owned(), syntax.kind(element).into());
                    open.push(Open {
                        id: node.id(),
                        names,
                        object,
                    });
                } else if !names.is_empty() {
                    let is_price = names.iter().any(|name| PRICES.contains(&name.as_str()));
                    let value = value_of(node, element, is_price);
                    let target = open.last_mut().map_or(&mut loose, |item| &mut item.object);
                    for name in names {
                        add(target, name, value.clone().into());
                    }
                }
            }
            Edge::Close(node) => {
                if open.last().is_some_and(|item| item.id == node.id())
                    && let Some(item) = open.pop()
                {
                    close(item, open.last_mut(), &mut roots);
                }
            }
        }
    }
    while let Some(item) = open.pop() {
        close(item, open.last_mut(), &mut roots);
    }
    (roots, loose)
}

fn close(item: Open, around: Option<&mut Open>, roots: &mut Vec<Value>) {
    let value = Value::Object(item.object);
    match around {
        // By its first name only: copies of copies would grow without bound.
        Some(around) if !item.names.is_empty() => {
            if let Some(name) = item.names.into_iter().next() {
                add(&mut around.object, name, value);
            }
        }
        // An item inside another that is no property of it stands for itself.
        _ => roots.push(value),
    }
}

/// Sets a property, or makes it a list.
fn add(object: &mut Map<String, Value>, name: String, value: Value) {
    match object.get_mut(&name) {
        None => {
            if object.len() < MAX_ITEMS {
                object.insert(name, value);
            }
        }
        Some(Value::Array(list)) => {
            if list.len() < MAX_ITEMS {
                list.push(value);
            }
        }
        Some(only) => {
            let first = only.take();
            *only = Value::Array(vec![first, value]);
        }
    }
}

/// `schema:price` and `http://schema.org/price` are `price`; what belongs to other vocabularies is
/// dropped.
fn local_name(name: &str) -> String {
    match name.split_once(':') {
        Some((
            "og" | "product" | "fb" | "twitter" | "article" | "al" | "rdfs" | "dc" | "music"
            | "video",
            _,
        )) => String::new(),
        _ => name
            .rsplit(['/', '#', ':'])
            .next()
            .unwrap_or(name)
            .to_owned(),
    }
}

/// The value as the microdata rules say, and `content` on any element.
fn value_of(node: NodeRef<'_>, element: &Element, is_price: bool) -> String {
    let attribute = match element.name() {
        "a" | "area" | "link" => Some("href"),
        "img" | "audio" | "video" | "source" | "iframe" | "embed" => Some("src"),
        "object" | "data" => Some("data"),
        "time" => Some("datetime"),
        "input" | "meter" => Some("value"),
        _ => None,
    };
    ["content", "resource"]
        .into_iter()
        .chain(attribute)
        .chain((element.name() == "data").then_some("value"))
        .find_map(|name| {
            element
                .attribute(name)
                .filter(|value| !value.trim().is_empty())
        })
        .map_or_else(
            || {
                if is_price {
                    price_text(node, MAX_VALUE_CHARS)
                } else {
                    node_text(node, MAX_VALUE_CHARS)
                }
            },
            |value| folded(value, MAX_VALUE_CHARS).unwrap_or_default(),
        )
}
