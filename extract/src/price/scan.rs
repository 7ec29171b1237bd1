//! Cuts a text into numbers, words and marks.
//!
//! A number here is its digits and the separators between them; what the separators mean is
//! decided later ([`Number::value`]), when the currency is known.

use super::amount::{Amount, MAX_SCALE};
use super::currency::{self, Currency};

/// Most pieces a text is cut into.
const MAX_TOKENS: usize = 160;

/// Most groups of digits in a number.
const MAX_GROUPS: usize = 6;

/// What may stand between two groups of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    Point,
    Comma,
    Space,
    Apostrophe,
    /// U+066B, or a raised dot: only ever before decimals.
    Decimal,
    /// U+066C: only ever between thousands.
    Thousands,
}

/// Digits and what stands between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    digits: u64,
    lengths: [u8; MAX_GROUPS],
    separators: [Separator; MAX_GROUPS - 1],
    groups: u8,
    /// Its first digit is zero and more digits follow at once.
    has_leading_zero: bool,
    /// `,-`, `.–` or `:-` follows instead of decimals.
    pub(super) has_dash: bool,
}

/// One piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number(Number),
    /// Letters. The range is that of the lower-case form in [`Tokens::lower`].
    Word {
        lower: (usize, usize),
    },
    /// Anything else that is not a space.
    Mark(char),
}

/// A piece and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// No space before it.
    pub(super) is_glued: bool,
}

/// The pieces of a text.
pub(super) struct Tokens {
    pub(super) list: Vec<Token>,
    lower: String,
    /// Whether there is a number among them.
    pub(super) has_number: bool,
}

impl Tokens {
    /// The lower-case form of a word: letters only, without the dots of abbreviations.
    pub(super) fn lower(&self, token: &Token) -> &str {
        match token.kind {
            Kind::Word {
                lower: (start, end),
            } => self.lower.get(start..end).unwrap_or_default(),
            _ => "",
        }
    }
}

/// The value of a decimal digit of the scripts shops use.
fn digit(c: char) -> Option<u64> {
    let zero = match c {
        '0'..='9' => '0',
        '٠'..='٩' => '٠',
        '۰'..='۹' => '۰',
        '०'..='९' => '०',
        '০'..='৯' => '০',
        '๐'..='๙' => '๐',
        '０'..='９' => '０',
        _ => return None,
    };
    Some(u64::from(u32::from(c) - u32::from(zero)))
}

fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}

/// Characters of Chinese, Japanese and Korean that are a word of their own beside a number.
fn stands_alone(c: char) -> bool {
    matches!(
        c,
        '円' | '元' | '圆' | '块' | '원' | '万' | '萬' | '億' | '亿' | '만' | '억'
    )
}

/// Letters, and the marks that combine with them.
fn is_letter(c: char) -> bool {
    c.is_alphabetic()
        || matches!(c, '\u{300}'..='\u{36f}' | '\u{93c}'..='\u{94d}' | 'ʻ' | '\u{e31}'..='\u{e4e}')
}

fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' | 'ー' | '－'
    )
}

pub(super) fn is_dash_mark(kind: Kind) -> bool {
    matches!(kind, Kind::Mark(c) if is_dash(c))
}

