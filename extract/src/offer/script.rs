//! Products in the state that shops' scripts carry: framework state, analytics, product JSON.
//!
//! There is no standard. An object counts as the page's product if it has a price and a name much
//! like the page's own, or the page's address; what says nothing about which product it is, is left.

use memchr::memmem;
use serde_json::{Map, Value};

use super::availability::{Availability, availability_of};
use super::name::same_page;
use super::product::{Context, Product, amount, valid_gtin};
use crate::html::{Attributes, Page};
use crate::price::{Amount, Currency};
use crate::structured::{Literal, literal, roots, script_text};

/// Most scripts looked at.
const MAX_SCRIPTS: usize = 300;

/// Most literals read from one script.
const MAX_LITERALS: usize = 30;

/// Most objects walked in all.
const MAX_OBJECTS: usize = 150_000;

/// Most variants whose availability is asked.
const MAX_VARIANTS: usize = 500;

/// The least likeness of a name to the page's.
const MIN_LIKENESS: f32 = 0.7;

const NAMES: &[&str] = &[
    "name",
    "title",
    "productName",
    "product_name",
    "item_name",
    "displayName",
    "productTitle",
    "content_name",
    "product_title",
    "ProductName",
    "fullName",
];

const PRICES: &[&str] = &[
    "salePrice",
    "sale_price",
    "currentPrice",
    "current_price",
    "finalPrice",
    "final_price",
    "specialPrice",
    "offerPrice",
    "sellingPrice",
    "discountedPrice",
    "priceWithTax",
    "price",
    "Price",
    "product_price",
    "productPrice",
    "item_price",
    "value",
    "price_amount",
    "priceAmount",
    "amount",
    "centAmount",
    "priceInCents",
    "minPrice",
    "min",
    "lowPrice",
    "current",
    "sale",
    "final",
    "now",
];

const CURRENCIES: &[&str] = &[
    "currency",
    "currencyCode",
    "priceCurrency",
    "currency_code",
    "currencyISOCode",
    "currencyIso",
    "Currency",
];

const LIST_PRICES: &[&str] = &[
    "compare_at_price",
    "compareAtPrice",
    "listPrice",
    "list_price",
    "regularPrice",
    "regular_price",
    "originalPrice",
    "original_price",
    "wasPrice",
    "msrp",
    "rrp",
    "basePrice",
];

/// Keys of a former price in an object of prices.
const INNER_LIST_PRICES: &[&str] = &[
    "regular",
    "original",
    "was",
    "list",
    "compareAt",
    "previous",
    "old",
    "strikethrough",
];

const BRANDS: &[&str] = &["brand", "item_brand", "vendor", "brandName", "manufacturer"];

/// Keys of amounts in hundredths, where the currency has them.
const CENTS: &[&str] = &["centAmount", "priceInCents", "price_cents"];

/// The page's product in its scripts, if one is told from others.
pub(super) fn of_page(page: &Page, context: &Context<'_>) -> Option<Product> {
    let mut best: Option<(f32, Product)> = None;
    let mut left = MAX_OBJECTS;
    let mut page_currency = None;
    let mut is_shopify = false;
    let scripts = page
        .elements()
        .filter(|(_, element)| element.name() == "script" && element.attribute("src").is_none())
        .filter(|(_, element)| {
            !element
                .attribute("type")
                .is_some_and(|kind| kind.contains("ld+json"))
        })
        .take(MAX_SCRIPTS);
    for (node, element) in scripts {
        let text = script_text(node);
        let bytes = text.as_bytes();
        is_shopify = is_shopify || memmem::find(bytes, b"Shopify.").is_some();
        if page_currency.is_none() {
            page_currency = shop_currency(&text);
        }
        let has_price =
            memmem::find(bytes, b"rice").is_some() || memmem::find(bytes, b"ViewContent").is_some();
        if !has_price || left == 0 {
            continue;
        }
        let is_json = element
            .attribute("type")
            .is_some_and(|kind| kind.contains("json"));
        let values = if is_json {
            roots(&text)
        } else {
            literals(&text)
        };
        for value in &values {
            walk(value, context, &mut left, &mut best, is_shopify);
        }
    }
    let (_, mut product) = best?;
    product.currency = product.currency.or(page_currency);
    Some(product)
}

