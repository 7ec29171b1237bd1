//! What `<meta>` says about a product: Open Graph, its product extension, Twitter cards.

use std::collections::HashMap;

use serde_json::Value;

use super::availability::{availability_of, condition_of};
use super::product::{Product, amount, valid_gtin};
use crate::html::{Attributes, Page, folded};
use crate::price::{Currency, Hints, parse};

/// Longest value, in characters.
const MAX_VALUE_CHARS: usize = 500;

/// The first value of each `<meta>` by its lower-case name.
#[derive(Debug, Default)]
pub(super) struct Meta {
    values: HashMap<String, String>,
}

impl Meta {
    pub(super) fn read(page: &Page) -> Self {
        let mut values = HashMap::new();
        for (_, element) in page.elements() {
            if element.name() != "meta" {
                continue;
            }
            let name = element
                .attribute("property")
                .or_else(|| element.attribute("name"));
            if let (Some(name), Some(content)) = (name, element.attribute("content"))
                && let Some(content) = folded(content, MAX_VALUE_CHARS)
                && name.len() <= 60
            {
                values
                    .entry(name.trim().to_ascii_lowercase())
                    .or_insert(content);
            }
        }
        Self { values }
    }

    /// The first of these that is there.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        names
            .iter()
            .find_map(|name| self.values.get(*name))
            .map(String::as_str)
    }

    /// The product, if there is a price or the page calls itself one.
    pub(super) fn product(&self, hints: &Hints<'_>) -> Product {
        let text = |names: &[&str]| self.get(names).map(str::to_owned);
        let currency = self
            .get(&[
                "product:sale_price:currency",
                "product:price:currency",
                "og:price:currency",
                "price:currency",
                "currency",
                "product:original_price:currency",
            ])
            .and_then(|text| Currency::from_field(text, hints));
        let price = |names: &[&str]| {
            let text = self.get(names)?;
            amount(&Value::String(text.to_owned()), currency, hints)
        };
        let mut product = Product {
            title: text(&["og:title", "twitter:title"]),
            price: price(&["product:sale_price:amount"]).or_else(|| {
                price(&[
                    "product:price:amount",
                    "og:price:amount",
                    "price:amount",
                    "product:price",
                    "og:price",
                ])
            }),
            currency,
            list_price: price(&[
                "product:original_price:amount",
                "product:price:standard_amount",
                "og:price:standard_amount",
            ])
            .or_else(|| {
                self.get(&["product:sale_price:amount"])
                    .and_then(|_| price(&["product:price:amount", "og:price:amount"]))
            }),
            availability: self
                .get(&["product:availability", "og:availability"])
                .and_then(availability_of),
            sku: text(&["product:retailer_item_id"]),
            gtin: self
                .get(&[
                    "product:ean",
                    "product:gtin",
                    "product:upc",
                    "product:isbn",
                    "book:isbn",
                ])
                .and_then(valid_gtin),
            mpn: text(&["product:mfr_part_no", "product:retailer_part_no"]),
            brand: text(&["product:brand", "og:brand"]),
            image: text(&["og:image:secure_url", "og:image", "twitter:image"]),
            condition: self
                .get(&["product:condition", "og:condition"])
                .and_then(condition_of),
            ..Product::default()
        };
        if product.currency.is_none() {
            product.currency = self
                .get(&[
                    "product:price:amount",
                    "og:price:amount",
                    "product:price",
                    "og:price",
                ])
                .and_then(|text| parse(text, hints))
                .and_then(|found| found.currency);
        }
        // A shop without a sale gives the original price alone.
        if product.price.is_none() {
            product.price = product.list_price.take();
        }
        if product.price.is_none()
            && let Some(found) = self.labelled(hints)
        {
            product.price = Some(found.amount);
            product.currency = product.currency.or(found.currency);
        }
        product
    }

    /// Twitter's labels: `twitter:label1` "Price", `twitter:data1` "$20".
    fn labelled(&self, hints: &Hints<'_>) -> Option<crate::price::Price> {
        ["1", "2"].iter().find_map(|number| {
            let data = self.get(&[&format!("twitter:data{number}")])?;
            let found = parse(data, hints)?;
            let is_price = self
                .get(&[&format!("twitter:label{number}")])
                .is_some_and(|label| {
                    let label = label.to_lowercase();
                    [
                        "price", "preis", "prix", "precio", "prezzo", "pris", "preço", "prijs",
                        "cena", "hinta",
                    ]
                    .iter()
                    .any(|word| label.contains(word))
                });
            is_price.then_some(found)
        })
    }
}
