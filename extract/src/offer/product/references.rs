//! What JSON-LD names by its `@id` elsewhere in the page.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Most objects walked in one page's data.
pub(super) const MAX_OBJECTS: usize = 100_000;

/// Most products looked at.
pub(super) const MAX_PRODUCTS: usize = 500;

/// Largest object put where its `@id` stands, roughly in bytes: it is copied for each.
const MAX_REFERENCED_BYTES: usize = 16 * 1024;

/// Most contexts and prefixes looked at.
const MAX_CONTEXTS: usize = 100;

/// Deepest lists in lists that are one list.
const MAX_LISTS: usize = 4;

/// Types that are named by `@id` where they belong to a product.
const REFERENCED: &[&str] = &[
    "Offer",
    "AggregateOffer",
    "Brand",
    "PriceSpecification",
    "UnitPriceSpecification",
];

/// Makes JSON-LD the tree that most pages write: with plain names, and with the objects that are named by `@id` alone put where they are
/// named, where its `@graph` is flat.
pub(in super::super) fn with_references(mut roots: Vec<Value>) -> Vec<Value> {
    for root in &mut roots {
        let prefixes = prefixes(root);
        put_plain_names(root, &prefixes);
    }
    let mut known = HashMap::new();
    let mut left = MAX_OBJECTS;
    for root in &roots {
        collect_named(root, &mut known, &mut left);
    }
    if known.is_empty() {
        return roots;
    }
    let mut copies = MAX_PRODUCTS;
    for root in &mut roots {
        put_references(root, &known, &mut copies, 0);
    }
    roots
}

/// The prefixes that the `@context` of a root defines for the names of schema.org, with those that everybody uses.
fn prefixes(root: &Value) -> Vec<String> {
    let mut found = vec!["schema".to_owned(), "sdo".to_owned()];
    let mut contexts: Vec<&Value> = match root {
        Value::Array(roots) => roots
            .iter()
            .filter_map(|root| root.get("@context"))
            .collect(),
        root => root.get("@context").into_iter().collect(),
    };
    while let Some(context) = contexts.pop() {
        match context {
            Value::Array(list) if contexts.len() < MAX_CONTEXTS => contexts.extend(list),
            Value::Object(terms) => found.extend(
                terms
                    .iter()
                    .filter(|(_, meaning)| {
                        meaning.as_str().is_some_and(|meaning| {
                            meaning.ends_with("schema.org/") || meaning.ends_with("schema.org#")
                        })
                    })
                    .map(|(term, _)| term.clone())
                    .take(MAX_CONTEXTS),
            ),
            _ => {}
        }
    }
    found
}

/// The plain form of a name of schema.org that is written with a prefix or as an address.
fn plain_name<'a>(name: &'a str, prefixes: &[String]) -> Option<&'a str> {
    let (before, after) = name.split_once(':')?;
    if prefixes.iter().any(|prefix| prefix == before) {
        return Some(after);
    }
    let address = after.strip_prefix("//")?;
    let path = address.strip_prefix("www.").unwrap_or(address);
    matches!(before, "http" | "https")
        .then(|| path.strip_prefix("schema.org/"))
        .flatten()
}

/// Gives all properties their plain names. What a plain name says already stays.
fn put_plain_names(value: &mut Value, prefixes: &[String]) {
    match value {
        Value::Array(values) => {
            for value in values {
                put_plain_names(value, prefixes);
            }
        }
        Value::Object(object) => {
            if object
                .keys()
                .any(|name| plain_name(name, prefixes).is_some())
            {
                for (name, value) in std::mem::take(object) {
                    let plain = plain_name(&name, prefixes).map(str::to_owned);
                    object.entry(plain.unwrap_or(name)).or_insert(value);
                }
            }
            for value in object.values_mut() {
                put_plain_names(value, prefixes);
            }
        }
        _ => {}
    }
}

/// Offers, brands and prices by their `@id`.
fn collect_named(root: &Value, known: &mut HashMap<String, Value>, left: &mut usize) {
    let mut stack = vec![root];
    while let Some(value) = stack.pop() {
        *left = left.saturating_sub(1);
        if *left == 0 {
            return;
        }
        match value {
            Value::Array(values) => stack.extend(values),
            Value::Object(object) => {
                if object.len() > 1
                    && has_type(object, REFERENCED)
                    && let Some(Value::String(id)) = object.get("@id")
                    && bytes_left(value, MAX_REFERENCED_BYTES).is_some()
                {
                    known.entry(id.clone()).or_insert_with(|| value.clone());
                }
                stack.extend(
                    object
                        .values()
                        .filter(|value| value.is_object() || value.is_array()),
                );
            }
            _ => {}
        }
    }
}

/// What a value leaves of so many bytes, roughly as it is written.
fn bytes_left(value: &Value, left: usize) -> Option<usize> {
    let left = left.checked_sub(8)?;
    match value {
        Value::String(text) => left.checked_sub(text.len()),
        Value::Array(values) => values
            .iter()
            .try_fold(left, |left, value| bytes_left(value, left)),
        Value::Object(object) => object.iter().try_fold(left, |left, (key, value)| {
            bytes_left(value, left.checked_sub(key.len())?)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(left),
    }
}

fn put_references(
    value: &mut Value,
    known: &HashMap<String, Value>,
    copies: &mut usize,
    depth: usize,
) {
    if depth > 20 || *copies == 0 {
        return;
    }
    match value {
        Value::Array(values) => {
            for value in values {
                put_references(value, known, copies, depth + 1);
            }
        }
        Value::Object(object) => {
            if object.len() == 1
                && let Some(Value::String(id)) = object.get("@id")
            {
                if let Some(named) = known.get(id) {
                    *copies -= 1;
                    *value = named.clone();
                }
                return;
            }
            for value in object.values_mut() {
                put_references(value, known, copies, depth + 1);
            }
        }
        _ => {}
    }
}

/// The last part of a name that may be an address or have a prefix.
pub(super) fn local_name(name: &str) -> &str {
    name.rsplit(['/', '#', ':']).next().unwrap_or(name)
}

/// Whether an object is of one of these types.
pub(super) fn has_type(object: &Map<String, Value>, types: &[&str]) -> bool {
    let is_one = |name: &str| {
        let name = local_name(name.trim());
        types.iter().any(|kind| kind.eq_ignore_ascii_case(name))
    };
    match object.get("@type") {
        Some(Value::String(name)) => is_one(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is_one),
        _ => false,
    }
}

/// The objects of a property, whether it has one or a list; lists in lists are one (JSON-LD 1.1, sets), and so is `@list`.
pub(super) fn objects(value: Option<&Value>) -> Vec<&Map<String, Value>> {
    fn collect<'a>(value: &'a Value, depth: usize, out: &mut Vec<&'a Map<String, Value>>) {
        match value {
            Value::Array(values) if depth < MAX_LISTS => {
                for value in values {
                    collect(value, depth + 1, out);
                }
            }
            Value::Object(object) => {
                let inner = ["@list", "@set"].iter().find_map(|key| object.get(*key));
                match inner {
                    Some(list) if depth < MAX_LISTS => collect(list, depth + 1, out),
                    _ => out.push(object),
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Some(value) = value {
        collect(value, 0, &mut found);
    }
    found
}
