//! The pieces of a text by their number, and what each is.

use crate::price::hints::Hints;
use crate::price::scan::{Kind, Token, Tokens};
use crate::price::words::Kinds;

/// A text in pieces. What is asked of a place outside of it has the harmless answer.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: Tokens,
    pub(super) kinds: Vec<Kinds>,
    pub(super) hints: &'a Hints<'a>,
}

impl Reader<'_> {
    pub(super) fn token(&self, index: usize) -> Option<&Token> {
        self.tokens.list.get(index)
    }

    pub(super) fn kind(&self, index: usize) -> Option<Kind> {
        self.token(index).map(|token| token.kind)
    }

    pub(super) fn is_mark(&self, index: usize, marks: &[char]) -> bool {
        matches!(self.kind(index), Some(Kind::Mark(c)) if marks.contains(&c))
    }

    pub(super) fn is_number(&self, index: usize) -> bool {
        matches!(self.kind(index), Some(Kind::Number(_)))
    }

    pub(super) fn is_glued(&self, index: usize) -> bool {
        self.token(index).is_some_and(|token| token.is_glued)
    }

    pub(super) fn lower(&self, index: usize) -> &str {
        self.token(index)
            .map_or("", |token| self.tokens.lower(token))
    }

    pub(super) fn written(&self, index: usize) -> &str {
        self.token(index)
            .and_then(|token| self.text.get(token.start..token.end))
            .unwrap_or_default()
    }

    pub(super) fn kinds_at(&self, index: usize) -> Kinds {
        self.kinds.get(index).copied().unwrap_or_default()
    }
}
