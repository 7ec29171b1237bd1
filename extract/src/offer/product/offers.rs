//! The offers of a product: what each says, and which of several is what everybody pays for one new piece.

use serde_json::{Map, Value};

use super::references::{local_name, objects};
use super::values::{Context, amount, names_variant, text_of, text_value};
use crate::offer::availability::{Availability, availability_of, condition_of};
use crate::price::{self, Amount, Currency};

/// Most offers of one product.
const MAX_OFFERS: usize = 500;

/// Most specifications of one price.
const MAX_SPECIFICATIONS: usize = 20;

/// What parts an offer from the price that everybody pays for one new piece, from the page's own shop, now. The least is the page's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    terms: Terms,
    is_used: bool,
    /// By another seller than the shop whose page it is.
    is_of_others: bool,
    is_sold_out: bool,
}

/// For whom and for how much a price holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Terms {
    /// For members, for businesses, or from so many pieces.
    is_for_some: bool,
    /// Of the same price with and without tax, buyers are shown the former.
    is_net: bool,
}

impl Terms {
    fn of(object: &Map<String, Value>) -> Self {
        let is_for_businesses = text_of(object, "eligibleCustomerType").is_some_and(|kind| {
            let kind = local_name(&kind).to_ascii_lowercase();
            kind.contains("business") || kind.contains("reseller")
        });
        Self {
            is_for_some: object.contains_key("validForMemberTier")
                || is_for_businesses
                || is_of_several(object.get("eligibleQuantity")),
            is_net: is_false(object.get("valueAddedTaxIncluded")),
        }
    }
}

fn is_false(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(value)) => !value,
        Some(Value::String(text)) => local_name(text.trim()).eq_ignore_ascii_case("false"),
        _ => false,
    }
}

/// Whether a quantity begins above one piece.
fn is_of_several(quantity: Option<&Value>) -> bool {
    let least = objects(quantity).first().and_then(|quantity| {
        ["minValue", "value"]
            .iter()
            .find_map(|key| text_of(quantity, key))
    });
    let least = least.or_else(|| match quantity? {
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    least
        .and_then(|text| text.parse::<f64>().ok())
        .is_some_and(|least| least > 1.0)
}

/// An offer and what it says.
pub(super) struct Offer<'a> {
    pub(super) object: &'a Map<String, Value>,
    pub(super) price: Option<Amount>,
    pub(super) currency: Option<Currency>,
    pub(super) list_price: Option<Amount>,
    pub(super) availability: Option<Availability>,
    pub(super) condition: Option<String>,
    pub(super) rank: Rank,
    pub(super) is_of_variant: bool,
    pub(super) is_here: bool,
}

/// Adds the offers of a product, or of one of its variants.
pub(super) fn collect_offers<'a>(object: &'a Map<String, Value>, out: &mut Vec<Offer<'a>>) {
    let first = out.len();
    let own = ["offers", "Offers", "offer"]
        .iter()
        .flat_map(|key| objects(object.get(*key)))
        .take(MAX_OFFERS.saturating_sub(first));
    out.extend(own.map(Offer::new));
    // Data without an offer around the price.
    if out.is_empty() && (object.contains_key("price") || object.contains_key("lowPrice")) {
        out.push(Offer::new(object));
    }
}

