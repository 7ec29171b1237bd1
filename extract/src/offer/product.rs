//! Products as structured data describes them, and which of them the page is about.
//!
//! JSON-LD, microdata and `RDFa` all come here as the same tree of objects with `@type`. Names are
//! those of schema.org.

mod references;

use serde_json::{Map, Value};
use url::Url;

pub(super) use self::references::with_references;
use self::references::{MAX_OBJECTS, MAX_PRODUCTS, has_type, local_name};
use super::availability::{Availability, availability_of, condition_of};
use super::name::{Names, same_page};
use crate::html::folded;
use crate::price::{self, Amount, Currency, Hints};

/// Most offers or variants of one product.
const MAX_OFFERS: usize = 500;

/// Longest name, in characters.
const MAX_NAME_CHARS: usize = 500;

/// Types of what is sold as such.
const PRODUCTS: &[&str] = &[
    "Product",
    "ProductGroup",
    "ProductModel",
    "IndividualProduct",
    "SomeProducts",
    "Vehicle",
    "Car",
    "Motorcycle",
    "VideoGame",
    "SoftwareApplication",
    "WebApplication",
    "MobileApplication",
];

/// Types that are sold only if they carry offers.
const SOLD_THINGS: &[&str] = &[
    "Book",
    "Course",
    "Movie",
    "MusicAlbum",
    "CreativeWork",
    "Service",
    "Game",
    "Drug",
    "DietarySupplement",
    "Event",
    "Trip",
    "Accommodation",
    "PublicationIssue",
    "MediaObject",
];

/// Types of pages on which prices are those of other pages.
const MANY: &[&str] = &[
    "BlogPosting",
    "NewsArticle",
    "CollectionPage",
    "SearchResultsPage",
];

/// Properties under which other products stand than the one described.
const OTHERS: &[&str] = &[
    "isrelatedto",
    "issimilarto",
    "isaccessoryorsparepartfor",
    "isconsumablefor",
    "review",
    "reviews",
    "mentions",
    "itemreviewed",
    "hasoffercatalog",
    "makesoffer",
    "addon",
    "relatedlink",
    "isvariantof",
    "haspart",
    "ispartof",
];

/// Properties whose products are a list, of which the page may be about none.
const LISTS: &[&str] = &["itemlistelement", "item", "containsitem", "collection"];

/// A product, as one source describes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Product {
    pub(super) title: Option<String>,
    pub(super) price: Option<Amount>,
    pub(super) currency: Option<Currency>,
    pub(super) list_price: Option<Amount>,
    pub(super) availability: Option<Availability>,
    pub(super) sku: Option<String>,
    pub(super) gtin: Option<String>,
    pub(super) mpn: Option<String>,
    pub(super) brand: Option<String>,
    pub(super) image: Option<String>,
    pub(super) condition: Option<String>,
    /// The prices of all its offers and variants, where there are several.
    pub(super) prices: Vec<Amount>,
    /// The address of the page named one of them.
    pub(super) is_chosen_by_url: bool,
}

/// What the page itself says, for telling its product from others.
pub(super) struct Context<'a> {
    pub(super) url: Option<&'a Url>,
    pub(super) names: &'a Names,
    pub(super) hints: Hints<'a>,
}

/// A product found in the tree, and where.
struct Found<'a> {
    object: &'a Map<String, Value>,
    is_listed: bool,
    is_main: bool,
}

/// The product the page is about, if the data say.
pub(super) fn of_page(roots: &[Value], context: &Context<'_>) -> Option<Product> {
    let mut found = Vec::new();
    for root in roots {
        find(root, &mut found);
    }
    let alone = found.iter().filter(|found| !found.is_listed).count() == 1;
    let best = found
        .iter()
        .map(|found| (worth(found, context, alone), found))
        .filter(|(worth, _)| *worth > 0.0)
        // Of equals the first: `max_by` would give the last.
        .rev()
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?
        .1;
    Some(read(best.object, context))
}

