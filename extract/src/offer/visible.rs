//! What a buyer sees: headings, prices, buttons and words about stock, read in one walk of the tree.
//!
//! Every piece of text that reads as a price is a candidate; `score` says which of them is the
//! product's.

mod anchor;
pub(super) mod article;
mod others;
mod score;
pub(super) mod stock;

use ego_tree::NodeId;
use ego_tree::iter::Edge;
use scraper::Node;
use scraper::node::Element;

use super::article::{Articles, Kind as ArticleKind, Mark, is_article_attribute, kind_of_property};
use super::availability::{
    Availability, availability_of, exact_availability, is_cart_button, is_notify_button,
};
use super::region::{Traits, traits};
use super::section::announces_others;
use super::typography;
use crate::html::{Attributes, Page, ego::NodeRef};
use crate::price::{self, Amount, Currency, Hints};

/// Most text that is read, in bytes.
const MAX_TEXT_BYTES: usize = 1024 * 1024;

/// Longest text of an element that may be a price as a whole, in bytes.
const MAX_PRICE_BYTES: usize = 110;

/// Longest text that may say "free" where a price stands, in bytes.
const MAX_FREE_BYTES: usize = 24;

/// How much of a text about stock is looked at, and the longest text that may be one by itself, in bytes.
const MAX_NOTE_BYTES: usize = 90;

/// Longest text about stock, in bytes.
const MAX_STOCK_BYTES: usize = 300;

/// Longest text of a heading below the first level, in bytes.
const MAX_HEADING_BYTES: usize = 300;

/// Longest text before an amount that may say what it is, in bytes.
const MAX_LEAD_BYTES: usize = 40;

/// Most candidates scored.
const MAX_CANDIDATES: usize = 600;

/// Most buttons and notes on stock kept.
const MAX_NOTES: usize = 300;

/// Most texts compared with the words about stock and on buttons.
const MAX_LOOKS: usize = 5_000;

/// A price a buyer sees, and how much speaks for it.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent marks, not states"
)]
pub(super) struct Candidate {
    pub(super) amount: Amount,
    pub(super) currency: Option<Currency>,
    pub(super) old_amount: Option<Amount>,
    pub(super) score: f32,
    is_struck: bool,
    is_named_old: bool,
    /// Its element is called a former price, perhaps beside other names.
    has_old_name: bool,
    /// Its element is called the price of today.
    has_name_of_today: bool,
    is_free: bool,
    /// Where the words before it begin that were read with it.
    lead: usize,
    start: usize,
    end: usize,
    node: NodeId,
    flags: price::Flags,
    has_sign: bool,
    /// The sign as written.
    sign: Option<String>,
    labels: price::Labels,
}

/// A button, or a text that stands where words about stock stand.
#[derive(Debug)]
struct Note {
    start: usize,
    node: NodeId,
    kind: NoteKind,
}

impl Note {
    /// Whether it is a button that buys, or offers to tell when there is something to buy.
    fn is_button(&self) -> bool {
        matches!(self.kind, NoteKind::Cart { .. } | NoteKind::Notify)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum NoteKind {
    Cart {
        is_disabled: bool,
    },
    Notify,
    /// In an element whose name speaks of stock.
    Stock(Availability),
    /// In a text of no more than these words.
    Text(Availability),
}

/// A text that may be the product's name.
struct Heading {
    /// 1 for `<h1>`; the others count only on pages without one. What only calls itself a heading comes last.
    level: u8,
    start: usize,
    end: usize,
    node: NodeId,
    text: String,
}

/// A heading above other products.
struct OtherProducts {
    /// 1 for `<h1>`; elements that only call themselves headings come last.
    level: u8,
    end: usize,
    node: NodeId,
}

/// What was seen on a page.
pub(super) struct Visible<'a> {
    page: &'a Page,
    text: String,
    /// Where blocks begin and end in it.
    edges: Vec<usize>,
    headings: Vec<Heading>,
    others: Vec<OtherProducts>,
    candidates: Vec<Candidate>,
    notes: Vec<Note>,
    articles: Articles,
}

/// The price the page shows for its product.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) amount: Amount,
    pub(super) currency: Option<Currency>,
    /// The sign beside the amount, as written.
    pub(super) sign: Option<String>,
    pub(super) list_price: Option<Amount>,
    /// What the words beside the amount say.
    pub(super) labels: price::Labels,
    pub(super) confidence: f32,
    /// Every amount that is shown, of whatever.
    pub(super) shown: Vec<(Amount, Option<Currency>)>,
}

