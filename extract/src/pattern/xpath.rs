//! A subset of `XPath` 1.0 over HTML, for patterns.
//!
//! The one maintained crate that evaluates `XPath` over HTML, `skyscraper` (0.7.0), was measured beside this (`bench/README.md`): it is as fast
//! and knows far more, but it reads only trees of its own, so that each page would be parsed twice, by a parser that takes four times as long;
//! it has no bound on the work of an expression; and it is `XPath` 3.1, where what patterns rely on is an error (`string(//h1)` of
//! two headings) or fails (`//li[position() > 1][1]`). What patterns use is little:
//!
//! - Paths: `/html/body//div[2]/p`, `//a/@href`, `//p/text()`, `.//b`, `..`, `*`, `node()`, unions with `|`, a bracketed path
//!   with a position (`(//li)[3]`), and the axes `child`, `descendant`, `descendant-or-self`, `self`, `parent`, `ancestor`,
//!   `ancestor-or-self`, `following`, `following-sibling`, `preceding`, `preceding-sibling`, `attribute`.
//! - Predicates: positions, `=`, `!=`, `<`, `<=`, `>`, `>=`, `and`, `or`, paths, and functions.
//! - Functions: `position`, `last`, `count`, `not`, `true`, `false`, `contains`, `starts-with`, `ends-with`, `normalize-space`,
//!   `string`, `concat`, `substring-before`, `substring-after`, `translate`, `lower-case`, `string-length`, `number`, `name`.
//!
//! Element and attribute names are compared in lower case, as HTML has them; text is that of the tree, with its white space. An
//! expression that is wrong, or costs more than its budget, finds nothing.

mod eval;
mod parse;
mod syntax;

pub(super) use self::eval::Found;
use super::super::html::Page;
use super::work::Work;

/// The first thing that an expression finds on a page.
pub(super) fn first<'a>(expression: &str, page: &'a Page, work: &Work) -> Option<Found<'a>> {
    let expression = parse::expression(expression)?;
    eval::first(&expression, page, work)
}

/// Whether a text is an expression of this subset.
#[must_use]
pub fn is_valid(expression: &str) -> bool {
    parse::expression(expression).is_some()
}

#[cfg(test)]
mod tests;