/// The currency that a shop's script sets for the whole page.
fn shop_currency(script: &str) -> Option<Currency> {
    [
        "Shopify.currency",
        "\"currency_code\"",
        "\"currencyCode\"",
        "\"currency\"",
        "currency:",
    ]
    .iter()
    .find_map(|mark| {
        let at = memmem::find(script.as_bytes(), mark.as_bytes())? + mark.len();
        let rest: String = script.get(at..)?.chars().take(40).collect();
        rest.split(|c: char| !c.is_ascii_uppercase())
            .find(|part| part.len() == 3)
            .and_then(Currency::from_code)
    })
}

/// The literals of a script that may hold a product: what is assigned or handed to a call.
fn literals(script: &str) -> Vec<Value> {
    let bytes = script.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while found.len() < MAX_LITERALS {
        let Some(next) = bytes
            .get(at..)
            .and_then(|rest| memchr::memchr2(b'{', b'[', rest))
            .map(|next| at + next)
        else {
            break;
        };
        let before = bytes
            .get(..next)
            .unwrap_or_default()
            .iter()
            .rev()
            .find(|byte| !byte.is_ascii_whitespace());
        // After `=`, `(`, `,` or `:` a brace begins a literal, elsewhere a block of code.
        let is_literal = matches!(before, Some(b'=' | b'(' | b',' | b':'));
        let opens_data = bytes
            .get(next + 1..)
            .unwrap_or_default()
            .iter()
            .find(|byte| !byte.is_ascii_whitespace())
            .is_some_and(|byte| {
                matches!(byte, b'"' | b'\'' | b'{' | b'[' | b'_') || byte.is_ascii_alphabetic()
            });
        if !is_literal || !opens_data {
            at = next + 1;
            continue;
        }
        let Literal { value, end } = literal(script, next);
        let text = bytes.get(next..end).unwrap_or_default();
        if memmem::find(text, b"rice").is_some() || memmem::find(text, b"value").is_some() {
            found.extend(value);
        }
        at = end.max(next + 1);
    }
    found
}

/// Visits every object; keeps the one most like the page's product.
fn walk(
    root: &Value,
    context: &Context<'_>,
    left: &mut usize,
    best: &mut Option<(f32, Product)>,
    is_shopify: bool,
) {
    let mut stack = vec![(root, None)];
    while let Some((value, currency)) = stack.pop() {
        *left = left.saturating_sub(1);
        if *left == 0 {
            return;
        }
        match value {
            Value::Array(values) => {
                stack.extend(values.iter().rev().map(|value| (value, currency)));
            }
            Value::Object(object) => {
                let currency = currency_of(object, context).or(currency);
                if let Some((worth, product)) = product_of(object, currency, context, is_shopify)
                    && best.as_ref().is_none_or(|(known, _)| worth > *known)
                {
                    *best = Some((worth, product));
                }
                stack.extend(
                    object
                        .values()
                        .filter(|value| value.is_object() || value.is_array())
                        .map(|value| (value, currency)),
                );
            }
            _ => {}
        }
    }
}

fn currency_of(object: &Map<String, Value>, context: &Context<'_>) -> Option<Currency> {
    CURRENCIES
        .iter()
        .find_map(|key| object.get(*key)?.as_str())
        .and_then(|text| Currency::from_field(text, &context.hints))
}

fn text<'a>(object: &'a Map<String, Value>, keys: &[&str]) -> Option<&'a str> {
    keys.iter()
        .find_map(|key| object.get(*key)?.as_str())
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