/// Whether any offer of the same kind as `best` can be bought: of several sizes one may be left, but a used piece is none of the new ones.
pub(super) fn availability_of_all(offers: &[Offer<'_>], best: &Offer<'_>) -> Option<Availability> {
    let alike = || {
        offers
            .iter()
            .filter(|offer| offer.rank.is_used == best.rank.is_used)
            .filter_map(|offer| offer.availability)
    };
    alike()
        .find(|one| one.is_available())
        .or(best.availability)
        .or_else(|| alike().next())
}

impl<'a> Offer<'a> {
    pub(super) fn new(object: &'a Map<String, Value>) -> Self {
        Self {
            object,
            price: None,
            currency: None,
            list_price: None,
            availability: None,
            condition: None,
            rank: Rank::default(),
            is_of_variant: false,
            is_here: false,
        }
    }

    /// Whether the page's address, with its query or fragment, is this offer's.
    pub(super) fn is_at(&self, context: &Context<'_>) -> bool {
        let address = self.object.get("url").and_then(Value::as_str);
        let (Some(address), Some(url)) = (address, context.url) else {
            return false;
        };
        let chooses = url.query().is_some() || url.fragment().is_some();
        chooses && names_variant(address, url)
    }

    /// Reads what it says.
    pub(super) fn read(&mut self, context: &Context<'_>) {
        let specifications: Vec<&Map<String, Value>> =
            objects(self.object.get("priceSpecification"))
                .into_iter()
                .take(MAX_SPECIFICATIONS)
                .collect();
        self.currency = self.named_currency(&specifications, context);
        self.availability = self.named_availability();
        self.condition = text_of(self.object, "itemCondition").and_then(|text| condition_of(&text));
        let terms = self.read_prices(&specifications, context);
        self.rank = Rank {
            terms,
            is_used: is_used(self.condition.as_deref()),
            is_of_others: text_of(self.object, "seller")
                .is_some_and(|seller| context.names.has_site() && !context.names.is_site(&seller)),
            is_sold_out: self.availability.is_some_and(|known| !known.is_available()),
        };
        if self.currency.is_none() {
            self.currency = text_of(self.object, "price")
                .and_then(|text| price::parse(&text, &context.hints))
                .and_then(|price| price.currency);
        }
    }

    fn named_currency(
        &self,
        specifications: &[&Map<String, Value>],
        context: &Context<'_>,
    ) -> Option<Currency> {
        ["priceCurrency", "pricecurrency", "currency"]
            .iter()
            .find_map(|key| text_of(self.object, key))
            .or_else(|| {
                specifications
                    .iter()
                    .find_map(|one| text_of(one, "priceCurrency"))
            })
            .and_then(|text| Currency::from_field(&text, &context.hints))
    }

    fn named_availability(&self) -> Option<Availability> {
        ["availability", "Availability"]
            .iter()
            .find_map(|key| self.object.get(*key))
            .and_then(|value| match value {
                Value::Bool(true) => Some(Availability::InStock),
                Value::Bool(false) => Some(Availability::OutOfStock),
                other => text_value(other, 0).and_then(|text| availability_of(&text)),
            })
            .or_else(|| inventory(self.object))
            .or_else(|| nested_availability(self.object))
    }

    /// Reads price and list price, and gives the terms of the former.
    fn read_prices(
        &mut self,
        specifications: &[&Map<String, Value>],
        context: &Context<'_>,
    ) -> Terms {
        let price_of = |object: &Map<String, Value>, key: &str| {
            amount(object.get(key)?, self.currency, &context.hints)
        };
        let own_terms = Terms::of(self.object);
        let mut price = price_of(self.object, "price");
        let mut terms = Terms::default();
        for specification in specifications {
            let kind = text_of(specification, "priceType")
                .map(|kind| local_name(&kind).to_ascii_lowercase())
                .unwrap_or_default();
            let named =
                price_of(specification, "price").or_else(|| price_of(specification, "minPrice"));
            let is_list = ["list", "strikethrough", "msrp", "srp", "regular", "rrp"]
                .iter()
                .any(|word| kind.contains(word));
            let is_per_unit = specification.contains_key("referenceQuantity")
                && !is_one_piece(specification.get("referenceQuantity"));
            let these = Terms::of(specification);
            if is_list {
                self.list_price = self.list_price.or(named);
            } else if named.is_some()
                && !is_per_unit
                && (price.is_none() || these < terms || these == terms && kind.contains("sale"))
            {
                (price, terms) = (named, these);
            }
        }
        let nested = cheapest_nested(self.object, |offer| price_of(offer, "price"));
        let lowest = price_of(self.object, "lowPrice");
        self.price = match (price, nested) {
            // An aggregate knows nothing of whom its lowest price is for; its offers do.
            (None, Some((amount, true))) => Some(amount),
            _ => price
                .or(lowest)
                .filter(|price| !price.is_zero())
                .or(nested.map(|(amount, _)| amount))
                .or(price)
                .or(lowest),
        };
        Terms {
            is_for_some: terms.is_for_some || own_terms.is_for_some,
            is_net: terms.is_net || own_terms.is_net,
        }
    }
}

fn is_used(condition: Option<&str>) -> bool {
    condition.is_some_and(|condition| condition != "NewCondition")
}

/// The lowest price among the offers of an aggregate that are the most everybody's, and whether others are not.
fn cheapest_nested(
    aggregate: &Map<String, Value>,
    price_of: impl Fn(&Map<String, Value>) -> Option<Amount>,
) -> Option<(Amount, bool)> {
    let priced: Vec<(Rank, Amount)> = objects(aggregate.get("offers"))
        .into_iter()
        .take(MAX_OFFERS)
        .filter_map(|offer| {
            let condition = text_of(offer, "itemCondition").and_then(|text| condition_of(&text));
            let rank = Rank {
                terms: Terms::of(offer),
                is_used: is_used(condition.as_deref()),
                ..Rank::default()
            };
            Some((rank, price_of(offer)?))
        })
        .collect();
    let (rank, amount) = *priced.iter().min()?;
    Some((amount, priced.iter().any(|(other, _)| *other != rank)))
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
    let known: Vec<Availability> = objects(aggregate.get("offers"))
        .into_iter()
        .take(MAX_OFFERS)
        .filter_map(|offer| availability_of(&text_of(offer, "availability")?))
        .collect();
    let available = known.iter().find(|one| one.is_available());
    available.or(known.first()).copied()
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
