//! Shops of the demo's web: product pages whose prices change from day to day, and what must come of them.
//!
//! Each shop tells its prices in a way of its own, from data for machines to text for people alone, in the form and currency of
//! its country. Each of its products behaves in another way; a list of products, which has no price, stands beside them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::demo::Hosts;

/// How many days there are, from 1.
pub(super) const DAYS: u32 = 3;

/// How a shop tells its prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    JsonLd,
    /// JSON-LD as people write it by hand: comments, a comma too many.
    BrokenJsonLd,
    Microdata,
    OpenGraph,
    Rdfa,
    /// The state of the page's script.
    ScriptData,
    /// Text alone.
    Shown,
    /// JSON-LD whose template prints the number as people read it, without quotes.
    UnquotedJsonLd,
    /// JSON-LD with an offer of a used one, cheaper, before that of a new one.
    SeveralOffers,
    /// Text, after the lowest price of the last 30 days, which shops of the EU have to print.
    Omnibus,
    /// Text, the price without tax before the one with it.
    NetAndGross,
    /// Text, with the mark of a footnote between amount and sign.
    Footnote,
    /// Text, with cents that are raised and stand without a decimal sign.
    SplitCents,
}

/// How a price is written for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `$1,299.50`
    Dollars,
    /// `£1,299.50`
    Pounds,
    /// `1.299,50 €`
    EuroAfter,
    /// `1 299,50 €`, with a narrow space
    EuroSpaced,
    /// `€ 1.299,50`
    EuroBefore,
    /// `kr 1 299,-`, or `kr 1 299,50`
    KronerBefore,
    /// `1 299,50 kr`
    KronorAfter,
    /// `1 299,50 zł`
    ZlotyAfter,
}

/// A shop: its host, how it tells prices, language, currency, form.
const SHOPS: &[(&str, Told, &str, &str, Form)] = &[
    (
        "lantern-goods-7001.com",
        Told::JsonLd,
        "en-US",
        "USD",
        Form::Dollars,
    ),
    (
        "lampenkontor-7002.de",
        Told::Microdata,
        "de",
        "EUR",
        Form::EuroAfter,
    ),
    (
        "lyktehuset-7003.no",
        Told::OpenGraph,
        "nb",
        "NOK",
        Form::KronerBefore,
    ),
    (
        "maison-lanterne-7004.fr",
        Told::Rdfa,
        "fr",
        "EUR",
        Form::EuroSpaced,
    ),
    (
        "lantern-yard-7005.co.uk",
        Told::ScriptData,
        "en-GB",
        "GBP",
        Form::Pounds,
    ),
    (
        "lykthuset-7006.se",
        Told::Shown,
        "sv",
        "SEK",
        Form::KronorAfter,
    ),
    (
        "lantaarnwinkel-7007.nl",
        Told::BrokenJsonLd,
        "nl",
        "EUR",
        Form::EuroBefore,
    ),
    (
        "lantern-barn-7008.com",
        Told::UnquotedJsonLd,
        "en-US",
        "USD",
        Form::Dollars,
    ),
    (
        "faroles-7009.es",
        Told::SeveralOffers,
        "es",
        "EUR",
        Form::EuroAfter,
    ),
    (
        "lampiarnia-7010.pl",
        Told::Omnibus,
        "pl",
        "PLN",
        Form::ZlotyAfter,
    ),
    (
        "lampenhof-7011.at",
        Told::NetAndGross,
        "de",
        "EUR",
        Form::EuroAfter,
    ),
    (
        "lichthaus-7012.de",
        Told::Footnote,
        "de",
        "EUR",
        Form::EuroAfter,
    ),
    (
        "lanterne-7013.it",
        Told::SplitCents,
        "it",
        "EUR",
        Form::EuroAfter,
    ),
];