/// The former price of an object, or of the object around its price.
fn list_price_of(
    object: &Map<String, Value>,
    currency: Option<Currency>,
    context: &Context<'_>,
) -> Option<Amount> {
    let read = |value: &Value| match value {
        Value::Object(inner) => price_of(inner, currency, context, 2).map(|(amount, _)| amount),
        other => amount(other, currency, &context.hints),
    };
    let own = LIST_PRICES.iter().find_map(|key| read(object.get(*key)?));
    let beside = || {
        ["price", "prices", "pricing", "priceInfo"]
            .iter()
            .filter_map(|key| object.get(*key)?.as_object())
            .find_map(|inner| {
                LIST_PRICES
                    .iter()
                    .chain(INNER_LIST_PRICES)
                    .find_map(|key| read(inner.get(*key)?))
            })
    };
    // A sale's price stands beside the usual one.
    let usual = || {
        ["salePrice", "sale_price", "specialPrice", "discountedPrice"]
            .iter()
            .any(|key| object.get(*key).is_some_and(|sale| !sale.is_null()))
            .then(|| object.get("price"))
            .flatten()
            .and_then(read)
    };
    own.or_else(beside).or_else(usual)
}

/// Whether an object, or one in it, says that it can be bought.
fn availability_in(object: &Map<String, Value>, depth: usize) -> Option<Availability> {
    [
        "available",
        "inStock",
        "in_stock",
        "isAvailable",
        "availability",
        "stockStatus",
        "availabilityStatus",
        "isInStock",
        "stock",
    ]
    .iter()
    .find_map(|key| match object.get(*key)? {
        Value::Bool(true) => Some(Availability::InStock),
        Value::Bool(false) => Some(Availability::OutOfStock),
        Value::String(text) => availability_of(text),
        Value::Object(inner) if depth == 0 => availability_in(inner, 1),
        _ => None,
    })
}

/// Whether any of an object's variants can be bought.
fn availability_of_variants(object: &Map<String, Value>) -> Option<Availability> {
    let known: Vec<Availability> = object
        .get("variants")?
        .as_array()?
        .iter()
        .take(MAX_VARIANTS)
        .filter_map(|variant| availability_in(variant.as_object()?, 0))
        .collect();
    let available = known.iter().find(|one| one.is_available());
    available.or(known.first()).copied()
}

/// Reads an object as a product, with how much it is like the page's.
fn product_of(
    object: &Map<String, Value>,
    currency: Option<Currency>,
    context: &Context<'_>,
    is_shopify: bool,
) -> Option<(f32, Product)> {
    // Most objects are no products; comparing names is the dear part.
    let may_have_price = object.keys().any(|key| {
        key.as_bytes().windows(4).any(|part| part == b"rice")
            || matches!(
                key.as_str(),
                "value"
                    | "amount"
                    | "offers"
                    | "items"
                    | "variants"
                    | "pricing"
                    | "defaultVariant"
                    | "masterVariant"
                    | "selectedVariant"
                    | "selectedOrFirstAvailableVariant"
            )
    });
    if !may_have_price {
        return None;
    }
    let name = text(object, NAMES);
    let likeness = name.map_or(0.0, |name| context.names.sameness(name));
    let is_here = text(
        object,
        &[
            "url",
            "link",
            "href",
            "canonicalUrl",
            "handle",
            "slug",
            "urlKey",
        ],
    )
    .is_some_and(|address| {
        context.url.is_some_and(|url| {
            same_page(address, url)
                || address.len() > 3
                    && url
                        .path_segments()
                        .and_then(|mut segments| segments.next_back())
                        == Some(address)
        })
    });
    if likeness < MIN_LIKENESS && !is_here {
        return None;
    }
    let (price, own_currency) = price_of(object, currency, context, 0)?;
    let in_cents = is_cents(object, is_shopify, price);
    let scaled = |amount: Amount| {
        if in_cents {
            amount.hundredth()
        } else {
            Some(amount)
        }
    };
    let list_price = list_price_of(object, currency, context)
        .and_then(scaled)
        .filter(|list| Some(*list) > scaled(price));
    let available = availability_in(object, 0).or_else(|| availability_of_variants(object));
    let worth =
        likeness + if is_here { 1.0 } else { 0.0 } + if own_currency.is_some() { 0.2 } else { 0.0 };
    let product = Product {
        title: name.map(str::to_owned),
        price: scaled(price),
        currency: own_currency,
        list_price,
        availability: available,
        // `gid://…` is the shop system's own.
        sku: text(object, &["sku", "item_id", "productId", "id"])
            .filter(|sku| !sku.contains("://"))
            .map(str::to_owned),
        gtin: text(object, &["gtin", "gtin13", "ean", "barcode", "upc"]).and_then(valid_gtin),
        brand: text(object, BRANDS)
            .or_else(|| {
                BRANDS
                    .iter()
                    .filter_map(|key| object.get(*key)?.as_object())
                    .find_map(|brand| text(brand, NAMES))
            })
            .map(str::to_owned),
        ..Product::default()
    };
    Some((worth, product))
}

