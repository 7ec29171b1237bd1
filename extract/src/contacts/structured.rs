//! Structured data: JSON-LD, microdata, `RDFa` and the `<meta>` properties that name contacts.
//!
//! Property names are those of schema.org (`telephone`, `faxNumber`, `email`, `PostalAddress` …),
//! vCard and Open Graph's business profile.

use serde_json::{Map, Value};

use super::finding::Source;
use super::{deobfuscate, label};
use crate::html::{Attributes, Page, ego::NodeRef, folded, node_lines, node_text};
use crate::structured::{json_ld, script_text};

/// Most JSON-LD values walked in one page.
const MAX_VALUES: usize = 100_000;

/// Most scripts handed out for deobfuscation.
const MAX_SCRIPTS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    Email,
    Phone,
    Fax,
    /// From a class name, which is used for telephone and fax alike.
    Number,
    SameAs,
}

/// What the structured data of a page says.
#[derive(Debug, Default)]
pub(super) struct Structured {
    pub(super) properties: Vec<(Property, String, Source)>,
    /// Countries named in addresses, as written.
    pub(super) countries: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) address: Option<String>,
}

/// The scripts of a page that are code and may hold an address.
pub(super) fn scripts(page: &Page) -> impl Iterator<Item = String> {
    let may_assemble = |node: &NodeRef<'_>| {
        let mut texts = node.children().filter_map(|child| child.value().as_text());
        texts.any(|text| deobfuscate::may_assemble(text))
    };
    page.elements()
        .filter(|(_, element)| element.name() == "script" && element.attribute("src").is_none())
        .filter(|(_, element)| {
            !element
                .attribute("type")
                .is_some_and(|kind| kind.contains("json"))
        })
        .map(|(node, _)| node)
        .take(MAX_SCRIPTS)
        .filter(may_assemble)
        .map(script_text)
}

/// Reads all structured data of a page.
pub(super) fn read(page: &Page) -> Structured {
    let mut out = Structured::default();
    for root in json_ld(page) {
        read_json(&root, &mut out);
    }
    read_microdata(page, &mut out);
    if out.address.is_none() {
        out.address = address_element(page);
    }
    out
}

/// Walks in document order with a stack of its own; `serde_json` bounds the depth as well.
fn read_json(root: &Value, out: &mut Structured) {
    let mut stack = vec![root];
    let mut left = MAX_VALUES;
    while let Some(value) = stack.pop() {
        left = left.saturating_sub(1);
        if left == 0 {
            return;
        }
        match value {
            Value::Array(values) => stack.extend(values.iter().rev()),
            Value::Object(object) => {
                read_object(object, out);
                let children: Vec<&Value> = object
                    .values()
                    .filter(|v| v.is_object() || v.is_array())
                    .collect();
                stack.extend(children.into_iter().rev());
            }
            _ => {}
        }
    }
}

fn read_object(object: &Map<String, Value>, out: &mut Structured) {
    for (key, value) in object {
        let property = property_of(key);
        for text in strings(value) {
            if let Some(property) = property {
                out.properties
                    .push((property, text.to_owned(), Source::JsonLd));
            } else if key == "addressCountry" {
                out.countries.push(text.to_owned());
            }
        }
        if key == "addressCountry"
            && let Some(name) = value.get("name").and_then(Value::as_str)
        {
            out.countries.push(name.to_owned());
        }
    }
    if out.name.is_none() && is_owner(object) {
        out.name = object
            .get("name")
            .and_then(Value::as_str)
            .and_then(|name| folded(name, 200));
    }
    if out.address.is_none() {
        out.address = match object.get("address") {
            Some(Value::String(text)) => folded(text, 300),
            Some(Value::Object(address)) => postal_address(address),
            Some(Value::Array(addresses)) => addresses
                .first()
                .and_then(Value::as_object)
                .and_then(postal_address),
            _ => None,
        };
    }
}

/// Whether an object stands for who is behind the page rather than for a thing on it.
fn is_owner(object: &Map<String, Value>) -> bool {
    const THINGS: &[&str] = &[
        "Article",
        "BlogPosting",
        "BreadcrumbList",
        "Event",
        "ImageObject",
        "ListItem",
        "NewsArticle",
        "Offer",
        "Product",
        "Review",
        "SearchAction",
        "Service",
        "VideoObject",
        "WebPage",
        "WebSite",
        "Brand",
        "Question",
        "City",
        "Country",
        "Place",
    ];
    let is_thing = object
        .get("@type")
        .map(strings)
        .is_none_or(|types| types.is_empty() || types.iter().any(|kind| THINGS.contains(kind)));
    let owns = [
        "telephone",
        "email",
        "address",
        "contactPoint",
        "sameAs",
        "logo",
    ];
    !is_thing && owns.iter().any(|key| object.contains_key(*key))
}

fn postal_address(address: &Map<String, Value>) -> Option<String> {
    let part = |key: &str| match address.get(key) {
        Some(Value::String(text)) => folded(text, 120),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Object(object)) => object
            .get("name")
            .and_then(Value::as_str)
            .and_then(|name| folded(name, 120)),
        _ => None,
    };
    join_address(
        part("streetAddress"),
        part("postalCode"),
        part("addressLocality"),
        part("addressRegion"),
        part("addressCountry"),
    )
}