/// A product of properties outside of any product: an offer alone, or loose ones.
pub(super) fn of_loose(
    roots: Vec<Value>,
    loose: Map<String, Value>,
    context: &Context<'_>,
) -> Option<Product> {
    let mut object = roots
        .into_iter()
        .find_map(|root| match root {
            Value::Object(object) if has_type(&object, &["Offer", "AggregateOffer"]) => {
                Some(object)
            }
            _ => None,
        })
        .unwrap_or_default();
    // What stands around a lone offer is about the same product.
    for (name, value) in loose {
        object.entry(name).or_insert(value);
    }
    let mut product = read(&object, context);
    // A lone offer's name is not the product's.
    product.title = None;
    product.price.is_some().then_some(product)
}

/// Whether the data say that the page is an article or a list and name no product of its own.
pub(super) fn is_of_many(roots: &[Value]) -> bool {
    let mut products = Vec::new();
    for root in roots {
        find(root, &mut products);
    }
    if products.iter().any(|found| !found.is_listed) {
        return false;
    }
    let at_top = roots.iter().flat_map(|root| match root {
        Value::Array(values) => values.iter().collect(),
        Value::Object(object) => object
            .get("@graph")
            .and_then(Value::as_array)
            .map_or_else(|| vec![root], |graph| graph.iter().collect()),
        _ => Vec::new(),
    });
    at_top
        .filter_map(Value::as_object)
        .any(|object| has_type(object, MANY))
}

/// Collects products in document order, without those inside of products.
fn find<'a>(root: &'a Value, found: &mut Vec<Found<'a>>) {
    let mut stack = vec![(root, false, false)];
    let mut left = MAX_OBJECTS;
    while let Some((value, is_listed, is_main)) = stack.pop() {
        left = left.saturating_sub(1);
        if left == 0 || found.len() >= MAX_PRODUCTS {
            return;
        }
        match value {
            Value::Array(values) => {
                stack.extend(values.iter().rev().map(|value| (value, is_listed, is_main)));
            }
            Value::Object(object) => {
                if is_product(object) {
                    found.push(Found {
                        object,
                        is_listed,
                        is_main,
                    });
                    continue;
                }
                let children: Vec<_> = object
                    .iter()
                    .filter(|(_, value)| value.is_object() || value.is_array())
                    .filter_map(|(key, value)| {
                        let key = local_name(key).to_ascii_lowercase();
                        if OTHERS.contains(&key.as_str()) {
                            return None;
                        }
                        let is_listed = is_listed || LISTS.contains(&key.as_str());
                        Some((value, is_listed, is_main || key == "mainentity"))
                    })
                    .collect();
                stack.extend(children.into_iter().rev());
            }
            _ => {}
        }
    }
}

fn is_product(object: &Map<String, Value>) -> bool {
    let has_offers = || {
        ["offers", "Offers", "hasVariant"]
            .iter()
            .any(|key| object.contains_key(*key))
    };
    has_type(object, PRODUCTS) || has_type(object, SOLD_THINGS) && has_offers()
}

/// How much speaks for a product being the page's; not above 0 for one that is not.
fn worth(found: &Found<'_>, context: &Context<'_>, is_alone: bool) -> f32 {
    let object = found.object;
    let is_here =
        urls(object).any(|address| context.url.is_some_and(|url| same_page(address, url)));
    let likeness = text_of(object, "name").map_or(0.0, |name| context.names.likeness(&name));
    let has_offers = object
        .keys()
        .any(|key| matches!(local_name(key), "offers" | "hasVariant"));
    let mut worth = 4.0 * likeness;
    worth += if is_here { 3.0 } else { 0.0 };
    worth += if found.is_main { 2.0 } else { 0.0 };
    worth += if has_offers { 1.0 } else { 0.0 };
    if found.is_listed {
        // Each of a list has an address of its own; only a name like the page's counts.
        worth -= if likeness > 0.8 && is_here { 2.0 } else { 20.0 };
    } else if is_alone {
        worth += 1.0;
    } else if likeness < 0.3 && !is_here && !found.is_main {
        worth -= 20.0;
    }
    worth
}

