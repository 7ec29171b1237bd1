//! What JSON-LD names by its `@id` elsewhere in the page.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Most objects walked in one page's data.
pub(super) const MAX_OBJECTS: usize = 100_000;

/// Most products looked at.
pub(super) const MAX_PRODUCTS: usize = 500;

/// Largest object put where its `@id` stands, roughly in bytes: it is copied for each.
const MAX_REFERENCED_BYTES: usize = 16 * 1024;

/// Types that are named by `@id` where they belong to a product.
const REFERENCED: &[&str] = &[
    "Offer",
    "AggregateOffer",
    "Brand",
    "PriceSpecification",
    "UnitPriceSpecification",
];

/// Puts the objects that are named by `@id` alone where they are named, in JSON-LD whose `@graph` is flat.
pub(in super::super) fn with_references(mut roots: Vec<Value>) -> Vec<Value> {
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