fn is_skipped(name: &str) -> bool {
    matches!(
        name,
        "script"
            | "style"
            | "template"
            | "noscript"
            | "svg"
            | "select"
            | "textarea"
            | "head"
            | "iframe"
            | "datalist"
            | "video"
            | "audio"
            | "canvas"
            | "math"
            | "object"
            | "title"
    )
}

fn is_block(name: &str) -> bool {
    !matches!(
        name,
        "a" | "abbr"
            | "b"
            | "bdi"
            | "bdo"
            | "big"
            | "cite"
            | "code"
            | "data"
            | "em"
            | "font"
            | "i"
            | "ins"
            | "kbd"
            | "mark"
            | "q"
            | "s"
            | "small"
            | "span"
            | "strike"
            | "strong"
            | "sub"
            | "sup"
            | "time"
            | "tt"
            | "u"
            | "var"
            | "wbr"
            | "bdt"
            | "del"
    )
}

struct Reader<'a> {
    hints: Hints<'a>,
    text: String,
    /// For each open element, where its text begins.
    open: Vec<usize>,
    /// Where blocks begin and end.
    edges: Vec<usize>,
    last_digit: usize,
    last_candidate: usize,
    /// Where the last of the main headings ends: a product's name says nothing about its price.
    heading_end: usize,
    candidates: Vec<Candidate>,
    headings: Vec<Heading>,
    others: Vec<OtherProducts>,
    articles: Articles,
    /// How many more texts may be compared with the words about stock.
    looks: usize,
}

impl Reader<'_> {
    /// A block begins or ends.
    fn edge(&mut self) {
        self.space();
        if self.edges.last() != Some(&self.text.len()) {
            self.edges.push(self.text.len());
        }
    }

    fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }

    /// Appends a text node; a price of its own is a candidate at once.
    fn push(&mut self, text: &str, parent: Option<NodeRef<'_>>) {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            if !text.is_empty() {
                self.space();
            }
            return;
        }
        if text.starts_with(char::is_whitespace) {
            self.space();
        }
        if let Some(parent) = parent {
            self.articles.read(trimmed, self.text.len(), parent.id());
        }
        let Some(start) = typography::push(&mut self.text, trimmed, parent) else {
            return;
        };
        if trimmed.contains(char::is_numeric) {
            self.last_digit = self.text.len();
            // A sign in an element of its own: the element around both is the candidate.
            if let Some(parent) = parent
                && trimmed.len() <= MAX_PRICE_BYTES
            {
                self.try_price(start, parent.id(), true, false);
            }
        }
        if text.ends_with(char::is_whitespace) {
            self.space();
        }
    }

    /// Makes the text from `start` a candidate if it is a price.
    fn try_price(
        &mut self,
        start: usize,
        node: NodeId,
        needs_sign: bool,
        is_price_element: bool,
    ) -> bool {
        if self.candidates.len() >= MAX_CANDIDATES {
            return false;
        }
        let end = self.text.trim_end().len();
        let Some(own) = self.text.get(start..end) else {
            return false;
        };
        let Some(mut found) = price::parse(own, &self.hints) else {
            return false;
        };
        let has_sign = found.currency_raw.is_some();
        if !has_sign && (needs_sign || !is_price_element) {
            return false;
        }
        // The words before it, back to the last candidate, may make it a former price.
        let lead_start = start
            .saturating_sub(MAX_LEAD_BYTES)
            .max(self.last_candidate)
            .max(self.heading_end);
        let lead_start = self.text.ceil_char_boundary(lead_start.min(start));
        if lead_start < start
            && let Some(with_lead) = self.text.get(lead_start..end)
        {
            match price::parse(with_lead, &self.hints) {
                Some(led) if led.amount == found.amount => {
                    found.flags.is_old |= led.flags.is_old;
                    found.flags.is_from |= led.flags.is_from;
                    found.flags.is_range |= led.flags.is_range;
                }
                // "Save", "over": with its words it is no price.
                None if has_sign => {
                    self.last_candidate = end;
                    return true;
                }
                _ => {}
            }
        }
        // "De 20" and "por 15" in elements of their own: together they say which is the former.
        if let Some(before) = self.candidates.last_mut()
            && before.end <= start
            && start - before.end < MAX_LEAD_BYTES
            && let Some(text) = self.text.get(before.lead..end)
            && let Some(both) = price::parse(text, &self.hints)
            && both.amount == found.amount
            && both.old_amount == Some(before.amount)
        {
            before.flags.is_old = true;
            found.old_amount = both.old_amount;
        }
        self.last_candidate = end;
        self.candidates.push(Candidate {
            sign: found.currency_raw,
            labels: price::Labels::default(),
            lead: lead_start,
            amount: found.amount,
            currency: found.currency,
            old_amount: found.old_amount,
            score: 0.0,
            is_struck: false,
            is_named_old: false,
            has_old_name: false,
            has_name_of_today: false,
            is_free: found.flags.is_free,
            start,
            end,
            node,
            flags: found.flags,
            has_sign,
        });
        true
    }
}