/// Takes no room and means nothing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn peek_from(&self, at: usize) -> Option<char> {
        let byte = *self.text.as_bytes().get(at)?;
        if byte < 0x80 {
            return Some(char::from(byte));
        }
        self.text.get(at..)?.chars().next()
    }

    fn peek(&self) -> Option<char> {
        self.peek_from(self.at)
    }

    /// How many digits stand from `at`, looking at no more than `limit` of them.
    fn digits_from(&self, mut at: usize, limit: u8) -> u8 {
        let mut count = 0;
        while count < limit {
            match self.peek_from(at) {
                Some(c) if digit(c).is_some() => at += c.len_utf8(),
                _ => break,
            }
            count += 1;
        }
        count
    }

    /// The letters from `at`, as written.
    fn letters_from(&self, at: usize) -> &str {
        let rest = self.text.get(at..).unwrap_or_default();
        let end = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    /// Whether a number that ends at `at` has nothing after it but a currency, where `before` stands
    /// in front: then it is an amount, however oddly it is written.
    fn is_amount_until(&self, at: usize, before: Before) -> bool {
        let place = self.after_spaces(at);
        let Some(c) = self.peek_from(place) else {
            return !matches!(before, Before::Number | Before::Other);
        };
        if is_letter(c) {
            let word = self.letters_from(place);
            let is_currency = before != Before::Sign
                && (Currency::from_code(word).is_some()
                    || currency::sign(&word.to_lowercase()).is_some());
            return is_currency && before != Before::List;
        }
        if is_sign(c) {
            return !matches!(before, Before::Sign | Before::List);
        }
        before == Before::Sign && !matches!(c, '%' | '.' | ',' | ':' | '/') && digit(c).is_none()
    }

    /// The place after the spaces from `at`.
    fn after_spaces(&self, mut at: usize) -> usize {
        while let Some(c) = self.peek_from(at)
            && (c.is_whitespace() || is_invisible(c))
        {
            at += c.len_utf8();
        }
        at
    }

    /// The number that begins here, or with the point of `.75`; `earlier` is what stands in front.
    fn number(&mut self, earlier: &Tokens) -> Number {
        let mut number = Number {
            digits: 0,
            lengths: [0; MAX_GROUPS],
            separators: [Separator::Space; MAX_GROUPS - 1],
            groups: 0,
            has_leading_zero: self.peek().and_then(digit) == Some(0)
                && self.digits_from(self.at, 2) == 2,
            has_dash: false,
        };
        if self.peek().and_then(digit).is_none() {
            // A whole part of zero that is not written, or as a dash.
            let mark = self.at
                + self
                    .peek()
                    .filter(|c| is_dash(*c))
                    .map_or(0, char::len_utf8);
            self.at = self.after_points(mark);
            number.lengths = [1, 0, 0, 0, 0, 0];
            number.separators = [Separator::Point; MAX_GROUPS - 1];
            number.groups = 1;
        }
        loop {
            let start = self.at;
            let whole = number.digits;
            let mut length: u8 = 0;
            while let Some(value) = self.peek().and_then(digit) {
                self.at += self.peek().map_or(1, char::len_utf8);
                number.digits = number
                    .digits
                    .checked_mul(10)
                    .and_then(|digits| digits.checked_add(value))
                    .unwrap_or(u64::MAX);
                length = length.saturating_add(1);
            }
            let index = usize::from(number.groups);
            if index > 0
                && length > MAX_SCALE
                && let Some(hundredths) = self.text.get(start..self.at).and_then(without_float_tail)
            {
                number.digits = whole.saturating_mul(100).saturating_add(hundredths);
                length = 2;
            }
            if let Some(slot) = number.lengths.get_mut(index) {
                *slot = length;
            }
            number.groups += 1;
            let Some((separator, next)) = self.separator(&number, earlier) else {
                break;
            };
            let Some(slot) = number.separators.get_mut(index) else {
                // More groups than any amount has.
                number.digits = u64::MAX;
                break;
            };
            *slot = separator;
            self.at = next;
        }
        number.has_dash = self.dash();
        number
    }

    /// The separator that follows and the place of the digits after it.
    fn separator(&self, number: &Number, earlier: &Tokens) -> Option<(Separator, usize)> {
        let c = self.peek()?;
        let next = self.at + c.len_utf8();
        let has_digits = || self.digits_from(next, 1) == 1;
        let has_three = || self.digits_from(next, 4) == 3;
        let last = number.last_length();
        // `119. 95`: a space that a template left behind.
        let mark = match c {
            '.' => Some(Separator::Point),
            ',' => Some(Separator::Comma),
            _ => None,
        };
        if let Some(mark) = mark
            && self.peek_from(next).is_some_and(char::is_whitespace)
        {
            let decimals = self.after_spaces(next);
            let is_amount = self.digits_from(decimals, 3) == 2
                && number.last_separator() != Some(mark)
                && self.is_amount_until(decimals + 2, earlier.before_next(self.text));
            return is_amount.then_some((mark, decimals));
        }
        match c {
            '.' | '．' if has_digits() => Some((Separator::Point, next)),
            ',' | '，' if has_digits() => Some((Separator::Comma, next)),
            '٫' | '·' if has_digits() => Some((Separator::Decimal, next)),
            '٬' | '،' if has_three() => Some((Separator::Thousands, next)),
            '\'' | '’' | '‘' | '`' | '´' if has_three() => Some((Separator::Apostrophe, next)),
            _ if c.is_whitespace() => {
                let is_grouped = number.groups == 1 && (1..=3).contains(&last)
                    || number.last_separator() == Some(Separator::Space) && last == 3;
                if is_grouped && !number.has_leading_zero && has_three() {
                    return Some((Separator::Space, next));
                }
                // `79 .99`: whole and decimals in elements of their own.
                let point = self.after_spaces(next);
                let separator = match self.peek_from(point)? {
                    '.' => Separator::Point,
                    ',' => Separator::Comma,
                    _ => return None,
                };
                let decimals = self.after_spaces(point + 1);
                let is_new = number.last_separator() != Some(separator);
                (is_new && self.digits_from(decimals, 3) == 2).then_some((separator, decimals))
            }
            _ => None,
        }
    }

    /// The place after one or two points.
    fn after_points(&self, at: usize) -> usize {
        let next = at + 1;
        match self.peek_from(next) {
            Some('.') => next + 1,
            _ => next,
        }
    }

    /// Whether decimals without a whole part begin here: `.75 €`, `$.75`, `,75 €`, `-,75 €`, `CHF –.75`, but not `Rs.75`.
    fn is_fraction(&self, c: char, earlier: &Tokens) -> bool {
        let mark = if is_dash(c) {
            self.at + c.len_utf8()
        } else {
            self.at
        };
        let point = self.peek_from(mark);
        if !matches!(point, Some('.' | ',')) {
            return false;
        }
        let decimals = self.after_points(mark);
        let length = self.digits_from(decimals, 4);
        let before = earlier.before_next(self.text);
        let may_be = match point {
            Some('.') if mark == self.at => (1..=3).contains(&length),
            // A dash before a point is a minus, but not between a sign and the point.
            Some('.') => length == 2 && before == Before::Sign,
            // The numbers of a list are parted by commas too.
            _ => length == 2 && before != Before::Number,
        };
        may_be && self.is_amount_until(decimals + usize::from(length), before)
    }

    /// Takes `,-` and its like after a number.
    fn dash(&mut self) -> bool {
        let Some(c) = self.peek().filter(|c| matches!(c, ',' | '.' | ':')) else {
            return false;
        };
        let mut at = self.at + c.len_utf8();
        let start = at;
        while let Some(c) = self.peek_from(at)
            && is_dash(c)
            && at < start + 9
        {
            at += c.len_utf8();
        }
        // A digit after it makes it a range.
        if at == start || self.digits_from(at, 1) == 1 {
            return false;
        }
        self.at = at;
        true
    }

    /// Takes a word and appends its lower-case form.
    fn word(&mut self, lower: &mut String) -> (usize, usize) {
        let start = lower.len();
        let mut part = 0;
        while let Some(c) = self.peek() {
            if c.is_ascii_alphabetic() {
                lower.push(c.to_ascii_lowercase());
            } else if is_letter(c) {
                if part > 0 && stands_alone(c) && !lower.get(start..).is_some_and(ends_in_cjk) {
                    break;
                }
                lower.extend(c.to_lowercase());
                if part == 0 && stands_alone(c) {
                    self.at += c.len_utf8();
                    break;
                }
            } else if self.is_inner_mark(c, part) {
                self.at += c.len_utf8();
                part = 0;
                continue;
            } else if !is_invisible(c) || part == 0 {
                break;
            }
            part += 1;
            self.at += c.len_utf8();
        }
        (start, lower.len())
    }

    /// The dot of `d.e`, the quotation mark of `ש"ח`: inside a word, between letters.
    fn is_inner_mark(&self, c: char, part: usize) -> bool {
        let after = self.peek_from(self.at + c.len_utf8());
        match c {
            '.' => part == 1 && after.is_some_and(is_letter),
            '"' | '״' | '\'' | '’' => after.is_some_and(|c| matches!(c, '\u{5d0}'..='\u{5ea}')),
            _ => false,
        }
    }
}

