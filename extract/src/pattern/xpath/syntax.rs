//! An expression as the parser leaves it and the evaluator takes it.

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Text(String),
    Number(f64),
    Call(Function, Vec<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// Nodes, beginning at the root, at the node in hand, or at those of another expression.
    Path(Start, Vec<Step>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Start {
    Root,
    Here,
    /// The nodes of a bracketed expression, and predicates on all of them together.
    Nodes(Box<Expr>, Vec<Expr>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) axis: Axis,
    pub(super) test: Test,
    pub(super) predicates: Vec<Expr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
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
pub(super) enum Test {
    /// `*`: any element, or any attribute on that axis.
    Any,
    /// In lower case.
    Name(String),
    Text,
    Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
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
pub(super) enum Function {
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
    pub(super) const ALL: [(&'static str, Self, usize, usize); 19] = [
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