impl Reader<'_> {
    /// The text of a heading that begins at `start`: neither buttons nor the product's number are part of a name.
    fn heading(&self, node: NodeRef<'_>, start: usize) -> String {
        if let Some(text) = without_buttons(node) {
            return text;
        }
        let number = self
            .articles
            .found
            .iter()
            .rev()
            .take_while(|article| article.start >= start)
            .filter(|article| article.mark == Mark::Label && article.start > start)
            .filter(|article| article.kind != ArticleKind::Mpn)
            .map(|article| article.start)
            .min();
        let end = number.unwrap_or(self.text.len());
        let name = self.text.get(start..end).unwrap_or_default();
        let is_mark =
            |c: char| c.is_whitespace() || matches!(c, '(' | '[' | '|' | '-' | '–' | ',' | '#');
        if number.is_some() {
            name.trim_end_matches(is_mark).trim_start().to_owned()
        } else {
            name.trim().to_owned()
        }
    }

    /// The numbers that an element by itself says it holds.
    fn read_article(
        &mut self,
        node: NodeRef<'_>,
        element: &Element,
        start: usize,
        traits: &Traits,
    ) {
        let text = self.text.get(start..).unwrap_or_default();
        for (name, value) in element.attrs() {
            if is_article_attribute(name) {
                self.articles.read_named(
                    ArticleKind::Sku,
                    Mark::Attribute,
                    value,
                    start,
                    node.id(),
                );
            } else if name == "itemprop"
                && let Some(kind) = kind_of_property(value)
            {
                let content = element.attribute("content").unwrap_or(text);
                self.articles
                    .read_named(kind, Mark::Property, content, start, node.id());
            }
        }
        if traits.is_article {
            self.articles
                .read_named(ArticleKind::Sku, Mark::Class, text, start, node.id());
        }
    }

    /// Whether what was taken for prices from `start` are but parts of one: amounts without a sign, as in
    /// `€<b>2</b>.<b>999</b>`, or an amount whose decimals follow, as in `<b>$79</b><i>.99</i>`.
    fn has_parts(&self, start: usize) -> bool {
        let first = self
            .candidates
            .iter()
            .rposition(|candidate| candidate.start < start)
            .map_or(0, |last| last + 1);
        match self.candidates.get(first..).unwrap_or_default() {
            [] => false,
            [first, others @ ..] if first.has_sign => {
                let rest = self.text.get(first.end..).unwrap_or_default().trim_end();
                let is_two_digits =
                    |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                // `24<sup>€90</sup>`, `24<sup>90 €</sup>`
                let has_whole_before = self.text.get(start..first.start).is_some_and(|whole| {
                    whole
                        .trim_end_matches('.')
                        .ends_with(|c: char| c.is_ascii_digit())
                });
                let has_decimals_after = first.amount.scale() == 0
                    && rest
                        .trim_start()
                        .strip_prefix(['.', ','])
                        .is_some_and(|decimals| is_two_digits(decimals.trim_start()));
                // `24€<sup>90</sup>`
                let ends_in_sign = self
                    .text
                    .get(first.start..first.end)
                    .is_some_and(|own| own.ends_with(|c: char| !c.is_alphanumeric()));
                let has_sign_between = ends_in_sign && is_two_digits(rest);
                (has_whole_before || has_decimals_after || has_sign_between)
                    && others.iter().all(|inner| !inner.has_sign)
            }
            all => all.iter().all(|inner| !inner.has_sign),
        }
    }

    /// Puts a price with its sign in the place of the parts of it that were taken for prices.
    fn try_whole(&mut self, start: usize, node: NodeId) {
        let kept = self
            .candidates
            .iter()
            .rposition(|candidate| candidate.start < start)
            .map_or(0, |last| last + 1);
        let parts = self.candidates.split_off(kept);
        let last_candidate = self.last_candidate;
        self.last_candidate = self.candidates.last().map_or(0, |last| last.end);
        if !self.try_price(start, node, true, false) {
            self.candidates.extend(parts);
            self.last_candidate = last_candidate;
        }
    }
}