fn join_address(
    street: Option<String>,
    postal_code: Option<String>,
    locality: Option<String>,
    region: Option<String>,
    country: Option<String>,
) -> Option<String> {
    if street.is_none() && locality.is_none() && postal_code.is_none() {
        return None;
    }
    let town = [postal_code, locality]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    let parts = [street, Some(town), region, country];
    let line: Vec<&str> = parts
        .iter()
        .flatten()
        .map(|part| part.trim_matches([',', ' ']))
        .filter(|part| !part.is_empty())
        .collect();
    folded(&line.join(", "), 300)
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().filter_map(Value::as_str).take(200).collect(),
        _ => Vec::new(),
    }
}

fn property_of(name: &str) -> Option<Property> {
    let name = name
        .rsplit([':', '/', '#'])
        .next()
        .unwrap_or(name)
        .to_ascii_lowercase();
    match name.as_str() {
        "email" => Some(Property::Email),
        "telephone" | "tel" | "phone" | "phone_number" | "phonenumber" => Some(Property::Phone),
        "faxnumber" | "fax" | "fax_number" => Some(Property::Fax),
        "sameas" => Some(Property::SameAs),
        _ => None,
    }
}

/// What a class name says of an element's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Property(Property),
    Part(Part),
}

/// What there is to a name and address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Street,
    PostalCode,
    Locality,
    Region,
    Country,
    Address,
}

/// The classes of hCard and h-card, and the plain words used for the same. Those of names and
/// addresses are too common to count outside of a card.
const CLASSES: &[(&str, Named)] = &[
    ("tel", Named::Property(Property::Number)),
    ("p-tel", Named::Property(Property::Number)),
    ("phone", Named::Property(Property::Number)),
    ("telephone", Named::Property(Property::Number)),
    ("phone-number", Named::Property(Property::Number)),
    ("phonenumber", Named::Property(Property::Number)),
    ("telefon", Named::Property(Property::Number)),
    ("fax", Named::Property(Property::Fax)),
    ("p-tel-fax", Named::Property(Property::Fax)),
    ("faxnumber", Named::Property(Property::Fax)),
    ("fax-number", Named::Property(Property::Fax)),
    ("fn", Named::Part(Part::Name)),
    ("p-name", Named::Part(Part::Name)),
    ("street-address", Named::Part(Part::Street)),
    ("p-street-address", Named::Part(Part::Street)),
    ("postal-code", Named::Part(Part::PostalCode)),
    ("p-postal-code", Named::Part(Part::PostalCode)),
    ("locality", Named::Part(Part::Locality)),
    ("p-locality", Named::Part(Part::Locality)),
    ("region", Named::Part(Part::Region)),
    ("p-region", Named::Part(Part::Region)),
    ("country-name", Named::Part(Part::Country)),
    ("p-country-name", Named::Part(Part::Country)),
];

/// How far above a property its card is looked for.
const MAX_CARD_DEPTH: usize = 12;

/// Classes of an element that holds a card.
const CARDS: &[&str] = &["vcard", "h-card", "adr", "h-adr", "p-adr"];

fn microformat(node: NodeRef<'_>, classes: &str) -> Option<Named> {
    let named = classes
        .split_ascii_whitespace()
        .take(20)
        .find_map(|class| {
            let known = CLASSES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(class));
            known.map(|(_, named)| *named)
        })?;
    let is_card = |ancestor: NodeRef<'_>| {
        let element = ancestor.value().as_element();
        let classes = element.and_then(|element| element.attribute("class"));
        classes.is_some_and(|classes| {
            classes
                .split_ascii_whitespace()
                .any(|class| CARDS.contains(&class))
        })
    };
    let counts =
        matches!(named, Named::Property(_)) || node.ancestors().take(MAX_CARD_DEPTH).any(is_card);
    counts.then_some(named)
}

/// The property of schema.org, vCard or Open Graph with this name.
fn part_of(name: &str) -> Option<Part> {
    Some(match name {
        "streetaddress" | "street-address" | "street_address" => Part::Street,
        "postalcode" | "postal-code" | "postal_code" => Part::PostalCode,
        "addresslocality" | "locality" => Part::Locality,
        "addressregion" => Part::Region,
        "addresscountry" | "country-name" | "country_name" => Part::Country,
        "address" => Part::Address,
        "name" | "legalname" => Part::Name,
        _ => return None,
    })
}

#[derive(Default)]
struct MicrodataAddress {
    street: Option<String>,
    postal_code: Option<String>,
    locality: Option<String>,
    region: Option<String>,
    country: Option<String>,
    /// In one piece.
    whole: Option<String>,
}

