//! Exact, non-negative decimal numbers.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Most digits after the point that are kept.
pub(crate) const MAX_SCALE: u8 = 6;

/// Most digits an amount has in all.
const MAX_DIGITS: u32 = 18;

/// An amount of money: digits and the place of the point, exact, never negative.
///
/// Two amounts are equal when their values are: `10` and `10.00`. Shown as plain decimal text with
/// the digits it was made with (`10.00`); serialised as that text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Amount {
    /// The digits as a whole number; below 10¹⁸.
    units: u64,
    /// How many of them stand after the point; at most [`MAX_SCALE`].
    scale: u8,
}

/// Why a text is not a plain decimal amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a plain decimal amount: write digits with at most one point, 18 digits and {MAX_SCALE} decimals at most"
)]
pub struct ParseAmountError;

impl Amount {
    /// Nothing: the price of what is free.
    pub const ZERO: Self = Self { units: 0, scale: 0 };

    /// `units` × 10⁻`scale`. `None` beyond 18 digits or [`MAX_SCALE`] decimals.
    #[must_use]
    pub fn new(units: u64, scale: u8) -> Option<Self> {
        (units < 10_u64.pow(MAX_DIGITS) && scale <= MAX_SCALE).then_some(Self { units, scale })
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.units == 0
    }

    /// The number of digits after the point.
    #[must_use]
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// Rounded half up to at most `scale` digits after the point.
    #[must_use]
    pub fn rounded(self, scale: u8) -> Self {
        if self.scale <= scale {
            return self;
        }
        let divisor = 10_u64.pow(u32::from(self.scale - scale));
        Self {
            units: (self.units + divisor / 2) / divisor,
            scale,
        }
    }

    /// Times 10ⁿ, exactly; `None` when it grows beyond 18 digits.
    #[must_use]
    pub fn times_ten_to(self, power: u8) -> Option<Self> {
        if power <= self.scale {
            return Some(Self {
                units: self.units,
                scale: self.scale - power,
            });
        }
        let factor = 10_u64.checked_pow(u32::from(power - self.scale))?;
        Self::new(self.units.checked_mul(factor)?, 0)
    }

    /// Divided by a hundred, exactly: cents into units. `None` beyond [`MAX_SCALE`].
    #[must_use]
    pub fn hundredth(self) -> Option<Self> {
        Self::new(self.units, self.scale + 2)
    }

    /// The sum, exactly; `None` beyond 18 digits.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let sum = self.at(scale) + other.at(scale);
        Self::new(u64::try_from(sum).ok()?, scale)
    }

    /// The units it would have with `scale` (not below its own) digits after the point.
    fn at(self, scale: u8) -> u128 {
        u128::from(self.units) * 10_u128.pow(u32::from(scale.saturating_sub(self.scale)))
    }

    /// The value, near enough to compare sizes; never to be stored.
    #[must_use]
    pub fn approximate(self) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "for comparing sizes only, as its name says"
        )]
        let units = self.units as f64;
        units / 10_f64.powi(i32::from(self.scale))
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        let scale = self.scale.max(other.scale);
        self.at(scale).cmp(&other.at(scale))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return write!(f, "{}", self.units);
        }
        let unit = 10_u64.pow(u32::from(self.scale));
        let (whole, part) = (self.units / unit, self.units % unit);
        write!(
            f,
            "{whole}.{part:0>width$}",
            width = usize::from(self.scale)
        )
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    /// Reads digits with at most one point and digits on both sides of it. Decimals beyond
    /// [`MAX_SCALE`] must be zero.
    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(whole) || !is_digits(part) || text.len() > 64 {
            return Err(ParseAmountError);
        }
        let part = if text.contains('.') { part } else { "" };
        let (kept, dropped) = part
            .split_at_checked(usize::from(MAX_SCALE))
            .unwrap_or((part, ""));
        if dropped.bytes().any(|b| b != b'0') {
            return Err(ParseAmountError);
        }
        let mut units = 0_u64;
        for digit in whole.bytes().chain(kept.bytes()) {
            units = units
                .checked_mul(10)
                .and_then(|units| units.checked_add(u64::from(digit - b'0')))
                .ok_or(ParseAmountError)?;
        }
        u8::try_from(kept.len())
            .ok()
            .and_then(|scale| Self::new(units, scale))
            .ok_or(ParseAmountError)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