/// What stands in front of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Start,
    /// The sign, code or word of a currency.
    Sign,
    Number,
    /// A number and a comma or point.
    List,
    Other,
}

impl Tokens {
    fn ends_in_word(&self) -> bool {
        matches!(self.list.last(), Some(token) if matches!(token.kind, Kind::Word { .. }))
    }

    /// What stands in front of the piece that comes next.
    fn before_next(&self, text: &str) -> Before {
        let Some((last, earlier)) = self.list.split_last() else {
            return Before::Start;
        };
        let is_currency = match last.kind {
            Kind::Mark(',' | '.') => {
                let is_after_number = earlier
                    .last()
                    .is_some_and(|token| matches!(token.kind, Kind::Number(_)));
                return if is_after_number {
                    Before::List
                } else {
                    Before::Other
                };
            }
            Kind::Mark(c) => is_sign(c),
            Kind::Word { .. } => {
                let written = text.get(last.start..last.end).unwrap_or_default();
                currency::sign(self.lower(last)).is_some() || Currency::from_code(written).is_some()
            }
            Kind::Number(_) => return Before::Number,
        };
        if is_currency {
            Before::Sign
        } else {
            Before::Other
        }
    }
}

/// Whether a character is a currency sign by itself.
pub(super) fn is_sign(c: char) -> bool {
    (!c.is_ascii() || c == '$') && currency::sign(c.encode_utf8(&mut [0; 4])).is_some()
}