/// What becomes of a product's price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Steady,
    /// A tenth less from the second day on.
    Drop,
    /// Out of stock on the second day.
    SoldOut,
    /// A tenth of the price on the second day, by mistake.
    Lie,
    /// Less than half the price from the second day on.
    Sale,
}

const PRODUCTS: &[(&str, Course)] = &[
    ("Brass lantern", Course::Steady),
    ("Copper kettle", Course::Drop),
    ("Oak stool", Course::SoldOut),
    ("Wool blanket", Course::Lie),
    ("Iron pan", Course::Sale),
];

/// The list of products.
const LIST: &str = "/all";

/// A price that must stand in the history.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct PlantedPrice {
    /// The product page.
    pub(super) url: String,
    /// In units of the currency, as plain decimal text without needless zeros.
    pub(super) price: String,
    /// ISO 4217.
    pub(super) currency: String,
    /// Whether it can be bought at that price.
    pub(super) is_available: bool,
}

/// What a pipeline recorded, against what is planted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct PriceScore {
    /// Rows of the history.
    pub(super) recorded: usize,
    /// Rows that are not planted, or stand twice.
    pub(super) wrong: usize,
    /// Planted prices that are not there.
    pub(super) missed: usize,
    /// Results that confirmed what stood there already.
    pub(super) duplicates: usize,
    /// Some of what is wrong or missed.
    #[serde(skip)]
    pub(super) examples: Vec<String>,
}

/// A product as a page shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    cents: u64,
    is_available: bool,
}

#[derive(Debug, Clone)]
struct Product {
    name: &'static str,
    /// Day by day.
    days: Vec<State>,
}

#[derive(Debug, Clone)]
struct Shop {
    host: &'static str,
    told: Told,
    language: &'static str,
    currency: &'static str,
    form: Form,
    /// By path.
    products: BTreeMap<String, Product>,
}

/// All shops.
#[derive(Debug)]
pub(super) struct Shops {
    shops: Vec<Shop>,
    /// What day it is, from 1.
    day: AtomicU32,
}

impl Hosts for Shops {
    fn has(&self, host: &str) -> bool {
        self.shops.iter().any(|shop| shop.host == host)
    }

    fn page(&self, host: &str, path: &str) -> Option<String> {
        let (shop, day) = (
            self.shops.iter().find(|shop| shop.host == host)?,
            self.day(),
        );
        if path == LIST {
            return Some(shop.list(day));
        }
        let product = shop.products.get(path)?;
        Some(shop.render(product.name, product.on(day)?))
    }
}

