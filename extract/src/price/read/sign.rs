//! The currency signs, codes and words beside an amount.

use super::reader::Reader;
use crate::price::currency::{self, Currency, Meaning, Weakness};
use crate::price::hints;
use crate::price::scan::{Kind, Number, is_dash_mark, is_sign};

/// A currency sign beside a number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sign {
    /// What it may mean; nothing if it is a code.
    pub(super) meaning: Option<&'static Meaning>,
    /// The code, if it is one.
    pub(super) code: Option<Currency>,
    /// Its first piece.
    pub(super) first: usize,
    /// The piece behind its last.
    pub(super) after: usize,
}

impl Reader<'_> {
    /// The bytes of a sign.
    pub(super) fn raw(&self, sign: Sign) -> Option<(usize, usize)> {
        let start = self.token(sign.first)?.start;
        let end = self.token(sign.after.checked_sub(1)?)?.end;
        Some((start, end))
    }

    /// The sign, code or word that means a currency at `index`; `taken` is where free pieces begin.
    pub(super) fn sign_at(&self, index: usize, taken: usize) -> Option<Sign> {
        let single = |meaning, code| Sign {
            meaning,
            code,
            first: index,
            after: index + 1,
        };
        match self.kind(index)? {
            Kind::Mark(c) => {
                if c.is_ascii() && c != '$' {
                    return None;
                }
                let mut buffer = [0; 16];
                let meaning = currency::sign(c.encode_utf8(&mut buffer));
                let has_word_before = index > taken
                    && matches!(self.kind(index - 1), Some(Kind::Word { .. }))
                    && (self.is_glued(index) || self.lower(index - 1).len() == 2);
                let has_word_after = self.is_glued(index + 1)
                    && matches!(self.kind(index + 1), Some(Kind::Word { .. }));
                if has_word_before
                    && let Some(meaning) = joined(&[self.lower(index - 1), self.written(index)])
                {
                    return Some(Sign {
                        first: index - 1,
                        ..single(Some(meaning), None)
                    });
                }
                if has_word_after
                    && let Some(meaning) = joined(&[self.written(index), self.lower(index + 1)])
                {
                    return Some(Sign {
                        after: index + 2,
                        ..single(Some(meaning), None)
                    });
                }
                // `XY$5`: dollars of a country that is not known here.
                if has_word_before && self.is_country_prefix(index - 1) {
                    return Some(Sign {
                        first: index - 1,
                        ..single(joined(&["?", self.written(index)]), None)
                    });
                }
                meaning.map(|meaning| single(Some(meaning), None))
            }
            Kind::Word { .. } => {
                let lower = self.lower(index);
                let written = self.written(index);
                if written.len() == 3
                    && let Some(code) = currency::code(written, |code| self.is_backed(code))
                {
                    return Some(single(None, Some(code)));
                }
                if self.is_mark(index + 1, &['/'])
                    && self.is_glued(index + 1)
                    && let Some(meaning) = joined(&[lower, "/"])
                {
                    return Some(Sign {
                        after: index + 2,
                        ..single(Some(meaning), None)
                    });
                }
                // `$U 5`, `U$S 5`.
                if self.is_glued(index)
                    && index > taken
                    && matches!(self.kind(index - 1), Some(Kind::Mark(_)))
                {
                    let mark = self.written(index - 1);
                    if index > taken + 1
                        && self.is_glued(index - 1)
                        && let Some(meaning) = joined(&[self.lower(index - 2), mark, lower])
                    {
                        return Some(Sign {
                            first: index - 2,
                            ..single(Some(meaning), None)
                        });
                    }
                    if let Some(meaning) = joined(&[mark, lower]) {
                        return Some(Sign {
                            first: index - 1,
                            ..single(Some(meaning), None)
                        });
                    }
                }
                // `5 R$`, `5 NT$`.
                if self.is_glued(index + 1)
                    && matches!(self.kind(index + 1), Some(Kind::Mark(_)))
                    && let Some(meaning) = joined(&[lower, self.written(index + 1)])
                {
                    return Some(Sign {
                        after: index + 2,
                        ..single(Some(meaning), None)
                    });
                }
                // A word of two: "US dollars", "norske kroner".
                if index > taken
                    && let Some(meaning) = joined(&[self.lower(index - 1), " ", lower])
                {
                    return Some(Sign {
                        first: index - 1,
                        ..single(Some(meaning), None)
                    });
                }
                if let Some(meaning) = joined(&[lower, " ", self.lower(index + 1)]) {
                    return Some(Sign {
                        after: index + 2,
                        ..single(Some(meaning), None)
                    });
                }
                let meaning = currency::sign(lower)?;
                let is_capital = written.starts_with(char::is_uppercase);
                if lower == "mn" && !self.is_national_money(index) {
                    return None;
                }
                let is_money = match currency::weakness(lower) {
                    None => true,
                    Some(Weakness::Local) => {
                        self.is_local(meaning) && (is_capital || lower.len() > 1)
                    }
                    Some(Weakness::Capital) => is_capital || self.is_local(meaning),
                    Some(Weakness::LocalCapital) => is_capital && self.is_local(meaning),
                    Some(Weakness::After) => {
                        index > 0 && self.is_number(index - 1) || self.is_local(meaning)
                    }
                };
                is_money.then(|| single(Some(meaning), None))
            }
            Kind::Number(_) => None,
        }
    }

    /// One or two capitals glued to a sign, which name a country: `WS$`.
    fn is_country_prefix(&self, index: usize) -> bool {
        let written = self.written(index);
        let is_code = (1..=2).contains(&written.len())
            && written.bytes().all(|byte| byte.is_ascii_uppercase());
        is_code && self.is_glued(index + 1) && self.is_mark(index + 1, &['$'])
    }

    /// Whether one of its currencies is the place's, or the one that the caller expects.
    pub(super) fn is_local(&self, meaning: &Meaning) -> bool {
        self.hints
            .currency
            .into_iter()
            .chain(hints::local(self.hints))
            .any(|currency| meaning.admits(currency))
    }

    /// Whether the caller, the domain, the language, or another sign (`$5 COP`) speaks for a currency.
    fn is_backed(&self, currency: Currency) -> bool {
        self.hints.currency == Some(currency)
            || hints::local(self.hints).any(|local| local == currency)
            || self.is_number(0) && self.tokens.list.len() == 2
            || self.tokens.list.iter().any(|token| match token.kind {
                Kind::Number(number) => number.has_two_decimals(),
                Kind::Mark(c) if is_sign(c) => currency::sign(c.encode_utf8(&mut [0; 4]))
                    .is_some_and(|meaning| meaning.admits(currency)),
                _ => false,
            })
    }

    /// The currency before the number at `index`, not reaching before `taken`.
    pub(super) fn prefix(&self, index: usize, taken: usize) -> Option<Sign> {
        let mut at = index.checked_sub(1)?;
        // `kr. 5`, `EUR: 5`, `$-5`.
        while at > taken
            && (self.is_mark(at, &['.', ':']) && self.is_glued(at)
                || self.kind(at).is_some_and(is_dash_mark) && self.is_glued(index))
        {
            at -= 1;
        }
        if at < taken {
            return None;
        }
        let sign = if self.is_mark(at, &['/']) && at > taken {
            self.sign_at(at - 1, taken)
                .filter(|sign| sign.after == at + 1)
        } else {
            self.sign_at(at, taken)
        }?;
        if matches!(self.lower(at), "р" | "ft") {
            return None;
        }
        // `USD $18`: the code says which dollar.
        if sign.code.is_none()
            && sign.first > taken
            && let Some(code) = self
                .sign_at(sign.first - 1, taken)
                .and_then(|sign| sign.code)
        {
            return Some(Sign {
                code: Some(code),
                ..sign
            });
        }
        Some(Sign {
            after: index,
            ..sign
        })
    }

    /// The currency after a number, at `after`.
    pub(super) fn suffix(&self, index: usize, after: usize, prefix: Option<Sign>) -> Option<Sign> {
        let has_prefix = prefix.is_some();
        let sign = self.sign_at(after, after)?;
        if self.lower(sign.first) == "r" && sign.after == sign.first + 1 {
            return None;
        }
        // The mark of a footnote: `49,00 €1`.
        let is_footnote = matches!(self.kind(index), Some(Kind::Number(number)) if number.has_two_decimals())
            && matches!(self.kind(sign.after), Some(Kind::Number(mark)) if mark.is_plain() && mark.digit_count() == 1)
            && self.token(sign.after + 1).is_none();
        let belongs_to_next = self.is_number(sign.after)
            && (has_prefix || self.is_glued(sign.after) && !self.is_glued(sign.first))
            && !is_footnote;
        // `$599 M.N.`: of the moneys that the first sign may mean, the second says which.
        let says_which = sign.code.is_some()
            || sign
                .meaning
                .zip(prefix.and_then(|prefix| prefix.meaning))
                .is_some_and(|(meaning, prefix)| {
                    prefix.candidates().len() > 1 && meaning.is_among(prefix)
                });
        if belongs_to_next || has_prefix && !says_which {
            return None;
        }
        // `5 p`, `5 м` are not money unless written together or the page is of that country.
        let is_letter = self.lower(sign.first).chars().count() == 1;
        if is_letter
            && sign.after == sign.first + 1
            && !self.is_glued(sign.first)
            && !sign.meaning.is_some_and(|meaning| self.is_local(meaning))
            && !self.is_mark(sign.after, &['.'])
            && index + 2 < self.tokens.list.len()
            && self.written(sign.first).is_ascii()
        {
            return None;
        }
        let code = self
            .sign_at(sign.after, sign.after)
            .and_then(|sign| sign.code);
        Some(Sign {
            code: sign.code.or(code),
            ..sign
        })
    }

    pub(super) fn currency(
        &self,
        prefix: Option<Sign>,
        suffix: Option<Sign>,
        number: &Number,
    ) -> Option<Currency> {
        // Of two signs the second says which money the first means.
        let signs = [suffix, prefix];
        let code = signs.iter().flatten().find_map(|sign| sign.code);
        code.or_else(|| {
            signs.iter().flatten().find_map(|sign| {
                let meaning = sign.meaning?;
                hints::by_grouping(meaning, number.is_grouped_by_points(), self.hints)
                    .or_else(|| hints::resolve(meaning, self.hints))
            })
        })
    }

    /// Whether the piece at `index` is `M.N.` or `MN`, "moneda nacional", which is no million.
    pub(super) fn is_national_money(&self, index: usize) -> bool {
        self.lower(index) == "mn" && matches!(self.written(index), "M.N" | "MN" | "m.n")
    }
}

/// Looks up a sign made of parts, without building it on the heap.
fn joined(parts: &[&str]) -> Option<&'static Meaning> {
    let mut buffer = [0_u8; 32];
    let mut length = 0;
    for part in parts {
        if part.is_empty() {
            return None;
        }
        let end = length + part.len();
        buffer
            .get_mut(length..end)?
            .copy_from_slice(part.as_bytes());
        length = end;
    }
    currency::sign(std::str::from_utf8(buffer.get(..length)?).ok()?)
}
