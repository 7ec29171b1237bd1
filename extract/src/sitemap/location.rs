//! From the text of an address to what is passed on of it.

use std::sync::Arc;

use url::Url;

use crate::listing::{named_host, resolve_listed};
use crate::url::{MAX_URL_BYTES, TrackingParameters, normalize_with};

/// Where relative URLs lead, and how all of them are normalised.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) url: Url,
    pub(super) tracking: Arc<TrackingParameters>,
}

/// What becomes of the text of an address.
pub(super) trait Location: Sized + PartialEq {
    /// `None` for what cannot be fetched.
    fn resolve(base: &Base, href: &str) -> Option<Self>;

    /// As [`Location::resolve`], for a text that is absolute.
    fn normalize(base: &Base, absolute: &str) -> Option<Self>;
}

impl Location for Url {
    fn resolve(base: &Base, href: &str) -> Option<Self> {
        resolve_listed(&base.tracking, &base.url, href)
    }

    fn normalize(base: &Base, absolute: &str) -> Option<Self> {
        normalize_with(&base.tracking, absolute).ok()
    }
}

/// An address as the file has it, of one that can be fetched; one that is relative or has no scheme, resolved and normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsGiven {
    /// The absolute URL.
    pub url: String,
    /// Whether it has its host from the file's own address.
    pub is_relative: bool,
}

impl AsGiven {
    fn of(base: &Base, text: &str, parse: impl FnOnce() -> Option<Url>) -> Option<Self> {
        if is_plainly_fetchable(text) {
            return Some(Self {
                url: text.to_owned(),
                is_relative: false,
            });
        }
        let url = parse()?;
        let has_host = named_host(&base.url, text).is_some();
        // Only if it leads there from anywhere: `https:/a` is a path to a base of the same scheme, and a host to none.
        let is_absolute = !has_host
            && !text.starts_with('/')
            && Url::normalize(base, text).as_ref() == Some(&url);
        Some(Self {
            is_relative: !is_absolute && !has_host && url.host_str() == base.url.host_str(),
            url: if is_absolute {
                text.to_owned()
            } else {
                url.into()
            },
        })
    }
}

impl Location for AsGiven {
    fn resolve(base: &Base, href: &str) -> Option<Self> {
        Self::of(base, href, || Url::resolve(base, href))
    }

    fn normalize(base: &Base, absolute: &str) -> Option<Self> {
        Self::of(base, absolute, || Url::normalize(base, absolute))
    }
}

/// Whether no parser can refuse a text: a web address with a host of plain letters, which is most of them. After the slash that
/// ends the host anything goes (WHATWG URL, "path state").
pub(super) fn is_plainly_fetchable(text: &str) -> bool {
    let Some(rest) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return false;
    };
    let Some((host, _)) = memchr::memchr(b'/', rest.as_bytes())
        .and_then(|slash| rest.as_bytes().split_at_checked(slash))
    else {
        return false;
    };
    // No numbers, which may be an address, and no Punycode.
    let is_plain = |label: &[u8]| {
        label.first().is_some_and(u8::is_ascii_lowercase)
            && label.last() != Some(&b'-')
            && label
                .iter()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.windows(2).any(|pair| pair == b"--")
    };
    text.len() <= MAX_URL_BYTES
        && host.len() <= 253
        && host.split(|byte| *byte == b'.').all(is_plain)
}
