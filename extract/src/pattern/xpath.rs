//! A subset of `XPath` 1.0 over HTML, for patterns.
//!
//! No maintained crate evaluates `XPath` over an HTML tree, and what patterns use is little:
//!
//! - Paths: `/html/body//div[2]/p`, `//a/@href`, `//p/text()`, `.//b`, `..`, `*`, `node()`, unions with `|`, a bracketed path
//!   with a position (`(//li)[3]`), and the axes `child`, `descendant`, `descendant-or-self`, `self`, `parent`, `ancestor`,
//!   `ancestor-or-self`, `following`, `following-sibling`, `preceding`, `preceding-sibling`, `attribute`.
//! - Predicates: positions, `=`, `!=`, `<`, `<=`, `>`, `>=`, `and`, `or`, paths, and functions.
//! - Functions: `position`, `last`, `count`, `not`, `true`, `false`, `contains`, `starts-with`, `ends-with`, `normalize-space`,
//!   `string`, `concat`, `substring-before`, `substring-after`, `translate`, `lower-case`, `string-length`, `number`, `name`.
//!
//! Element and attribute names are compared in lower case, as HTML has them; text is that of the tree, with its white space. An
//! expression that is wrong, or takes more than [`MAX_STEPS`] steps, finds nothing.

mod eval;
mod parse;

use super::super::html::{Page, ego::NodeRef};

/// Steps (nodes looked at) that one expression may take on one page.
pub const MAX_STEPS: usize = 10_000_000;

/// What an expression yields.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// Its first node in the document is an element or a text.
    Node(NodeRef<'a>),
    /// An attribute's value, or the string, number or truth that the expression comes to.
    Text(String),
}

/// The first thing that an expression finds on a page.
pub(super) fn first<'a>(expression: &str, page: &'a Page) -> Option<Found<'a>> {
    let expression = parse::expression(expression)?;
    eval::first(&expression, page)
}

/// Whether a text is an expression of this subset.
#[must_use]
pub fn is_valid(expression: &str) -> bool {
    parse::expression(expression).is_some()
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
enum Expr {
    Text(String),
    Number(f64),
    Call(Function, Vec<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// Nodes, beginning at the root, at the node in hand, or at those of another expression.
    Path(Start, Vec<Step>),
}

#[derive(Clone, Debug, PartialEq)]
enum Start {
    Root,
    Here,
    /// The nodes of a bracketed expression, and predicates on all of them together.
    Nodes(Box<Expr>, Vec<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    axis: Axis,
    test: Test,
    predicates: Vec<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Child,
    Descendant,
    DescendantOrSelf,
    Itself,
    Parent,
    Ancestor,
    AncestorOrSelf,
    Following,
    FollowingSibling,
    Preceding,
    PrecedingSibling,
    Attribute,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// `*`: any element, or any attribute on that axis.
    Any,
    /// In lower case.
    Name(String),
    Text,
    Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Union,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Position,
    Last,
    Count,
    Not,
    True,
    False,
    Contains,
    StartsWith,
    EndsWith,
    NormalizeSpace,
    String,
    Concat,
    SubstringBefore,
    SubstringAfter,
    Translate,
    LowerCase,
    StringLength,
    Number,
    Name,
}

impl Function {
    /// Names, and the least and most arguments.
    const ALL: [(&'static str, Self, usize, usize); 19] = [
        ("position", Self::Position, 0, 0),
        ("last", Self::Last, 0, 0),
        ("count", Self::Count, 1, 1),
        ("not", Self::Not, 1, 1),
        ("true", Self::True, 0, 0),
        ("false", Self::False, 0, 0),
        ("contains", Self::Contains, 2, 2),
        ("starts-with", Self::StartsWith, 2, 2),
        ("ends-with", Self::EndsWith, 2, 2),
        ("normalize-space", Self::NormalizeSpace, 0, 1),
        ("string", Self::String, 0, 1),
        ("concat", Self::Concat, 2, 20),
        ("substring-before", Self::SubstringBefore, 2, 2),
        ("substring-after", Self::SubstringAfter, 2, 2),
        ("translate", Self::Translate, 3, 3),
        ("lower-case", Self::LowerCase, 1, 1),
        ("string-length", Self::StringLength, 0, 1),
        ("number", Self::Number, 0, 1),
        ("name", Self::Name, 0, 0),
    ];
}

#[cfg(test)]
mod tests;
