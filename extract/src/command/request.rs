//! What is asked: one line of JSON, or the flags of the command.

use std::borrow::Cow;
use std::fmt::Formatter;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::lines::{Line, MAX_LINE_BYTES};

/// What the caller knows beyond the document, where a line does not say it itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Address of the document (robots: the address to be judged).
    pub url: Option<String>,
    /// robots: who asks; the groups for `*` without it.
    pub user_agent: Option<String>,
    /// contacts: country (ISO 3166-1) of telephone numbers without a country code.
    pub default_region: Option<String>,
    /// price: language of the text (BCP 47).
    pub language: Option<String>,
    /// price: currency (ISO 4217) where the text names none or an ambiguous sign.
    pub currency: Option<String>,
    /// price: what stands before the decimals, `.` or `,`, where the text leaves it open.
    pub decimal_separator: Option<String>,
    /// domain: platforms' suffixes count too (github.io).
    pub private: Option<bool>,
    /// sitemap: the addresses alone.
    pub urls_only: Option<bool>,
}

/// One question.
#[derive(Debug, Default, Deserialize)]
pub struct Request<'a> {
    /// Given back as it is.
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    /// The document: a file.
    #[serde(borrow, default, deserialize_with = "text")]
    pub file: Option<Cow<'a, str>>,
    /// The document: a text.
    #[serde(borrow, default, deserialize_with = "text")]
    pub text: Option<Cow<'a, str>>,
    /// The same.
    #[serde(borrow, default, deserialize_with = "text")]
    pub html: Option<Cow<'a, str>>,
    /// pattern: the pattern, an object or its text.
    #[serde(borrow, default)]
    pub pattern: Option<&'a RawValue>,
    /// As [`Options::url`].
    #[serde(borrow, default, deserialize_with = "text")]
    pub url: Option<Cow<'a, str>>,
    /// As [`Options::user_agent`].
    #[serde(borrow, default, deserialize_with = "text")]
    pub user_agent: Option<Cow<'a, str>>,
    /// As [`Options::default_region`].
    #[serde(borrow, default, deserialize_with = "text")]
    pub default_region: Option<Cow<'a, str>>,
    /// As [`Options::language`].
    #[serde(borrow, default, deserialize_with = "text")]
    pub language: Option<Cow<'a, str>>,
    /// As [`Options::currency`].
    #[serde(borrow, default, deserialize_with = "text")]
    pub currency: Option<Cow<'a, str>>,
    /// As [`Options::decimal_separator`].
    #[serde(borrow, default, deserialize_with = "text")]
    pub decimal_separator: Option<Cow<'a, str>>,
    /// As [`Options::private`].
    pub private: Option<bool>,
    /// As [`Options::urls_only`].
    pub urls_only: Option<bool>,
}

/// Reads a text or null; a text without escapes stays where it is in the line.
fn text<'de: 'a, 'a, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Ok(Option::<Text<'a>>::deserialize(from)?.map(|text| text.0))
}

/// Finds what an answer needs when the question is no good: the id, if it stands before the damage.
struct FindId<'s, 'a>(&'s mut Option<&'a RawValue>);

impl<'a> Visitor<'a> for FindId<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "id" {
                *self.0 = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

fn find_id(line: &[u8]) -> Option<&RawValue> {
    let mut id = None;
    // Whether it ends well does not matter any more.
    let read = serde_json::Deserializer::from_slice(line).deserialize_map(FindId(&mut id));
    drop(read);
    id
}

/// Why a line asks nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    /// It is too long to be held.
    #[error(
        "line {number} is longer than {} MiB; give the document as a \"file\"",
        MAX_LINE_BYTES / (1024 * 1024)
    )]
    TooLong { number: u64 },
    /// It is no JSON object, or a field is of the wrong type.
    #[error("line {number} is not a JSON object with the fields of this kind")]
    Malformed {
        number: u64,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

impl<'a> Request<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, and the id if that can be read.
    pub(super) fn parse(line: &Line<'a>) -> Result<Self, (Option<&'a RawValue>, RequestError)> {
        let number = line.number;
        let Some(bytes) = line.bytes else {
            return Err((None, RequestError::TooLong { number }));
        };
        let bytes = bytes.trim_ascii();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        serde_json::from_slice(bytes)
            .map_err(|source| (find_id(bytes), RequestError::Malformed { number, source }))
    }

    /// Takes from the flags what it does not say itself.
    #[must_use]
    pub fn with(mut self, options: &Options) -> Self {
        let fill = |own: &mut Option<Cow<'a, str>>, flag: &Option<String>| {
            if own.is_none() {
                *own = flag.clone().map(Cow::Owned);
            }
        };
        fill(&mut self.url, &options.url);
        fill(&mut self.user_agent, &options.user_agent);
        fill(&mut self.default_region, &options.default_region);
        fill(&mut self.language, &options.language);
        fill(&mut self.currency, &options.currency);
        fill(&mut self.decimal_separator, &options.decimal_separator);
        self.private = self.private.or(options.private);
        self.urls_only = self.urls_only.or(options.urls_only);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_keeps_the_id_before_the_damage() {
        for (line, expected) in [
            (&b"{\"id\": 7, \"text\": 5}"[..], Some("7")),
            (b"{\"id\": \"a\", \"text\": \"cut", Some("\"a\"")),
            (b"{\"id\": [1], \"text\": \"\xff\"}", Some("[1]")),
            (b"{\"text\": 5, \"id\": 7} trailing", Some("7")),
            (b"{\"id\": 7}\0", Some("7")),
            (b"{\"text\": nonsense, \"id\": 7}", None),
            (b"{\"id\": 7", Some("7")),
            (b"{\"id\": }", None),
            (b"[7]", None),
            (b"\"id\"", None),
            (b"\xff", None),
        ] {
            let line = Line {
                number: 1,
                bytes: Some(line),
            };
            let (id, _) = Request::parse(&line).expect_err("a bad line");
            assert_eq!(id.map(RawValue::get), expected, "{line:?}");
        }
    }
}