/// The addresses an object names for itself and its offers.
fn urls(object: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let own = ["url", "@id", "mainEntityOfPage"]
        .into_iter()
        .filter_map(|key| object.get(key));
    let offers = object
        .get("offers")
        .into_iter()
        .flat_map(|offers| match offers {
            Value::Array(list) => list
                .iter()
                .take(1)
                .filter_map(|offer| offer.get("url"))
                .collect(),
            other => other.get("url").into_iter().collect::<Vec<_>>(),
        });
    own.chain(offers).filter_map(Value::as_str)
}

/// The text of a property: a string, a number, the name or value of an object, the first of a list.
fn text_of(object: &Map<String, Value>, key: &str) -> Option<String> {
    text_value(object.get(key)?, 0)
}

fn text_value(value: &Value, depth: usize) -> Option<String> {
    match value {
        Value::String(text) => clean(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(values) if depth < 3 => {
            values.iter().find_map(|value| text_value(value, depth + 1))
        }
        Value::Object(object) if depth < 3 => {
            ["name", "@value", "value", "url", "contentUrl", "@id"]
                .iter()
                .find_map(|key| object.get(*key))
                .and_then(|value| text_value(value, depth + 1))
        }
        _ => None,
    }
}

/// Folds white space and resolves the entities that are left in data.
fn clean(text: &str) -> Option<String> {
    if text.contains('&') {
        let decoded = html_text(text);
        return folded(&decoded, MAX_NAME_CHARS);
    }
    folded(text, MAX_NAME_CHARS)
}

/// The text of a fragment of HTML without tags: only its named and numbered characters count.
fn html_text(text: &str) -> String {
    let bounded: String = text.chars().take(2_000).filter(|c| *c != '<').collect();
    let fragment = scraper::Html::parse_fragment(&bounded);
    fragment.root_element().text().collect()
}

/// Reads everything one product says.
fn read(object: &Map<String, Value>, context: &Context<'_>) -> Product {
    let mut product = Product {
        title: text_of(object, "name"),
        sku: text_of(object, "sku").or_else(|| text_of(object, "productID")),
        gtin: gtin(object),
        mpn: text_of(object, "mpn"),
        brand: ["brand", "manufacturer"]
            .iter()
            .find_map(|key| text_of(object, key)),
        image: image(object),
        condition: text_of(object, "itemCondition").and_then(|text| condition_of(&text)),
        ..Product::default()
    };
    let mut offers = Vec::new();
    collect_offers(object, &mut offers);
    // A group's own offer is the price the shop names; else its variants carry them.
    let variants: Vec<&Map<String, Value>> = objects(object.get("hasVariant"))
        .chain(objects(object.get("model")))
        .take(MAX_OFFERS)
        .collect();
    let mut chosen_variant = None;
    for variant in &variants {
        let is_here = ["url", "@id"]
            .iter()
            .filter_map(|key| variant.get(*key)?.as_str())
            .any(|address| context.url.is_some_and(|url| names_variant(address, url)));
        let first = offers.len();
        let has_own = !offers.is_empty() && chosen_variant.is_none() && !is_here;
        if !has_own || is_here || offers.iter().all(|offer: &Reading<'_>| offer.is_of_variant) {
            collect_offers(variant, &mut offers);
        }
        for offer in offers.iter_mut().skip(first) {
            offer.is_of_variant = true;
            offer.is_here |= is_here;
        }
        if is_here && chosen_variant.is_none() {
            chosen_variant = Some(*variant);
        }
    }
    for offer in &mut offers {
        offer.read(context);
    }
    let prices: Vec<Amount> = offers.iter().filter_map(|offer| offer.price).collect();
    let is_priced = |offer: &&Reading<'_>| offer.price.is_some();
    let here = offers
        .iter()
        .filter(is_priced)
        .find(|offer| offer.is_here || offer.is_at(context));
    let best = here
        .or_else(|| {
            offers
                .iter()
                .filter(is_priced)
                .find(|offer| offer.availability.is_none_or(Availability::is_available))
        })
        .or_else(|| offers.iter().find(is_priced))
        .or(offers.first());
    product.is_chosen_by_url = here.is_some() && offers.len() > 1;
    if let Some(best) = best {
        product.price = best.price;
        product.currency = best.currency;
        product.list_price = best.list_price;
        product.availability = best.availability.or_else(|| {
            let known: Vec<Availability> = offers
                .iter()
                .filter_map(|offer| offer.availability)
                .collect();
            known
                .iter()
                .find(|one| one.is_available())
                .or(known.first())
                .copied()
        });
        product.condition = product.condition.or_else(|| best.condition.clone());
        if offers.len() == 1 || product.is_chosen_by_url {
            product.sku = product.sku.or_else(|| best.own_text("sku"));
        }
        product.sku = product.sku.or_else(|| best.own_text("sku"));
        product.gtin = product.gtin.or_else(|| gtin(best.object));
        product.mpn = product.mpn.or_else(|| best.own_text("mpn"));
    }
    if let Some(variant) =
        chosen_variant.or_else(|| variants.first().copied().filter(|_| variants.len() == 1))
    {
        product.sku = text_of(variant, "sku").or(product.sku);
        product.gtin = gtin(variant).or(product.gtin);
        product.image = product.image.or_else(|| image(variant));
    }
    if product.availability.is_none() {
        product.availability =
            text_of(object, "availability").and_then(|text| availability_of(&text));
    }
    product.prices = prices;
    product
}

/// Whether a variant's address is the page's, with the query that chooses it.
fn names_variant(address: &str, url: &Url) -> bool {
    let Ok(address) = url.join(address) else {
        return false;
    };
    address.path().trim_end_matches('/') == url.path().trim_end_matches('/')
        && address.host_str() == url.host_str()
        && match address.query() {
            None => url.query().is_none(),
            Some(_) => address
                .query_pairs()
                .filter(|(name, _)| !name.starts_with("utm_"))
                .all(|pair| url.query_pairs().any(|own| own == pair)),
        }
}

/// The objects of a property, whether it has one or a list.
fn objects(value: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let list: &[Value] = match value {
        Some(Value::Array(list)) => list,
        Some(other) => std::slice::from_ref(other),
        None => &[],
    };
    list.iter().filter_map(Value::as_object)
}

fn collect_offers<'a>(object: &'a Map<String, Value>, out: &mut Vec<Reading<'a>>) {
    for offer in ["offers", "Offers", "offer"]
        .iter()
        .flat_map(|key| objects(object.get(*key)))
    {
        if out.len() >= MAX_OFFERS {
            return;
        }
        out.push(Reading::new(offer));
    }
    // Data without an offer around the price.
    if out.is_empty() && (object.contains_key("price") || object.contains_key("lowPrice")) {
        out.push(Reading::new(object));
    }
}

