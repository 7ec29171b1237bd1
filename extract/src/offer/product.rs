//! Products as structured data describes them, and which of them the page is about.
//!
//! JSON-LD, microdata and `RDFa` all come here as the same tree of objects with `@type`. Names are
//! those of schema.org.

mod offers;
mod references;
mod values;

use serde_json::{Map, Value};

use self::offers::{Offer, availability_of_all, collect_offers};
pub(super) use self::references::with_references;
use self::references::{MAX_OBJECTS, MAX_PRODUCTS, has_type, local_name, objects};
pub(super) use self::values::{Context, amount};
use self::values::{names_variant, text_of};
use super::availability::{Availability, availability_of, condition_of};
use super::name::same_page;
use crate::price::{Amount, Currency};

/// Most variants of one product.
const MAX_VARIANTS: usize = 500;

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

/// Types of offers.
const OFFERS: &[&str] = &["Offer", "AggregateOffer", "OfferForPurchase", "Demand"];

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

/// A product found in the tree, and where.
struct Found<'a> {
    object: &'a Map<String, Value>,
    /// The offer around it, where the data go from the offer to what it offers.
    offer: Option<&'a Map<String, Value>>,
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
    let best: &Found<'_> = found
        .iter()
        .map(|found| (worth(found, context, alone), found))
        .filter(|(worth, _)| *worth > 0.0)
        // Of equals the first: `max_by` would give the last.
        .rev()
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?
        .1;
    let mut product = read(best, context);
    if !is_named(best.object, context) {
        let variants = found
            .iter()
            .filter(|other| !std::ptr::eq(other.object, best.object))
            .filter(|other| other.is_listed == best.is_listed && is_same_product(best, other));
        for variant in variants {
            product.add_variant(&read(variant, context));
        }
    }
    Some(product)
}

impl Product {
    /// Adds another variant of the same product, of which the page names none: it can be bought if any can, and costs what the first of those costs.
    fn add_variant(&mut self, variant: &Self) {
        let can_be_bought =
            |product: &Self| product.availability.is_some_and(Availability::is_available);
        if self.prices.is_empty() {
            self.prices.extend(self.price);
        }
        self.prices.extend(variant.price);
        if !can_be_bought(self) && can_be_bought(variant) {
            self.availability = variant.availability;
            if let Some(price) = variant.price {
                (self.price, self.currency) = (Some(price), variant.currency);
                self.list_price = variant.list_price;
            }
        }
    }
}

/// Whether two products of the data are variants of one: of one group, or of one name.
fn is_same_product(a: &Found<'_>, b: &Found<'_>) -> bool {
    let same = |key: &str| {
        let text = text_of(a.object, key);
        text.is_some() && text == text_of(b.object, key)
    };
    same("inProductGroupWithID") || same("name")
}