/// Reads a page once.
pub(super) fn read<'a>(page: &'a Page, hints: &Hints<'_>) -> Visible<'a> {
    let mut reader = Reader {
        hints: *hints,
        text: String::new(),
        open: Vec::new(),
        edges: Vec::new(),
        last_digit: 0,
        last_candidate: 0,
        heading_end: 0,
        candidates: Vec::new(),
        headings: Vec::new(),
        others: Vec::new(),
        articles: Articles::default(),
        looks: MAX_LOOKS,
    };
    let mut notes: Vec<Note> = Vec::new();
    let mut skipping: Option<NodeId> = None;
    for edge in page.document().tree.root().traverse() {
        match edge {
            Edge::Open(node) => match node.value() {
                Node::Element(element) if skipping.is_none() => {
                    if is_skipped(element.name()) {
                        skipping = Some(node.id());
                        continue;
                    }
                    if is_block(element.name()) {
                        reader.edge();
                    }
                    reader.open.push(reader.text.len());
                }
                Node::Text(text) if skipping.is_none() => reader.push(text, node.parent()),
                _ => {}
            },
            Edge::Close(node) => {
                let Node::Element(element) = node.value() else {
                    continue;
                };
                if let Some(id) = skipping {
                    if id == node.id() {
                        skipping = None;
                    }
                    continue;
                }
                let start = reader.open.pop().unwrap_or(0);
                close(&mut reader, node, element, start, &mut notes);
                if matches!(element.name(), "h1" | "h2") {
                    reader.heading_end = reader.text.len();
                }
                read_heading(&mut reader, node, element, start);
                if is_block(element.name()) {
                    reader.edge();
                }
            }
        }
        if reader.text.len() > MAX_TEXT_BYTES {
            break;
        }
    }
    Visible {
        page,
        text: reader.text,
        edges: reader.edges,
        headings: reader.headings,
        others: reader.others,
        candidates: reader.candidates,
        notes,
        articles: reader.articles,
    }
}

/// An element that may be a heading ends.
fn read_heading(reader: &mut Reader<'_>, node: NodeRef<'_>, element: &Element, start: usize) {
    let level = heading_level(element.name());
    let end = reader.text.len();
    let is_short = (1..=MAX_HEADING_BYTES).contains(&end.saturating_sub(start));
    let is_named = is_short && level == NAMED_LEVEL && is_named_title(element);
    if level > 1 && !(is_short && (level < NAMED_LEVEL || is_named)) {
        return;
    }
    let text = reader.heading(node, start);
    if level > 1 && reader.others.len() < MAX_NOTES && announces_others(&text) {
        reader.others.push(OtherProducts {
            level,
            end,
            node: node.id(),
        });
    }
    let limit = if level == 1 { MAX_NOTES * 2 } else { MAX_NOTES };
    if !text.is_empty() && reader.headings.len() < limit {
        reader.headings.push(Heading {
            level,
            start,
            end,
            node: node.id(),
            text,
        });
    }
}

/// The level of what only calls itself a heading.
const NAMED_LEVEL: u8 = 7;

/// The level of a heading: 1 for `<h1>`.
fn heading_level(name: &str) -> u8 {
    match name {
        "h1" => 1,
        "h2" => 2,
        "h3" => 3,
        "h4" => 4,
        "h5" => 5,
        "h6" => 6,
        _ => NAMED_LEVEL,
    }
}

/// The text of a heading that has a button in it, without the button's.
fn without_buttons(node: NodeRef<'_>) -> Option<String> {
    let is_button = |node: NodeRef<'_>| {
        node.value()
            .as_element()
            .is_some_and(|element| element.name() == "button")
    };
    if !node.descendants().any(is_button) {
        return None;
    }
    let mut text = String::new();
    for inner in node.descendants() {
        let is_within = inner
            .ancestors()
            .take_while(|around| around.id() != node.id())
            .any(is_button);
        if let (Some(own), false) = (inner.value().as_text(), is_within) {
            crate::html::push_folded(&mut text, own);
        }
    }
    Some(text.trim().to_owned())
}

/// An element whose name says that it holds the name of something.
fn is_named_title(element: &Element) -> bool {
    !matches!(element.name(), "a" | "body" | "html")
        && ["class", "id"]
            .iter()
            .filter_map(|name| element.attribute(name))
            .any(|name| {
                let name = name.to_ascii_lowercase();
                ["title", "name", "heading"]
                    .iter()
                    .any(|word| name.contains(word))
            })
}

