//! Reading response headers that decide something.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{self, HeaderName};

/// A header's text, if it has one.
pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

/// How long `Retry-After` asks to wait (RFC 9110, 10.2.3): seconds, or a date.
///
/// A date is measured against the server's own `Date`, so that a clock that is wrong on either side
/// does not matter; against `now` if there is none. A date in the past is no wait. The answer is
/// at most `max`.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime, max: Duration) -> Option<Duration> {
    let value = text(headers, &header::RETRY_AFTER)?;
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean: very long.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let server_now = text(headers, &header::DATE)
            .and_then(|date| httpdate::parse_http_date(&date).ok())
            .unwrap_or(now);
        until.duration_since(server_now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let hour = Duration::from_secs(3600);
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, date, expected) in [
            (Some("120"), None, Some(120)),
            (Some(" 7 "), None, Some(7)),
            (Some("0"), None, Some(0)),
            (Some("99999"), None, Some(3600)),
            (Some("99999999999999999999999"), None, Some(3600)),
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), None, Some(60)),
            (Some("Sunday, 06-Nov-94 08:50:37 GMT"), None, Some(60)),
            (Some("Sun Nov  6 08:50:37 1994"), None, Some(60)),
            (
                Some("Sun, 06 Nov 1994 10:00:30 GMT"),
                Some("Sun, 06 Nov 1994 10:00:00 GMT"),
                Some(30),
            ),
            (Some("Sun, 06 Nov 1994 07:00:00 GMT"), None, Some(0)),
            (Some("Sat, 06 Nov 2094 07:00:00 GMT"), None, Some(3600)),
            (Some("-5"), None, None),
            (Some("1.5"), None, None),
            (Some("soon"), None, None),
            (Some(""), None, None),
            (None, None, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            }
            if let Some(date) = date {
                headers.insert(header::DATE, date.parse().unwrap());
            }
            let answer = retry_after(&headers, now, hour).map(|d| d.as_secs());
            assert_eq!(answer, expected, "{value:?} {date:?}");
        }
    }
}