/// An offer and what it says.
struct Reading<'a> {
    object: &'a Map<String, Value>,
    price: Option<Amount>,
    currency: Option<Currency>,
    list_price: Option<Amount>,
    availability: Option<Availability>,
    condition: Option<String>,
    is_of_variant: bool,
    is_here: bool,
}

impl<'a> Reading<'a> {
    fn new(object: &'a Map<String, Value>) -> Self {
        Self {
            object,
            price: None,
            currency: None,
            list_price: None,
            availability: None,
            condition: None,
            is_of_variant: false,
            is_here: false,
        }
    }

    fn own_text(&self, key: &str) -> Option<String> {
        text_of(self.object, key)
    }

    /// Whether the page's address, with its query, is this offer's.
    fn is_at(&self, context: &Context<'_>) -> bool {
        let address = self.object.get("url").and_then(Value::as_str);
        let (Some(address), Some(url)) = (address, context.url) else {
            return false;
        };
        names_variant(address, url) && url.query().is_some()
    }

    fn read(&mut self, context: &Context<'_>) {
        let specifications: Vec<&Map<String, Value>> =
            objects(self.object.get("priceSpecification"))
                .take(20)
                .collect();
        let currency = ["priceCurrency", "pricecurrency", "currency"]
            .iter()
            .find_map(|key| self.own_text(key))
            .or_else(|| {
                specifications
                    .iter()
                    .find_map(|one| text_of(one, "priceCurrency"))
            })
            .and_then(|text| Currency::from_field(&text, &context.hints));
        self.currency = currency;
        self.availability = ["availability", "Availability"]
            .iter()
            .find_map(|key| self.object.get(*key))
            .and_then(|value| match value {
                Value::Bool(true) => Some(Availability::InStock),
                Value::Bool(false) => Some(Availability::OutOfStock),
                other => text_value(other, 0).and_then(|text| availability_of(&text)),
            })
            .or_else(|| inventory(self.object))
            .or_else(|| nested_availability(self.object));
        self.condition = self
            .own_text("itemCondition")
            .and_then(|text| condition_of(&text));
        let price_of = |object: &Map<String, Value>, key: &str| {
            amount(object.get(key)?, currency, &context.hints)
        };
        let mut price = price_of(self.object, "price");
        let mut is_net = false;
        for specification in specifications {
            let kind = text_of(specification, "priceType")
                .map(|kind| local_name(&kind).to_ascii_lowercase())
                .unwrap_or_default();
            let amount =
                price_of(specification, "price").or_else(|| price_of(specification, "minPrice"));
            let is_list = ["list", "strikethrough", "msrp", "srp", "regular", "rrp"]
                .iter()
                .any(|word| kind.contains(word));
            let is_per_unit = specification.contains_key("referenceQuantity")
                && !is_one_piece(specification.get("referenceQuantity"));
            // Of the same price with and without tax, buyers are shown the former.
            let without_tax =
                specification.get("valueAddedTaxIncluded") == Some(&Value::Bool(false));
            if is_list {
                self.list_price = self.list_price.or(amount);
            } else if !is_per_unit
                && (price.is_none() || kind.contains("sale") || is_net && !without_tax)
            {
                is_net = amount.is_some() && without_tax;
                price = amount.or(price);
            }
        }
        price = price.or_else(|| price_of(self.object, "lowPrice"));
        if price.is_none_or(Amount::is_zero) {
            // An aggregate of offers with prices of their own.
            price = objects(self.object.get("offers"))
                .take(MAX_OFFERS)
                .filter_map(|offer| price_of(offer, "price"))
                .min()
                .or(price);
        }
        if self.currency.is_none() {
            self.currency = self
                .own_text("price")
                .and_then(|text| price::parse(&text, &context.hints))
                .and_then(|price| price.currency);
        }
        self.price = price;
    }
}