/// The price of an object: a number or text, an object around it, that of its first variant.
fn price_of(
    object: &Map<String, Value>,
    currency: Option<Currency>,
    context: &Context<'_>,
    depth: usize,
) -> Option<(Amount, Option<Currency>)> {
    let own = currency_of(object, context).or(currency);
    for key in PRICES {
        match object.get(*key) {
            Some(Value::Object(inner)) if depth < 3 => {
                if let Some(found) = price_of(inner, own, context, depth + 1) {
                    return Some(found);
                }
            }
            Some(value @ (Value::Number(_) | Value::String(_))) => {
                // `value` and its like mean money only inside of a price or with a currency.
                let is_vague = matches!(
                    *key,
                    "value" | "amount" | "min" | "current" | "sale" | "final" | "now"
                );
                if is_vague && depth == 0 && own.is_none() {
                    continue;
                }
                if let Some(found) =
                    amount(value, own, &context.hints).filter(|found| !found.is_zero())
                {
                    let has_cents = CENTS.contains(key)
                        && found.scale() == 0
                        && own.is_none_or(|own| own.minor_digits() > 0);
                    let found = if has_cents { found.hundredth()? } else { found };
                    return Some((found, own));
                }
            }
            _ => {}
        }
    }
    if depth > 1 {
        return None;
    }
    [
        "prices",
        "pricing",
        "priceInfo",
        "priceRange",
        "price_range",
        "offers",
        "items",
        "variants",
        "defaultVariant",
        "masterVariant",
        "selectedVariant",
        "selectedOrFirstAvailableVariant",
    ]
    .iter()
    .find_map(|key| match object.get(*key) {
        Some(Value::Object(inner)) => price_of(inner, own, context, depth + 1),
        Some(Value::Array(list)) => list
            .first()?
            .as_object()
            .and_then(|first| price_of(first, own, context, depth + 1)),
        _ => None,
    })
}

/// Whether the amounts of an object are hundredths: Shopify's product JSON writes whole cents.
fn is_cents(object: &Map<String, Value>, is_shopify: bool, price: Amount) -> bool {
    let is_whole = |value: Option<&Value>| value.is_some_and(|value| value.is_u64());
    let first_variant = object
        .get("variants")
        .and_then(|variants| variants.get(0))
        .and_then(|variant| variant.get("price"));
    let is_product_json = object.contains_key("variants")
        && (is_whole(object.get("price")) || is_whole(first_variant))
        && (is_shopify || object.contains_key("handle") || object.contains_key("gid"));
    let is_variant_json = object.contains_key("compare_at_price")
        && object.contains_key("inventory_management")
        && is_whole(object.get("price"));
    price.scale() == 0 && (is_product_json || is_variant_json)
}