/// Whether the address of the page, with the query or fragment that chooses among variants, is that of a product or its offer.
fn is_named(object: &Map<String, Value>, context: &Context<'_>) -> bool {
    context.url.is_some_and(|url| {
        (url.query().is_some() || url.fragment().is_some())
            && urls(object).any(|address| names_variant(address, url))
    })
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
            Value::Object(object) if has_type(&object, OFFERS) => Some(object),
            _ => None,
        })
        .unwrap_or_default();
    // What stands around a lone offer is about the same product.
    for (name, value) in loose {
        object.entry(name).or_insert(value);
    }
    let found = Found {
        object: &object,
        offer: None,
        is_listed: false,
        is_main: false,
    };
    let mut product = read(&found, context);
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
                        offer: None,
                        is_listed,
                        is_main,
                    });
                    continue;
                }
                let offered = objects(object.get("itemOffered")).into_iter().next();
                if let Some(offered) = offered.filter(|_| has_type(object, OFFERS)) {
                    found.push(Found {
                        object: offered,
                        offer: Some(object),
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
        .any(|key| matches!(local_name(key), "offers" | "hasVariant"))
        || found.offer.is_some();
    let mut worth = 4.0 * likeness;
    worth += if is_named(object, context) { 1.0 } else { 0.0 };
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
    let offer = objects(object.get("offers")).into_iter().next();
    own.chain(offer.and_then(|offer| offer.get("url")))
        .filter_map(Value::as_str)
}

/// Reads everything one product says.
fn read(found: &Found<'_>, context: &Context<'_>) -> Product {
    let object = found.object;
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
    let mut offers: Vec<Offer<'_>> = found.offer.map(Offer::new).into_iter().collect();
    collect_offers(object, &mut offers);
    let variants: Vec<&Map<String, Value>> = objects(object.get("hasVariant"))
        .into_iter()
        .chain(objects(object.get("model")))
        .take(MAX_VARIANTS)
        .collect();
    let chosen_variant = collect_variants(&variants, &mut offers, context);
    for offer in &mut offers {
        offer.read(context);
    }
    let is_priced = |offer: &&Offer<'_>| offer.price.is_some();
    let here = offers
        .iter()
        .filter(is_priced)
        .find(|offer| offer.is_here || offer.is_at(context));
    let best = here
        .or_else(|| {
            offers
                .iter()
                .filter(is_priced)
                .min_by_key(|offer| offer.rank)
        })
        .or(offers.first());
    product.is_chosen_by_url = here.is_some() && offers.len() > 1;
    if let Some(best) = best {
        product.price = best.price;
        product.currency = best.currency;
        product.list_price = best.list_price;
        product.availability = if product.is_chosen_by_url {
            best.availability
                .or_else(|| availability_of_all(&offers, best))
        } else {
            availability_of_all(&offers, best)
        };
        product.condition = product.condition.or_else(|| best.condition.clone());
        product.sku = product.sku.or_else(|| text_of(best.object, "sku"));
        product.gtin = product.gtin.or_else(|| gtin(best.object));
        product.mpn = product.mpn.or_else(|| text_of(best.object, "mpn"));
    }
    if let Some(variant) =
        chosen_variant.or_else(|| variants.first().copied().filter(|_| variants.len() == 1))
    {
        product.sku = text_of(variant, "sku").or(product.sku);
        product.gtin = gtin(variant).or(product.gtin);
        product.image = product.image.or_else(|| image(variant));
    }
    if product.availability.is_none() {
        product.availability = text_of(object, "availability")
            .and_then(|text| availability_of(&text))
            .or_else(|| availability_of_variants(&variants, context));
    }
    product.prices = offers.iter().filter_map(|offer| offer.price).collect();
    product
}

/// Adds the offers of variants, and gives the variant that the address of the page names. A group's own offer is the price the shop names;
/// else its variants carry them.
fn collect_variants<'a>(
    variants: &[&'a Map<String, Value>],
    offers: &mut Vec<Offer<'a>>,
    context: &Context<'_>,
) -> Option<&'a Map<String, Value>> {
    let mut chosen = None;
    for variant in variants {
        let is_here = ["url", "@id"]
            .iter()
            .filter_map(|key| variant.get(*key)?.as_str())
            .any(|address| context.url.is_some_and(|url| names_variant(address, url)));
        let first = offers.len();
        if is_here || offers.iter().all(|offer| offer.is_of_variant) {
            collect_offers(variant, offers);
        }
        for offer in offers.iter_mut().skip(first) {
            offer.is_of_variant = true;
            offer.is_here |= is_here;
        }
        if is_here && chosen.is_none() {
            chosen = Some(*variant);
        }
    }
    chosen
}

/// Whether any of the variants can be bought, where the group's own offer does not say.
fn availability_of_variants(
    variants: &[&Map<String, Value>],
    context: &Context<'_>,
) -> Option<Availability> {
    let mut offers = Vec::new();
    for variant in variants {
        collect_offers(variant, &mut offers);
    }
    for offer in &mut offers {
        offer.read(context);
    }
    availability_of_all(&offers, offers.first()?)
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
