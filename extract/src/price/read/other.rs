//! Numbers that are no amounts: percentages, dates, sizes, names.

use super::reader::Reader;
use crate::price::scan::{Kind, is_dash_mark};
use crate::price::words::Kinds;

/// Most digits of an amount without currency and without separators; a longer one is a bar code.
const MAX_PLAIN_DIGITS: u32 = 8;

impl Reader<'_> {
    /// A plus or minus that belongs to the number, not the dash of a range or a sentence.
    pub(super) fn is_signed(&self, first: usize, index: usize) -> bool {
        let is_sign = |at: usize, next: usize| {
            let is_plus = self.is_mark(at, &['+']);
            let is_minus = self.kind(at).is_some_and(is_dash_mark)
                && self.is_glued(next)
                && !(at > 0 && (self.is_number(at - 1) || self.is_glued(at)));
            is_plus || is_minus
        };
        let before_number = index > first && self.kind(index - 1).is_some_and(is_dash_mark);
        before_number
            || index > first && self.is_mark(index - 1, &['+'])
            || first > 0 && is_sign(first - 1, first)
    }

    /// Whether a number is a percentage, date, time, size, quantity, telephone number or name.
    pub(super) fn is_other_number(
        &self,
        index: usize,
        first: usize,
        after: usize,
        has_currency: bool,
    ) -> bool {
        let percent = ['%', '٪', '％'];
        if self.is_mark(index + 1, &percent)
            || first > 0 && self.is_mark(first - 1, &percent) && self.is_glued(first)
        {
            return true;
        }
        if has_currency {
            return false;
        }
        if matches!(self.kind(index), Some(Kind::Number(number)) if number.is_plain() && number.digit_count() > MAX_PLAIN_DIGITS)
        {
            return true;
        }
        let next_kinds = self.kinds_at(after);
        let is_glued_word = |at: usize, glue: usize| {
            self.is_glued(glue) && matches!(self.kind(at), Some(Kind::Word { .. }))
        };
        if is_glued_word(after, after)
            || next_kinds.any(Kinds::UNIT) && !next_kinds.any(Kinds::NOW | Kinds::TO | Kinds::OLD)
            || self.is_mark(after, &['°', '×', '"', '″', '′', '@', '#', '¼', '½'])
            || self.is_mark(after, &['*']) && self.is_number(after + 1)
        {
            return true;
        }
        let joint = ['/', ':', '×', '*', '@', '#', '№', '\\', '_', '='];
        if self.is_mark(after, &['/', ':', '\\', '_'])
            && self.is_glued(after)
            && self.is_number(after + 1)
        {
            return true;
        }
        // A day and a month: `24. 12. 2024`.
        if self.is_mark(after, &['.']) && self.is_glued(after) && self.is_number(after + 1)
            || first > 1 && self.is_mark(first - 1, &['.']) && self.is_number(first - 2)
        {
            return true;
        }
        if matches!(self.lower(after), "x" | "х")
            || after < self.tokens.list.len() && self.is_chain(after)
        {
            return true;
        }
        let Some(before) = first.checked_sub(1) else {
            return false;
        };
        is_glued_word(before, first)
            || self.kinds_at(before).any(Kinds::REF)
            || self.is_mark(before, &joint) && self.is_glued(first)
            || self.is_mark(before, &['×', '#', '№'])
            || self.lower(before) == "x" && before > 0 && self.is_number(before - 1)
            || self.is_chain(before)
    }

    /// A dash between two numbers that are no range: `555-1234`, `2024-05-12`.
    fn is_chain(&self, dash: usize) -> bool {
        if dash == 0
            || !self.kind(dash).is_some_and(is_dash_mark)
            || !self.is_glued(dash)
            || !self.is_glued(dash + 1)
        {
            return false;
        }
        let (Some(Kind::Number(left)), Some(Kind::Number(right))) =
            (self.kind(dash - 1), self.kind(dash + 1))
        else {
            return false;
        };
        let is_plain = left.is_plain() && right.is_plain();
        let continues = self.kind(dash + 2).is_some_and(is_dash_mark) && self.is_number(dash + 3)
            || dash > 2
                && self.kind(dash - 2).is_some_and(is_dash_mark)
                && self.is_number(dash - 3);
        continues || is_plain && left.digit_count() >= 3 && right.digit_count() == 4
    }
}