fn read_microdata(page: &Page, out: &mut Structured) {
    let mut address = MicrodataAddress::default();
    let mut site_name = None;
    for (node, element) in page.elements() {
        let named = element
            .attribute("class")
            .and_then(|classes| microformat(node, classes));
        match named {
            Some(Named::Property(property)) => {
                let value = node_text(node, 60);
                if value.chars().count() < 60 {
                    out.properties.push((property, value, Source::Microdata));
                }
            }
            Some(Named::Part(part)) => {
                let value = node_text(node, 200);
                address.fill(part, &value, out);
            }
            None => {}
        }
        let Some(names) = element
            .attribute("itemprop")
            .or_else(|| element.attribute("property"))
        else {
            continue;
        };
        for name in names.split_ascii_whitespace().take(8) {
            if let Some(property) = property_of(name) {
                let value = property_value(node, 200);
                if !value.is_empty() {
                    out.properties.push((property, value, Source::Microdata));
                }
                continue;
            }
            if name.eq_ignore_ascii_case("og:site_name") && site_name.is_none() {
                site_name = folded(&property_value(node, 200), 200);
                continue;
            }
            let local = name.rsplit([':', '/', '#']).next().unwrap_or(name);
            let counts = |part: &Part| match part {
                Part::Name => is_owner_scope(node),
                Part::Address => !["itemscope", "typeof"]
                    .iter()
                    .any(|scope| element.attribute(scope).is_some()),
                _ => true,
            };
            if let Some(part) = part_of(&local.to_ascii_lowercase()).filter(counts) {
                address.fill(part, &property_value(node, 200), out);
            }
        }
    }
    if out.name.is_none() {
        out.name = site_name;
    }
    if out.address.is_none() {
        out.address = join_address(
            address.street,
            address.postal_code,
            address.locality,
            address.region,
            address.country,
        )
        .or(address.whole);
    }
}

impl MicrodataAddress {
    /// Keeps the first value of each part.
    fn fill(&mut self, part: Part, value: &str, out: &mut Structured) {
        if part == Part::Country {
            out.countries.push(value.to_owned());
        }
        let slot = match part {
            Part::Name => &mut out.name,
            Part::Street => &mut self.street,
            Part::PostalCode => &mut self.postal_code,
            Part::Locality => &mut self.locality,
            Part::Region => &mut self.region,
            Part::Country => &mut self.country,
            Part::Address => &mut self.whole,
        };
        if slot.is_none() {
            *slot = folded(value, 200);
        }
    }
}

/// The nearest item around a property is an organisation, a business or a person.
fn is_owner_scope(node: NodeRef<'_>) -> bool {
    const OWNERS: &[&str] = &[
        "Organization",
        "Business",
        "Corporation",
        "Store",
        "Restaurant",
        "Hotel",
        "Dentist",
        "Person",
        "Physician",
        "Attorney",
        "Agent",
        "School",
        "Shop",
        "Dealer",
        "Service",
    ];
    node.ancestors()
        .filter_map(|ancestor| ancestor.value().as_element())
        .find_map(|element| match element.attribute("itemscope") {
            Some(_) => element.attribute("itemtype").or(Some("")),
            None => element.attribute("typeof"),
        })
        .is_some_and(|kind| OWNERS.iter().any(|owner| kind.contains(owner)))
}

/// `content`, the target of a link, or the text, as the microdata rules say.
fn property_value(node: NodeRef<'_>, limit: usize) -> String {
    let Some(element) = node.value().as_element() else {
        return String::new();
    };
    if let Some(content) = element.attribute("content") {
        return folded(content, limit).unwrap_or_default();
    }
    if matches!(element.name(), "a" | "link" | "area")
        && let Some(href) = element.attribute("href")
    {
        let text = node_text(node, limit);
        let is_target = href.starts_with("tel:") || href.starts_with("mailto:") || text.is_empty();
        let href = href
            .trim_start_matches("tel:")
            .trim_start_matches("mailto:");
        let is_web = href.starts_with("http") || href.starts_with('/');
        return if is_target || is_web {
            folded(href, limit).unwrap_or_default()
        } else {
            text
        };
    }
    node_text(node, limit)
}

/// The lines of an `<address>` element that are a postal address, if some are: up to what else there
/// is to a contact.
fn address_element(page: &Page) -> Option<String> {
    page.elements()
        .filter(|(_, element)| element.name() == "address")
        .find_map(|(node, _)| {
            let lines: Vec<String> = node_lines(node, 400)
                .into_iter()
                .filter(|line| !is_other_contact(line))
                .collect();
            let text = lines.join(", ");
            let has_number = lines
                .iter()
                .any(|line| line.contains(|c: char| c.is_ascii_digit()));
            let has_words = lines
                .iter()
                .any(|line| line.chars().filter(|c| c.is_alphabetic()).count() >= 4);
            ((10..=250).contains(&text.chars().count()) && has_number && has_words).then_some(text)
        })
}

/// A line with a telephone number, mail or web address, or a lone label of one.
fn is_other_contact(line: &str) -> bool {
    let mut longest = 0;
    let mut current = 0;
    for c in line.chars() {
        current = if c.is_ascii_digit() { current + 1 } else { 0 };
        longest = longest.max(current);
    }
    let digits = line.chars().filter(char::is_ascii_digit).count();
    longest >= 7
        || digits >= 10
        || line.contains('@')
        || line.contains("www.")
        || line.ends_with(':')
        || label::starts_with_phone_word(line)
}