/// A reference quantity of one piece is the price itself.
fn is_one_piece(quantity: Option<&Value>) -> bool {
    let Some(Value::Object(quantity)) = quantity else {
        return false;
    };
    let unit = text_of(quantity, "unitCode").unwrap_or_default();
    let value = text_of(quantity, "value").unwrap_or_default();
    (unit.is_empty() || unit == "C62" || unit == "EA") && (value.is_empty() || value == "1")
}

/// What the offers of an aggregate say: whether one of them can be bought.
fn nested_availability(aggregate: &Map<String, Value>) -> Option<Availability> {
    let mut known = objects(aggregate.get("offers"))
        .take(MAX_OFFERS)
        .filter_map(|offer| availability_of(&text_of(offer, "availability")?));
    let first = known.next()?;
    if first.is_available() {
        return Some(first);
    }
    Some(known.find(|one| one.is_available()).unwrap_or(first))
}

/// Nothing left, or something, by the number in stock.
fn inventory(offer: &Map<String, Value>) -> Option<Availability> {
    let level: i64 = text_of(offer, "inventoryLevel")?.parse().ok()?;
    Some(if level > 0 {
        Availability::InStock
    } else {
        Availability::OutOfStock
    })
}

/// An amount in data: a number, a plain decimal text, or a text as people write it.
pub(super) fn amount(
    value: &Value,
    currency: Option<Currency>,
    hints: &Hints<'_>,
) -> Option<Amount> {
    let amount = match value {
        Value::Number(number) => number_amount(number)?,
        Value::String(text) => {
            let text = text.trim();
            match text.parse() {
                Ok(amount) => amount,
                Err(_) if text.contains(|c: char| c.is_numeric()) => {
                    let hints = Hints {
                        currency: currency.or(hints.currency),
                        ..*hints
                    };
                    price::parse(text, &hints)?.amount
                }
                Err(_) => return None,
            }
        }
        Value::Array(values) => {
            return values
                .iter()
                .take(5)
                .find_map(|value| amount(value, currency, hints));
        }
        _ => return None,
    };
    Some(tidy(amount, currency))
}