/// The hundredths that were meant by decimals such as `11000000000000009770` or `98999999999999999`, which
/// are what is left of an amount that went through a binary number.
fn without_float_tail(decimals: &str) -> Option<u64> {
    let hundredths: u64 = decimals.get(..2)?.parse().ok()?;
    let tail = decimals.get(2..9)?;
    if tail.bytes().all(|byte| byte == b'0') {
        Some(hundredths)
    } else if tail.bytes().all(|byte| byte == b'9') {
        Some(hundredths + 1)
    } else {
        None
    }
}

fn ends_in_cjk(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_cjk)
}

/// Cuts a text into its pieces, at most [`MAX_TOKENS`].
pub(super) fn tokens(text: &str) -> Tokens {
    let mut scanner = Scanner { text, at: 0 };
    let mut tokens = Tokens {
        list: Vec::with_capacity(16),
        lower: String::with_capacity(text.len().min(64)),
        has_number: false,
    };
    let mut is_glued = false;
    while let Some(c) = scanner.peek() {
        if tokens.list.len() >= MAX_TOKENS {
            break;
        }
        let start = scanner.at;
        if c.is_whitespace() {
            scanner.at += c.len_utf8();
            is_glued = false;
            continue;
        }
        if is_invisible(c) || c.is_control() {
            scanner.at += c.len_utf8();
            continue;
        }
        let is_fraction = !(is_glued && tokens.ends_in_word()) && scanner.is_fraction(c, &tokens);
        let kind = if is_fraction || digit(c).is_some() {
            tokens.has_number = true;
            Kind::Number(scanner.number(&tokens))
        } else if is_letter(c) {
            Kind::Word {
                lower: scanner.word(&mut tokens.lower),
            }
        } else {
            scanner.at += c.len_utf8();
            Kind::Mark(c)
        };
        tokens.list.push(Token {
            kind,
            start,
            end: scanner.at,
            is_glued,
        });
        is_glued = true;
    }
    tokens
}

impl Number {
    fn last_length(&self) -> u8 {
        let last = usize::from(self.groups).saturating_sub(1);
        self.lengths.get(last).copied().unwrap_or(0)
    }

    fn last_separator(&self) -> Option<Separator> {
        let last = usize::from(self.groups).checked_sub(2)?;
        self.separators.get(last).copied()
    }

    /// This number with the digits of `decimals` after its point. `None` where it has decimals of
    /// its own or `decimals` is no plain run of digits.
    pub(super) fn with_decimals(&self, decimals: &Self) -> Option<Amount> {
        let whole = self.value(None, 2).filter(|whole| whole.scale() == 0)?;
        let length = decimals.last_length();
        whole.plus(Amount::new(decimals.digits, length).filter(|_| decimals.is_plain())?)
    }

