//! What an address can be told: the table `run` of a section, where it names one.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use super::signature;
use crate::handlers::bounds::{MAX_BATCH, MAX_LINE_BYTES};
use crate::secret::Secret;
use crate::settings::{self, Problem};

/// How rows are put into requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// One each.
    #[default]
    Item,
    /// Those that are to be worked at the same time, together.
    Batch,
}

/// An address that works rows, and how it is asked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The address, `http` or `https`.
    pub http: String,
    /// A request for each row, or for many.
    #[serde(default)]
    pub per: Per,
    /// At most so many rows in one request, where `per` is `batch`.
    #[serde(default)]
    pub batch: Option<u32>,
    /// At most so many bytes in one request that has more than one row.
    #[serde(default = "one_mebibyte")]
    pub batch_bytes: usize,
    /// At most so many requests at once.
    #[serde(default = "sixteen")]
    pub in_flight: u32,
    /// Headers that each request has, such as a token.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// What requests are signed with: `whsec_` and 24 to 64 bytes in base64. Several, in a list, while one takes another's place.
    #[serde(default, deserialize_with = "one_or_many")]
    pub secret: Vec<Secret>,
    /// How long a request may take.
    #[serde(default = "half_a_minute", with = "humantime_serde")]
    pub timeout: Duration,
    /// Where this program's HTTP server is reached by the handler, such as `https://gleaner.example.com`. Without it no answer may come later.
    #[serde(default)]
    pub callback_url: Option<String>,
    /// How long an answer may take that comes later. The workflow's own timeout holds too.
    #[serde(default = "one_hour", with = "humantime_serde")]
    pub callback_timeout: Duration,
}

fn one_mebibyte() -> usize {
    1 << 20
}

fn sixteen() -> u32 {
    16
}

fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

fn one_hour() -> Duration {
    Duration::from_secs(3_600)
}

/// What a batch has if nothing is said.
const BATCH: usize = 100;
/// More requests at once than this are a mistake.
const MAX_IN_FLIGHT: u32 = 1_000;
/// More secrets than this are a mistake.
const MAX_SECRETS: usize = 8;
/// More than this is a mistake.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3_600);
/// More than this is a mistake.
const MAX_CALLBACK_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Headers that say how the request is sent, or that are ours.
const OURS: [HeaderName; 7] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    HOST,
    TRANSFER_ENCODING,
];

/// A secret, or a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    struct Take;
    impl<'de> Visitor<'de> for Take {
        type Value = Vec<Secret>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a secret, or a list of secrets")
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![Secret::new(text)])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut secrets = Vec::new();
            while let Some(secret) = list.next_element()? {
                secrets.push(secret);
            }
            Ok(secrets)
        }
    }
    deserializer.deserialize_any(Take)
}

/// An address of the kind that a request may be sent to.
fn address(text: &str) -> Result<Url, &'static str> {
    let Ok(url) = Url::parse(text) else {
        return Err("is no URL, such as https://billing.example.com/ocr");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must begin with https:// or http:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a password; put it into headers");
    }
    if url.fragment().is_some() {
        return Err("must not have a fragment (#…): no server gets to see one");
    }
    Ok(url)
}

impl Options {
    /// An address with everything else as it is where it is not said.
    #[must_use]
    pub fn of(http: impl Into<String>) -> Self {
        Self {
            http: http.into(),
            per: Per::Item,
            batch: None,
            batch_bytes: one_mebibyte(),
            in_flight: sixteen(),
            headers: BTreeMap::new(),
            secret: Vec::new(),
            timeout: half_a_minute(),
            callback_url: None,
            callback_timeout: one_hour(),
        }
    }

    /// The address, once checked.
    pub(super) fn url(&self) -> Option<Url> {
        address(&self.http).ok()
    }

    /// Where answers may be sent to later, with the token after it.
    pub(super) fn callbacks(&self) -> Option<String> {
        let base = self.callback_url.as_deref()?;
        Some(format!("{}/api/v1/callback/", base.trim_end_matches('/')))
    }

    /// Most rows in one request.
    pub(super) fn most(&self) -> usize {
        match self.per {
            Per::Item => 1,
            Per::Batch => self
                .batch
                .map_or(BATCH, |batch| usize::try_from(batch).unwrap_or(MAX_BATCH)),
        }
    }

    /// The headers that were given, once checked.
    pub(super) fn header_map(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let Ok(known) = HeaderName::try_from(name.as_str()) else {
                return Err("has a name that no header can have".to_owned());
            };
            if OURS.contains(&known) || known.as_str().starts_with("webhook-") {
                return Err(format!("must not set {known}, which Gleaner does"));
            }
            let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
                return Err(format!("has a value for {known} that no header can have"));
            };
            value.set_sensitive(true);
            headers.insert(known, value);
        }
        Ok(headers)
    }

    /// The keys to sign with.
    pub(super) fn keys(&self) -> Vec<Vec<u8>> {
        self.secret.iter().filter_map(signature::key).collect()
    }
}