impl Shops {
    /// Plans the shops; pure.
    pub(super) fn generate(seed: u64) -> Self {
        // Not the places' own stream: one may change without the other.
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5348_4f50);
        let shops = SHOPS
            .iter()
            .map(|&(host, told, language, currency, form)| {
                let products = PRODUCTS.iter().enumerate().map(|(number, (name, course))| {
                    let whole = rng.random_range(120..9_000_u64);
                    let cents = whole * 100 + if rng.random_range(0..2) == 0 { 0 } else { 50 };
                    let product = Product {
                        name,
                        days: course.days(cents),
                    };
                    (format!("/p/{}", number + 1), product)
                });
                Shop {
                    host,
                    told,
                    language,
                    currency,
                    form,
                    products: products.collect(),
                }
            })
            .collect();
        Self {
            shops,
            day: AtomicU32::new(1),
        }
    }

    /// The pages to be tracked.
    pub(super) fn urls(&self) -> Vec<String> {
        self.shops
            .iter()
            .flat_map(|shop| {
                let paths = shop.products.keys().map(String::as_str).chain([LIST]);
                paths.map(|path| shop.url(path)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// What must stand in the history after the last day, in order.
    pub(super) fn truth(&self) -> Vec<PlantedPrice> {
        let mut truth: Vec<PlantedPrice> = self
            .shops
            .iter()
            .flat_map(|shop| {
                shop.products.iter().flat_map(|(path, product)| {
                    recorded(&product.days)
                        .into_iter()
                        .map(|state| PlantedPrice {
                            url: shop.url(path),
                            price: plain(state.cents),
                            currency: shop.currency.to_owned(),
                            is_available: state.is_available,
                        })
                })
            })
            .collect();
        truth.sort();
        truth
    }

    /// What day it is.
    pub(super) fn day(&self) -> u32 {
        self.day.load(Ordering::Relaxed)
    }

    /// Makes it another day: prices change from one to the next.
    pub(super) fn set_day(&self, day: u32) {
        self.day.store(day, Ordering::Relaxed);
    }
}

impl Course {
    fn days(self, cents: u64) -> Vec<State> {
        let state = |cents, is_available| State {
            cents,
            is_available,
        };
        let usual = state(cents, true);
        // Whole cents, and a fraction that keeps clear of half.
        let (tenth, sale) = (cents / 10, cents * 2 / 5);
        match self {
            Self::Steady => vec![usual; 3],
            Self::Drop => vec![
                usual,
                state(cents - tenth, true),
                state(cents - tenth, true),
            ],
            Self::SoldOut => vec![usual, state(cents, false), usual],
            Self::Lie => vec![usual, state(tenth, true), usual],
            Self::Sale => vec![usual, state(sale, true), state(sale, true)],
        }
    }
}

/// What is to be recorded of the states of so many days: changes, but a price that jumps only when the next day confirms it.
fn recorded(days: &[State]) -> Vec<State> {
    let mut history: Vec<State> = Vec::new();
    let mut held: Option<State> = None;
    for &state in days {
        let Some(last) = history.last() else {
            history.push(state);
            continue;
        };
        let jumps = state.cents.abs_diff(last.cents) * 2 > last.cents;
        if *last == state {
            held = None;
        } else if jumps && held != Some(state) {
            held = Some(state);
        } else {
            held = None;
            history.push(state);
        }
    }
    history
}

impl Product {
    fn on(&self, day: u32) -> Option<State> {
        let index = usize::try_from(day.saturating_sub(1)).ok()?;
        self.days.get(index).or(self.days.last()).copied()
    }
}

/// `129950` → `1299.5`.
fn plain(cents: u64) -> String {
    let text = format!("{}.{:02}", cents / 100, cents % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whole units in groups of three.
fn grouped(units: u64, separator: &str) -> String {
    let digits = units.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push_str(separator);
        }
        out.push(digit);
    }
    out
}

impl Form {
    fn write(self, cents: u64) -> String {
        let (units, rest) = (cents / 100, cents % 100);
        match self {
            Self::Dollars => format!("${}.{rest:02}", grouped(units, ",")),
            Self::Pounds => format!("£{}.{rest:02}", grouped(units, ",")),
            Self::EuroAfter => format!("{},{rest:02} €", grouped(units, ".")),
            Self::EuroSpaced => format!("{},{rest:02} €", grouped(units, "\u{202f}")),
            Self::EuroBefore => format!("€ {},{rest:02}", grouped(units, ".")),
            Self::KronerBefore if rest == 0 => format!("kr {},-", grouped(units, "\u{a0}")),
            Self::KronerBefore => format!("kr {},{rest:02}", grouped(units, "\u{a0}")),
            Self::KronorAfter => format!("{},{rest:02} kr", grouped(units, " ")),
            Self::ZlotyAfter => format!("{},{rest:02} zł", grouped(units, "\u{a0}")),
        }
    }
}

/// An offer as machines are told of it.
#[derive(Debug, Clone, Copy)]
struct Written<'a> {
    name: &'a str,
    price: &'a str,
    currency: &'a str,
    /// The availability of schema.org.
    schema: &'a str,
}

impl Written<'_> {
    /// The product as JSON-LD, with these offers.
    fn json_ld(self, offers: &str) -> String {
        let name = self.name;
        format!(
            r#"<script type="application/ld+json">{{"@context":"https://schema.org","@type":"Product","name":"{name}","offers":{offers}}}</script>"#
        )
    }

    /// One offer in it, at a price as it is printed, with what else it says.
    fn json_offer(self, more: &str, price: &str) -> String {
        let (currency, schema) = (self.currency, self.schema);
        format!(
            r#"{{"@type":"Offer",{more}"price":{price},"priceCurrency":"{currency}","availability":"{schema}"}}"#
        )
    }

    /// The element that holds all, and what is shown with the offer around it.
    fn microdata(self, shown: &str) -> (&'static str, String) {
        let Self {
            name,
            price,
            currency,
            schema,
        } = self;
        (
            "<div class=product itemscope itemtype=\"https://schema.org/Product\">",
            format!(
                "<meta itemprop=name content=\"{name}\"><div itemprop=offers itemscope itemtype=\"https://schema.org/Offer\"><meta itemprop=price content=\"{price}\"><meta itemprop=priceCurrency content={currency}><link itemprop=availability href=\"{schema}\">{shown}</div>"
            ),
        )
    }

    /// As [`Written::microdata`], in the attributes of RDF.
    fn rdfa(self, shown: &str) -> (&'static str, String) {
        let Self {
            name,
            price,
            currency,
            schema,
        } = self;
        (
            "<div class=product vocab=\"https://schema.org/\" typeof=Product>",
            format!(
                "<meta property=name content=\"{name}\"><div property=offers typeof=Offer><meta property=price content=\"{price}\"><meta property=priceCurrency content={currency}><link property=availability href=\"{schema}\">{shown}</div>"
            ),
        )
    }
}

impl Shop {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    fn render(&self, name: &str, state: State) -> String {
        let price = format!("{}.{:02}", state.cents / 100, state.cents % 100);
        let offer = Written {
            name,
            price: &price,
            currency: self.currency,
            schema: if state.is_available {
                "https://schema.org/InStock"
            } else {
                "https://schema.org/OutOfStock"
            },
        };
        let head = self.head(offer, state);
        let shown = self.shown(state);
        let (open, shown) = match self.told {
            Told::Microdata => offer.microdata(&shown),
            Told::Rdfa => offer.rdfa(&shown),
            _ => ("<div class=product>", shown),
        };
        let button = if state.is_available {
            self.cart()
        } else {
            String::new()
        };
        format!(
            "<!DOCTYPE html><html lang={}><head><meta charset=utf-8><title>{name}</title>{head}</head><body><header><a href=\"/\">{}</a></header><main>{open}<h1>{name}</h1>{shown}{button}</div></main><footer><p>&copy; 2024</p></footer></body></html>",
            self.language, self.host
        )
    }

    /// What the head tells machines.
    fn head(&self, offer: Written<'_>, state: State) -> String {
        let Written {
            name,
            price,
            currency,
            schema,
        } = offer;
        match self.told {
            Told::JsonLd => offer.json_ld(&offer.json_offer("", &format!("\"{price}\""))),
            Told::UnquotedJsonLd => {
                let printed = self.form.write(state.cents);
                offer.json_ld(&offer.json_offer("", printed.trim_start_matches('$')))
            }
            Told::SeveralOffers => {
                let of = |condition: &str, price: &str| {
                    let condition = format!(r#""itemCondition":"https://schema.org/{condition}","#);
                    offer.json_offer(&condition, &format!("\"{price}\""))
                };
                let used = of("UsedCondition", &plain(state.cents * 3 / 5));
                offer.json_ld(&format!("[{used},{}]", of("NewCondition", price)))
            }
            Told::BrokenJsonLd => format!(
                "<script type=\"application/ld+json\">\n/* our product */\n{{\"@type\": \"Product\", \"name\": \"{name}\",\n\"offers\": {{\"@type\": \"Offer\", \"price\": {price}, \"priceCurrency\": \"{currency}\", \"availability\": \"{schema}\",}},}}\n</script>"
            ),
            Told::OpenGraph => {
                let availability = if state.is_available {
                    "in stock"
                } else {
                    "out of stock"
                };
                format!(
                    "<meta property=\"og:type\" content=\"product\"><meta property=\"og:title\" content=\"{name}\"><meta property=\"product:price:amount\" content=\"{price}\"><meta property=\"product:price:currency\" content=\"{currency}\"><meta property=\"product:availability\" content=\"{availability}\">"
                )
            }
            Told::ScriptData => format!(
                r#"<script id="__NEXT_DATA__" type="application/json">{{"props":{{"pageProps":{{"product":{{"name":"{name}","price":{price},"currency":"{currency}","inStock":{}}}}}}}}}</script>"#,
                state.is_available
            ),
            _ => String::new(),
        }
    }

    /// What people see of price and stock.
    fn shown(&self, state: State) -> String {
        let price = self.form.write(state.cents);
        let paragraph = |price: &str| format!("<p class=price>{price}</p>");
        let prices = match self.told {
            Told::Omnibus => format!(
                "<p>Najniższa cena z 30 dni przed obniżką: <span class=price>{}</span></p>{}",
                self.form.write(state.cents * 9 / 10),
                paragraph(&price)
            ),
            Told::NetAndGross => format!(
                "<div class=price>{} <small>zzgl. MwSt.</small></div><div class=price>{price} <small>inkl. MwSt.</small></div>",
                self.form.write(state.cents * 5 / 6)
            ),
            Told::Footnote => format!(
                "{}<p><small><sup>1</sup> inkl. MwSt.</small></p>",
                paragraph(&price.replace(" €", "<sup>1</sup> €"))
            ),
            Told::SplitCents => {
                let (units, cents) = (grouped(state.cents / 100, "."), state.cents % 100);
                paragraph(&format!("{units}<sup>{cents:02}</sup> €"))
            }
            _ => paragraph(&price),
        };
        format!(
            "{prices}<p class=stock>{}</p>",
            self.stock(state.is_available)
        )
    }

    /// The list of all products: prices of many are a price of none.
    fn list(&self, day: u32) -> String {
        let items: String = self
            .products
            .iter()
            .filter_map(|(path, product)| {
                let price = self.form.write(product.on(day)?.cents);
                Some(format!(
                    "<li><a href=\"{path}\"><h3>{}</h3></a><span class=price>{price}</span></li>",
                    product.name
                ))
            })
            .collect();
        format!(
            "<!DOCTYPE html><html lang={}><head><meta charset=utf-8><title>{}</title></head><body><main><ul class=products>{items}</ul></main></body></html>",
            self.language, self.host
        )
    }

    fn stock(&self, is_available: bool) -> &'static str {
        match (self.language, is_available) {
            ("de", true) => "Auf Lager",
            ("de", false) => "Ausverkauft",
            ("nb", true) => "På lager",
            ("nb", false) => "Ikke på lager",
            ("fr", true) => "En stock",
            ("fr", false) => "Rupture de stock",
            ("sv", true) => "I lager",
            ("sv", false) => "Slut i lager",
            ("nl", true) => "Op voorraad",
            ("nl", false) => "Niet op voorraad",
            ("es", true) => "En stock",
            ("es", false) => "Agotado",
            ("pl", true) => "W magazynie",
            ("pl", false) => "Brak w magazynie",
            ("it", true) => "Disponibile",
            ("it", false) => "Esaurito",
            (_, true) => "In stock",
            (_, false) => "Out of stock",
        }
    }

    fn cart(&self) -> String {
        let words = match self.language {
            "de" => "In den Warenkorb",
            "nb" => "Legg i handlekurv",
            "fr" => "Ajouter au panier",
            "sv" => "Lägg i varukorgen",
            "nl" => "In winkelwagen",
            "es" => "Añadir al carrito",
            "pl" => "Do koszyka",
            "it" => "Aggiungi al carrello",
            _ => "Add to cart",
        };
        format!("<button class=add-to-cart>{words}</button>")
    }
}

/// How many examples a score keeps.
const EXAMPLES: usize = 25;

/// Compares a history with what is planted. `duplicates` are results that confirmed what stood there.
pub(super) fn score_prices(
    planted: &[PlantedPrice],
    found: &[PlantedPrice],
    duplicates: usize,
) -> PriceScore {
    let mut open: BTreeMap<&PlantedPrice, usize> = BTreeMap::new();
    for price in planted {
        *open.entry(price).or_default() += 1;
    }
    let mut score = PriceScore {
        recorded: found.len(),
        duplicates,
        ..PriceScore::default()
    };
    let shown = |what: &str, price: &PlantedPrice| {
        let stock = if price.is_available { "" } else { ", sold out" };
        format!(
            "{what} {} {} at {}{stock}",
            price.price, price.currency, price.url
        )
    };
    for price in found {
        match open.get_mut(price) {
            Some(left) if *left > 0 => *left -= 1,
            _ => {
                score.wrong += 1;
                score.examples.push(shown("wrong:", price));
            }
        }
    }
    for (price, left) in open {
        if left > 0 {
            score.missed += left;
            score.examples.push(shown("missed:", price));
        }
    }
    score.examples.truncate(EXAMPLES);
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_shops() {
        let (one, two) = (Shops::generate(3), Shops::generate(3));
        one.set_day(2);
        two.set_day(2);
        assert_eq!(one.truth(), two.truth());
        assert_ne!(one.truth(), Shops::generate(4).truth());
        for url in one.urls() {
            let (host, path) = url
                .strip_prefix("http://")
                .unwrap()
                .split_once('/')
                .unwrap();
            let page = one.page(host, &format!("/{path}"));
            assert!(
                page.is_some() && page == two.page(host, &format!("/{path}")),
                "{url}"
            );
        }
    }

    #[test]
    fn prices_are_written_as_people_write_them() {
        for (form, expected) in [
            (Form::Dollars, "$1,299.50"),
            (Form::Pounds, "£1,299.50"),
            (Form::EuroAfter, "1.299,50 €"),
            (Form::EuroSpaced, "1\u{202f}299,50 €"),
            (Form::EuroBefore, "€ 1.299,50"),
            (Form::KronerBefore, "kr 1\u{a0}299,50"),
            (Form::KronorAfter, "1 299,50 kr"),
            (Form::ZlotyAfter, "1\u{a0}299,50 zł"),
        ] {
            assert_eq!(form.write(129_950), expected);
        }
        assert_eq!(Form::KronerBefore.write(1_999_000), "kr 19\u{a0}990,-");
        assert_eq!(
            (plain(129_950), plain(10_000)),
            ("1299.5".to_owned(), "100".to_owned())
        );
    }

    #[test]
    fn each_course_leaves_the_history_it_should() {
        let counts: Vec<usize> = PRODUCTS
            .iter()
            .map(|(_, course)| recorded(&course.days(10_000)).len())
            .collect();
        // Steady, drop, sold out and back, a lie, a sale.
        assert_eq!(counts, [1, 2, 3, 1, 2]);
    }

    #[test]
    fn a_score_counts_what_is_wrong_and_what_is_missing() {
        let price = |price: &str| PlantedPrice {
            url: "u".to_owned(),
            price: price.to_owned(),
            currency: "EUR".to_owned(),
            is_available: true,
        };
        let planted = [price("1"), price("2"), price("1")];
        let score = score_prices(
            &planted,
            &[price("1"), price("1"), price("1"), price("3")],
            4,
        );
        assert_eq!(
            (score.recorded, score.wrong, score.missed, score.duplicates),
            (4, 2, 1, 4)
        );
    }
}