    /// Digits without any separator.
    pub(super) fn is_plain(&self) -> bool {
        self.groups == 1
    }

    /// How many digits it has.
    pub(super) fn digit_count(&self) -> u32 {
        self.lengths
            .iter()
            .take(usize::from(self.groups))
            .map(|length| u32::from(*length))
            .sum()
    }

    /// Whether separators part its thousands.
    pub(super) fn is_grouped(&self) -> bool {
        self.groups > 2 || self.groups == 2 && self.last_length() == 3
    }

    /// Whether points part its thousands, and nothing follows them but perhaps decimals after a comma.
    pub(super) fn is_grouped_by_points(&self) -> bool {
        self.is_grouped() && self.separators.first() == Some(&Separator::Point)
    }

    /// The point or comma that is all that parts its digits.
    pub(super) fn only_mark(&self) -> Option<char> {
        match (self.groups, self.last_separator()?) {
            (2, Separator::Point) => Some('.'),
            (2, Separator::Comma) => Some(','),
            _ => None,
        }
    }

    /// Two digits after the last of its separators: as money is written.
    pub(super) fn has_two_decimals(&self) -> bool {
        self.groups > 1
            && self.last_length() == 2
            && matches!(
                self.last_separator(),
                Some(Separator::Point | Separator::Comma | Separator::Decimal)
            )
    }

    /// What the digits amount to. `None` when they are grouped as no amount is.
    ///
    /// Of two kinds of separator the last is the decimal one. A single kind is read by what
    /// follows it: three digits are thousands, unless `decimal` says otherwise, the whole part is
    /// zero, or the currency has three decimals; any other number of digits are decimals.
    pub(super) fn value(&self, decimal: Option<char>, minor_digits: u8) -> Option<Amount> {
        if self.has_leading_zero {
            return None;
        }
        let count = usize::from(self.groups);
        let lengths = self.lengths.get(..count)?;
        let separators = self.separators.get(..count.checked_sub(1)?)?;
        let Some((last, earlier)) = separators.split_last() else {
            return Amount::new(self.digits, 0);
        };
        let (whole, decimals) = lengths.split_at_checked(count - 1)?;
        let last_length = *decimals.first()?;
        let is_alone = !earlier.contains(last);
        let is_decimal = match last {
            Separator::Space | Separator::Apostrophe | Separator::Thousands => false,
            Separator::Decimal => true,
            Separator::Point | Separator::Comma => {
                let mark = if *last == Separator::Point { '.' } else { ',' };
                if !is_alone {
                    // `1.299.00`, but not `12.05.2024`.
                    last_length == 2
                } else if !earlier.is_empty() || last_length != 3 {
                    true
                } else if whole == [1] && self.digits < 1_000 {
                    // No group of thousands follows a lone zero.
                    true
                } else {
                    match decimal {
                        Some(decimal) => decimal == mark,
                        None => {
                            minor_digits == 3 && mark == '.'
                                || whole.first().is_some_and(|length| *length > 3)
                        }
                    }
                }
            }
        };
        if is_decimal {
            let is_grouped = grouping_is_valid(whole, earlier);
            return is_grouped
                .then(|| Amount::new(self.digits, last_length))
                .flatten();
        }
        grouping_is_valid(lengths, separators)
            .then(|| Amount::new(self.digits, 0))
            .flatten()
    }
}

/// Groups of three, or as in India of two before a last one of three; one kind of separator.
fn grouping_is_valid(lengths: &[u8], separators: &[Separator]) -> bool {
    let Some((first, rest)) = lengths.split_first() else {
        return false;
    };
    let Some((last, middle)) = rest.split_last() else {
        return true;
    };
    let is_same = separators
        .windows(2)
        .all(|pair| pair.first() == pair.last());
    let western = (1..=3).contains(first) && rest.iter().all(|length| *length == 3);
    let indian = (1..=2).contains(first)
        && *last == 3
        && middle.iter().all(|length| *length == 2)
        && matches!(
            separators.first(),
            Some(Separator::Comma | Separator::Space | Separator::Thousands)
        );
    is_same && (western || indian)
}