impl settings::Options for Options {
    fn check(&self) -> Result<(), Problem> {
        let wrong = |key: &str, problem: String| Err((key.to_owned(), problem));
        if let Err(problem) = address(&self.http) {
            return wrong("http", problem.to_owned());
        }
        match (self.per, self.batch) {
            (Per::Item, Some(_)) => {
                return wrong("batch", "needs per = \"batch\"".to_owned());
            }
            (Per::Batch, _) if !(1..=MAX_BATCH).contains(&self.most()) => {
                return wrong("batch", format!("must be from 1 to {MAX_BATCH}"));
            }
            _ => {}
        }
        if !(1..=MAX_LINE_BYTES).contains(&self.batch_bytes) {
            return wrong("batch_bytes", format!("must be from 1 to {MAX_LINE_BYTES}"));
        }
        if !(1..=MAX_IN_FLIGHT).contains(&self.in_flight) {
            return wrong("in_flight", format!("must be from 1 to {MAX_IN_FLIGHT}"));
        }
        if let Err(problem) = self.header_map() {
            return wrong("headers", problem);
        }
        if self.secret.len() > MAX_SECRETS || self.keys().len() != self.secret.len() {
            return wrong(
                "secret",
                format!(
                    "must be whsec_ and 24 to 64 bytes in base64, or a list of at most {MAX_SECRETS} such: \
                     echo whsec_$(openssl rand -base64 32)"
                ),
            );
        }
        if self.timeout.is_zero() || self.timeout > MAX_TIMEOUT {
            return wrong("timeout", "must be more than 0 and at most 24h; what takes longer is to answer later (callback_url)".to_owned());
        }
        if let Some(url) = &self.callback_url {
            match address(url) {
                Err(problem) => return wrong("callback_url", problem.to_owned()),
                Ok(url) if url.query().is_some() => {
                    return wrong("callback_url", "must not have a query (?…)".to_owned());
                }
                Ok(_) => {}
            }
        }
        if self.callback_timeout.is_zero() || self.callback_timeout > MAX_CALLBACK_TIMEOUT {
            return wrong(
                "callback_timeout",
                "must be more than 0 and at most 7days".to_owned(),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Options as _;

    #[test]
    fn only_the_address_has_to_be_said() {
        let read: Options = toml::from_str("http = 'https://billing.example.com/ocr'").unwrap();
        assert_eq!(read, Options::of("https://billing.example.com/ocr"));
        assert!(read.check().is_ok());
        assert_eq!((read.most(), read.callbacks()), (1, None));
        let whole = "http = 'http://[::1]:8000/'\nper = 'batch'\nbatch = 7\nbatch_bytes = 1000\nin_flight = 2\n\
            headers = { Authorization = 'Bearer x-1' }\n\
            secret = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh']\n\
            timeout = '1m'\ncallback_url = 'https://gleaner.example.com/in/'\ncallback_timeout = '2h'";
        let read: Options = toml::from_str(whole).unwrap();
        assert!(read.check().is_ok(), "{:?}", read.check());
        assert_eq!((read.most(), read.keys().len()), (7, 2));
        assert_eq!(
            read.callbacks().as_deref(),
            Some("https://gleaner.example.com/in/api/v1/callback/")
        );
        assert_eq!(read.header_map().unwrap()["authorization"], "Bearer x-1");
        for printed in [toml::to_string(&read).unwrap(), format!("{read:?}")] {
            assert!(
                !printed.contains("x-1") && !printed.contains("whsec_M"),
                "{printed}"
            );
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        let good = "https://billing.example.com";
        for (http, line, key) in [
            ("", "", "http"),
            ("billing.example.com", "", "http"),
            ("ftp://billing.example.com", "", "http"),
            ("https://me:secret@billing.example.com", "", "http"),
            ("https://billing.example.com/#top", "", "http"),
            (good, "batch = 2", "batch"),
            (good, "per = 'batch'\nbatch = 0", "batch"),
            (good, "per = 'batch'\nbatch = 10001", "batch"),
            (good, "batch_bytes = 0", "batch_bytes"),
            (good, "in_flight = 0", "in_flight"),
            (good, "headers = { 'a b' = 'x' }", "headers"),
            (good, "headers = { a = \"x\\ny\" }", "headers"),
            (good, "headers = { Host = 'x' }", "headers"),
            (good, "headers = { Webhook-Id = 'x' }", "headers"),
            (good, "secret = 'hunter2'", "secret"),
            (
                good,
                "secret = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '']",
                "secret",
            ),
            (good, "timeout = '0s'", "timeout"),
            (good, "timeout = '25h'", "timeout"),
            (good, "callback_url = 'gleaner'", "callback_url"),
            (
                good,
                "callback_url = 'https://gleaner.example.com/?a=1'",
                "callback_url",
            ),
            (good, "callback_timeout = '0s'", "callback_timeout"),
        ] {
            let read: Options = toml::from_str(&format!("http = '{http}'\n{line}")).unwrap();
            let (named, problem) = read.check().unwrap_err();
            assert_eq!(named, key, "{line}");
            assert!(
                !problem.contains("hunter2") && !problem.contains("secret@"),
                "{problem}"
            );
        }
        let unknown = toml::from_str::<Options>("http = 'https://a.example'\nretries = 2");
        assert!(unknown.unwrap_err().to_string().contains("retries"));
    }
}
