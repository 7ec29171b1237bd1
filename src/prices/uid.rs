//! Keys as the price pipeline's outside knows them: UUIDs that carry the key.
//!
//! Bots and the people who wrote them know jobs and results by UUIDs. Here a key is a `bigint`; written as a UUID of version 8
//! (RFC 9562, section 5.8: 122 bits of the application's own) it is the fixed prefix [`PREFIX`] and 48 bits of key, so that
//! neither side keeps a table. Who writes SQL or pushes to Redis by hand uses the plain number, which every parser takes too.

use std::fmt;
use std::str::FromStr;

/// What every such UUID begins with: `gleane` in ASCII, then the version and the variant.
pub const PREFIX: &str = "676c6561-6e65-8000-8000-";

/// One more than the greatest key that fits.
const END: i64 = 1 << 48;

/// A key, as it is shown outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub i64);

/// A text that is neither a UUID of ours nor a plain key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no id of ours: it is a UUID that begins with {PREFIX}, or a number")]
pub struct NotOurs;

/// The UUID; the plain number for a key that does not fit (none does before 2^48 rows).
impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (0..END).contains(&self.0) {
            write!(f, "{PREFIX}{:012x}", self.0)
        } else {
            write!(f, "{}", self.0)
        }
    }
}

impl FromStr for Uid {
    type Err = NotOurs;

    fn from_str(text: &str) -> Result<Self, NotOurs> {
        let text = text.trim();
        let key = match text.split_at_checked(PREFIX.len()) {
            Some((prefix, key)) if prefix.eq_ignore_ascii_case(PREFIX) => {
                let is_hex = key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_hex.then(|| i64::from_str_radix(key, 16))
            }
            _ => {
                let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                is_decimal.then(|| text.parse())
            }
        };
        match key {
            Some(Ok(key)) => Ok(Self(key)),
            Some(Err(_)) | None => Err(NotOurs),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_are_read() {
        for (text, expected) in [
            ("676c6561-6e65-8000-8000-000000000007", Some(7)),
            ("676C6561-6E65-8000-8000-0000000000FF", Some(255)),
            (" 42 ", Some(42)),
            ("0", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-1", None),
            ("+1", None),
            ("", None),
            ("1e3", None),
            ("676c6561-6e65-8000-8000-00000000000", None),
            ("676c6561-6e65-8000-8000-+00000000007", None),
            ("123e4567-e89b-42d3-a456-426614174000", None),
            ("ünïcödé-ünïcödé-ünïcödé", None),
        ] {
            assert_eq!(text.parse().ok().map(|Uid(key)| key), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(key in 0_i64..) {
            prop_assert_eq!(Uid(key).to_string().parse(), Ok(Uid(key)));
        }

        #[test]
        fn any_text_is_judged(text in ".*") {
            if let Ok(Uid(key)) = text.parse() {
                prop_assert!(key >= 0);
            }
        }
    }
}