/// What an element whose name speaks of stock says at its beginning.
fn stock_note(text: &str) -> Option<NoteKind> {
    let end = text.floor_char_boundary(MAX_NOTE_BYTES);
    availability_of(text.get(..end).unwrap_or_default()).map(NoteKind::Stock)
}

/// An element ends: it may be a price as a whole, a button, or a note on stock.
fn close(
    reader: &mut Reader<'_>,
    node: NodeRef<'_>,
    element: &Element,
    start: usize,
    notes: &mut Vec<Note>,
) {
    let length = reader.text.len().saturating_sub(start);
    let are_parts =
        length <= MAX_PRICE_BYTES && reader.last_candidate > start && reader.has_parts(start);
    let may_be_price =
        length > 0 && length <= MAX_PRICE_BYTES && (reader.last_candidate <= start || are_parts);
    let has_digit = reader.last_digit > start;
    let own_traits = if length <= MAX_PRICE_BYTES {
        traits(element)
    } else {
        Traits::default()
    };
    reader.read_article(node, element, start, &own_traits);
    // "Free" has no digit; only an element that calls itself a price makes it one.
    let is_price_element =
        may_be_price && (has_digit || length <= MAX_FREE_BYTES) && own_traits.is_price;
    if may_be_price && (has_digit || is_price_element) {
        let leads = reader
            .text
            .get(start..)
            .map_or(0, |text| text.len() - text.trim_start().len());
        if are_parts {
            reader.try_whole(start + leads, node.id());
        } else {
            reader.try_price(start + leads, node.id(), false, is_price_element);
        }
    }
    if notes.len() >= MAX_NOTES || reader.looks == 0 {
        return;
    }
    let is_input = element.name() == "input"
        && element
            .attribute("type")
            .is_some_and(|kind| matches!(kind, "submit" | "button"));
    let is_button =
        element.name() == "button" || is_input || element.attribute("role") == Some("button");
    let is_link = element.name() == "a"
        && (is_button
            || element.attribute("class").is_some_and(|class| {
                let class = class.to_ascii_lowercase();
                ["btn", "button", "cart", "buy", "add"]
                    .iter()
                    .any(|word| class.contains(word))
            }));
    let own = if is_input {
        element.attribute("value").unwrap_or_default()
    } else if length <= MAX_PRICE_BYTES {
        reader.text.get(start..).unwrap_or_default().trim()
    } else {
        // A longer text on stock says it at the beginning.
        if length <= MAX_STOCK_BYTES && traits(element).is_stock {
            let text = reader.text.get(start..).unwrap_or_default();
            reader.looks -= 1;
            notes.extend(stock_note(text).map(|kind| Note {
                start,
                node: node.id(),
                kind,
            }));
        }
        return;
    };
    if is_button || is_link {
        reader.looks -= 1;
        let label = if own.is_empty() {
            element.attribute("aria-label").unwrap_or_default()
        } else {
            own
        };
        let is_disabled = element.attribute("disabled").is_some()
            || element.attribute("aria-disabled") == Some("true")
            || element.attribute("class").is_some_and(|class| {
                class
                    .split_ascii_whitespace()
                    .any(|class| class == "disabled")
            });
        let kind = if is_cart_button(label) {
            NoteKind::Cart { is_disabled }
        } else if is_notify_button(label) {
            NoteKind::Notify
        } else if let Some(found) = availability_of(label)
            .filter(|found| *found != Availability::InStock && label.chars().count() < 40)
            // A basket's "0 items" is no stock.
            .filter(|_| !label.contains(char::is_numeric))
        {
            NoteKind::Stock(found)
        } else if own_traits.is_cart_button && !label.is_empty() {
            NoteKind::Cart { is_disabled }
        } else {
            return;
        };
        notes.push(Note {
            start,
            node: node.id(),
            kind,
        });
        return;
    }
    let kind = if own.len() < 2 {
        None
    } else if own_traits.is_stock {
        reader.looks -= 1;
        stock_note(own)
    } else if own.len() > MAX_NOTE_BYTES {
        None
    } else if own_traits.is_cart_button && is_cart_button(own) {
        Some(NoteKind::Cart { is_disabled: false })
    } else {
        exact_availability(own).map(NoteKind::Text)
    };
    if let Some(kind) = kind {
        notes.push(Note {
            start,
            node: node.id(),
            kind,
        });
    }
}