/// Decimals beyond the currency's that a program has left behind (`198.99996`) are rounded away.
fn tidy(amount: Amount, currency: Option<Currency>) -> Amount {
    let digits = currency.map_or(2, Currency::minor_digits).max(2);
    if amount.scale() > digits + 1 {
        amount.rounded(digits)
    } else {
        amount
    }
}

/// The digits of a JSON number, which are those the page wrote.
fn number_amount(number: &serde_json::Number) -> Option<Amount> {
    let text = number.to_string();
    if let Ok(amount) = text.parse() {
        return Some(amount);
    }
    // More decimals than an amount keeps, which come from binary arithmetic.
    let (whole, decimals) = text.split_once('.')?;
    let kept = decimals.get(..6)?;
    format!("{whole}.{kept}").parse().ok()
}

/// The first valid GTIN among the properties that carry one.
fn gtin(object: &Map<String, Value>) -> Option<String> {
    [
        "gtin13",
        "gtin",
        "gtin14",
        "gtin12",
        "gtin8",
        "ean",
        "isbn",
        "upc",
        "productID",
    ]
    .iter()
    .filter_map(|key| text_of(object, key))
    .find_map(|text| valid_gtin(&text))
}

/// The digits of a text that is a GTIN with a right check digit (GS1 General Specifications 7.9).
pub(super) fn valid_gtin(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let text = ["gtin13:", "gtin:", "ean:", "isbn:", "upc:", "urn:isbn:"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(&text);
    let is_written_so = text
        .chars()
        .all(|c| c.is_ascii_digit() || c == '-' || c == ' ');
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    if !is_written_so || !matches!(digits.len(), 8 | 12 | 13 | 14) || digits.iter().all(|d| *d == 0)
    {
        return None;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| if place % 2 == 1 { digit * 3 } else { *digit })
        .sum();
    sum.is_multiple_of(10).then(|| {
        digits
            .iter()
            .filter_map(|d| char::from_digit(*d, 10))
            .collect()
    })
}

fn image(object: &Map<String, Value>) -> Option<String> {
    fn address(value: &Value, depth: usize) -> Option<&str> {
        match value {
            Value::String(text) if !text.trim().is_empty() => Some(text),
            Value::Array(values) if depth < 3 => {
                values.iter().find_map(|value| address(value, depth + 1))
            }
            Value::Object(object) if depth < 3 => ["contentUrl", "url", "@id"]
                .iter()
                .find_map(|key| object.get(*key))
                .and_then(|value| address(value, depth + 1)),
            _ => None,
        }
    }
    address(object.get("image")?, 0).map(str::to_owned)
}
