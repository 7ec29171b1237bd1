//! Cents that are told by typography alone, and the marks of footnotes behind amounts: `19<sup>99</sup>`, `19,99<sup>1</sup>`.

use scraper::node::Element;

use super::region::{Traits, traits};
use crate::html::{Attributes, ego::NodeRef, push_folded};
use crate::price::{Raised, raised, takes_cents};

/// Longest text that may be cents with a sign behind them, in bytes: `99 CHF`.
const MAX_CENTS_BYTES: usize = 8;

/// How far up the element is looked for that raises a text, in elements: `<sup><b>99</b></sup>`.
const MAX_CLIMB: usize = 2;

/// How far up the element is looked for that calls itself a price.
const MAX_PRICE_CLIMB: usize = 3;

/// Appends a text of an element to what was read before it, cents behind a point and without the marks of footnotes.
///
/// Gives the place where it begins now, or nothing if it was the mark of a footnote.
pub(super) fn push(out: &mut String, text: &str, parent: Option<NodeRef<'_>>) -> Option<usize> {
    match role(out, text, parent) {
        Raised::Footnote => return None,
        Raised::Cents => {
            out.truncate(out.trim_end().len());
            out.push('.');
        }
        Raised::Other => {}
    }
    let start = out.len();
    push_folded(out, text);
    Some(start)
}

/// The text of an element that holds a price.
pub(super) fn price_text(node: NodeRef<'_>, limit: usize) -> String {
    let mut out = String::new();
    for inner in node.descendants() {
        let Some(text) = inner.value().as_text() else {
            continue;
        };
        let is_apart = |edge: Option<char>| edge.is_some_and(char::is_whitespace);
        if is_apart(text.chars().next()) && !out.is_empty() {
            out.push(' ');
        }
        let trimmed = text.trim();
        if !trimmed.is_empty() {
            push(&mut out, trimmed, inner.parent());
            if is_apart(text.chars().next_back()) {
                out.push(' ');
            }
        }
        if out.len() > limit {
            break;
        }
    }
    let end = out.floor_char_boundary(limit);
    out.truncate(end);
    out.trim().to_owned()
}

/// What a text is that follows `before`, by the elements around it.
fn role(before: &str, text: &str, parent: Option<NodeRef<'_>>) -> Raised {
    let may_be = text.len() == 1
        || text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '(' | '[' | '*'));
    let is_behind_digit = || before.bytes().any(|byte| byte.is_ascii_digit());
    if !may_be || text.len() > MAX_CENTS_BYTES || !is_behind_digit() {
        return Raised::Other;
    }
    let digits = cents_with_sign(text).unwrap_or(text);
    let around = || {
        parent
            .into_iter()
            .flat_map(|parent| std::iter::once(parent).chain(parent.ancestors()))
    };
    for node in around().take(MAX_CLIMB) {
        let Some(element) = node.value().as_element() else {
            break;
        };
        let own = traits(element);
        if is_raised(element, &own) {
            return raised(before, digits);
        }
        let is_named = own.is_cents || element.name() == "small";
        if is_named
            && digits.len() == 2
            && takes_cents(before)
            && raised(before, digits) == Raised::Cents
        {
            return Raised::Cents;
        }
    }
    // `<i>$</i><b>13</b><b>27</b>` within a price: an element of its own for two digits, right behind one for the others.
    let is_of_its_own = text == digits
        && raised(before, digits) == Raised::Cents
        && parent.is_some_and(follows_whole)
        && around()
            .skip(1)
            .take(MAX_PRICE_CLIMB)
            .filter_map(|node| node.value().as_element().map(traits))
            .any(|traits| traits.is_price);
    if is_of_its_own {
        Raised::Cents
    } else {
        Raised::Other
    }
}

/// The two digits of a text that has but a sign behind them: `99 €`.
fn cents_with_sign(text: &str) -> Option<&str> {
    let (digits, rest) = text.split_at_checked(2)?;
    let is_sign = !rest.is_empty()
        && !rest.contains(|c: char| c.is_numeric() || matches!(c, '%' | '/' | ')' | ']'));
    (is_sign && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// Whether an element sets its text raised.
fn is_raised(element: &Element, traits: &Traits) -> bool {
    element.name() == "sup"
        || traits.is_footnote
        || element.attribute("style").is_some_and(|style| {
            let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
            ["super", "top", "text-top"]
                .iter()
                .any(|place| style.contains(&format!("vertical-align:{place}")))
        })
}

/// Whether an element stands right behind one that is no price of its own.
fn follows_whole(node: NodeRef<'_>) -> bool {
    node.prev_sibling()
        .and_then(|before| before.value().as_element())
        .map(traits)
        .is_some_and(|before| {
            !(before.is_price || before.is_old || before.is_now || before.is_struck)
        })
}
