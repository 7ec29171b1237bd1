//! Dates as sitemaps and feeds write them.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};

/// Reads a `lastmod`: an ISO 8601 date and time with `Z`, an offset or none (then UTC), or a date, a month or a year alone (its
/// first moment).
///
/// Returns `None` for anything else, and for years before 1970, which are the unset dates of some generators.
#[must_use]
pub fn parse_lastmod(text: &str) -> Option<DateTime<Utc>> {
    let mut rest = text.trim().as_bytes();
    let year = number(&mut rest, 4)?;
    let month = date_part(&mut rest)?;
    let day = date_part(&mut rest)?;
    if year < 1970 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    if rest.is_empty() {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    literal(&mut rest, b"Tt ")?;
    let hour = number(&mut rest, 2)?;
    literal(&mut rest, b":")?;
    let minute = number(&mut rest, 2)?;
    let (mut second, mut nanosecond) = (0, 0);
    if literal(&mut rest, b":").is_some() {
        second = number(&mut rest, 2)?;
        if literal(&mut rest, b".,").is_some() {
            nanosecond = fraction(&mut rest)?;
        }
    }
    // A leap second counts as the last one of its minute.
    let time = NaiveTime::from_hms_nano_opt(
        hour,
        minute,
        second.min(59 + u32::from(second > 60)),
        nanosecond,
    )?;
    let offset = offset(rest.trim_ascii())?;
    let local = NaiveDateTime::new(date, time);
    Some(local.checked_sub_offset(offset)?.and_utc())
}

/// Reads the date of a feed: RFC 2822 as RSS has it, or ISO 8601 as Atom has it.
pub(super) fn parse_feed_date(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // The name of the day may be wrong, or in another language, and says nothing more.
    let date = text.split_once(',').map_or(text, |(_, date)| date);
    DateTime::parse_from_rfc2822(date)
        .or_else(|_| DateTime::parse_from_rfc2822(&format!("{date} +0000")))
        .map(|date| date.to_utc())
        .ok()
        .or_else(|| parse_lastmod(text))
}

fn literal(rest: &mut &[u8], any_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    any_of.contains(first).then(|| *rest = tail)
}

fn number(rest: &mut &[u8], digits: usize) -> Option<u32> {
    let (head, tail) = rest.split_at_checked(digits)?;
    let value = head.iter().try_fold(0, |sum: u32, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u32::from(byte - b'0'))
    })?;
    *rest = tail;
    Some(value)
}

/// Reads `-` and two digits; 1 where the text has ended, which is what a month or a year alone leaves out.
fn date_part(rest: &mut &[u8]) -> Option<u32> {
    if rest.is_empty() {
        return Some(1);
    }
    literal(rest, b"-")?;
    number(rest, 2)
}

/// Reads the digits after the decimal point as nanoseconds; those beyond the ninth are dropped.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, tail) = rest.split_at_checked(digits)?;
    if digits == 0 {
        return None;
    }
    *rest = tail;
    let padded = head.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    Some(padded.fold(0, |sum: u32, byte| sum * 10 + u32::from(byte - b'0')))
}

/// Reads `Z`, `+hh:mm`, `+hhmm`, `+hh` or nothing.
fn offset(mut rest: &[u8]) -> Option<FixedOffset> {
    let sign = match rest {
        [] | [b'Z' | b'z'] => return FixedOffset::east_opt(0),
        [b'+', tail @ ..] => {
            rest = tail;
            1
        }
        [b'-', tail @ ..] => {
            rest = tail;
            -1
        }
        _ => return None,
    };
    let hours = number(&mut rest, 2)?;
    let minutes = if rest.is_empty() {
        0
    } else {
        // The colon is optional.
        let _colon: Option<()> = literal(&mut rest, b":");
        number(&mut rest, 2)?
    };
    if !rest.is_empty() || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    FixedOffset::east_opt(sign * seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read_in_the_forms_sitemaps_use() {
        for (text, expected) in [
            ("2024-05-06", Some("2024-05-06T00:00:00Z")),
            (" 2024-05-06T07:08:09Z\n", Some("2024-05-06T07:08:09Z")),
            ("2024-05-06T07:08:09", Some("2024-05-06T07:08:09Z")),
            ("2024-05-06 07:08", Some("2024-05-06T07:08:00Z")),
            (
                "2024-05-06T07:08:09.250+02:00",
                Some("2024-05-06T05:08:09.250Z"),
            ),
            ("2024-05-06T07:08:09-0330", Some("2024-05-06T10:38:09Z")),
            ("2024-05-06T07:08:09 +01", Some("2024-05-06T06:08:09Z")),
            ("2024-02-29", Some("2024-02-29T00:00:00Z")),
            ("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59Z")),
            (
                "2024-05-06T07:08:09.1234567891Z",
                Some("2024-05-06T07:08:09.123456789Z"),
            ),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("0000-00-00", None),
            ("0001-01-01T00:00:00Z", None),
            ("2024-05", Some("2024-05-01T00:00:00Z")),
            ("2024", Some("2024-01-01T00:00:00Z")),
            ("2024-", None),
            ("2024-5", None),
            ("06.05.2024", None),
            ("2024-05-06T25:00:00Z", None),
            ("2024-05-06T07:08:61Z", None),
            ("2024-05-06T07:08:09+25:00", None),
            ("2024-05-06T07:08:09 CET", None),
            ("2024-05-06T", None),
            ("yesterday", None),
            ("", None),
        ] {
            let expected: Option<DateTime<Utc>> = expected.map(|text| text.parse().unwrap());
            assert_eq!(parse_lastmod(text), expected, "for {text:?}");
        }
    }

    #[test]
    fn feeds_also_use_the_form_of_mail() {
        let expected: Option<DateTime<Utc>> = Some("2024-05-06T05:08:09Z".parse().unwrap());
        for text in [
            "Mon, 06 May 2024 07:08:09 +0200",
            "Sun, 06 May 2024 07:08:09 +0200",
            "Mo, 6 May 2024 05:08:09 GMT",
            "06 May 24 01:08:09 EDT",
            "Mon, 06 May 2024 05:08:09",
            "2024-05-06T05:08:09Z",
        ] {
            assert_eq!(parse_feed_date(text), expected, "for {text:?}");
        }
        for text in ["soon", "Mon, soon", ","] {
            assert_eq!(parse_feed_date(text), None, "for {text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", likely in "[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.+Z-]{0,20})?") {
            for text in [text, likely] {
                let date = parse_feed_date(&text);
                prop_assert!(date.is_none() || !text.is_empty());
            }
        }
    }
}
