//! The headers of tus.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::documents::http::receive::duplicate;
use crate::documents::http::trouble::Trouble;

/// The one version that there is.
pub(super) const VERSION: &str = "1.0.0";
pub(super) const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
pub(super) const LENGTH: HeaderName = HeaderName::from_static("upload-length");
pub(super) const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// The document that an upload became.
pub(super) const DOCUMENT: HeaderName = HeaderName::from_static("gleaner-document");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// Longest metadata, in bytes.
const LONGEST: usize = 8 * 1024;

/// What is said of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) filename: Option<String>,
    pub(super) allows_duplicate: bool,
}

/// A header that is a number.
pub(super) fn number(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// Pairs by commas: a key, a space, and its value in base64.
pub(super) fn metadata(headers: &HeaderMap) -> Result<Metadata, Trouble> {
    let bad = || Trouble::invalid("Upload-Metadata is KEY BASE64, … of at most 8 KiB");
    let mut metadata = Metadata::default();
    let Some(value) = headers.get(METADATA) else {
        return Ok(metadata);
    };
    let text = value.to_str().ok().filter(|text| text.len() <= LONGEST);
    for pair in text.ok_or_else(bad)?.split(',').map(str::trim) {
        let (key, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
        let bytes = STANDARD.decode(encoded.trim()).map_err(|_wrong| bad())?;
        let value = String::from_utf8_lossy(&bytes);
        match key {
            "filename" | "name" => metadata.filename = Some(value.into_owned()),
            "duplicate" => metadata.allows_duplicate = duplicate(&value)?,
            _ => {}
        }
    }
    Ok(metadata)
}

/// The one media type of a part.
pub(super) fn check_media(headers: &HeaderMap) -> Result<(), Trouble> {
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "application/offset+octet-stream") {
        return Ok(());
    }
    Err(Trouble::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "wrong_content_type",
        "Content-Type has to be application/offset+octet-stream",
    ))
}

/// A time as HTTP has it.
pub(super) fn date(at: DateTime<Utc>) -> String {
    httpdate::fmt_http_date(at.into())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(value: &'static str) -> Option<Metadata> {
        let mut headers = HeaderMap::new();
        headers.insert(METADATA, HeaderValue::from_static(value));
        metadata(&headers).ok()
    }

    #[test]
    fn metadata_is_read() {
        let named = |name: &str, allows_duplicate| Metadata {
            filename: Some(name.to_owned()),
            allows_duplicate,
        };
        assert_eq!(read("filename YS5wZGY="), Some(named("a.pdf", false)));
        assert_eq!(
            read("filename YS5wZGY=,is_confidential, duplicate YWxsb3c="),
            Some(named("a.pdf", true))
        );
        assert_eq!(read("filename a.pdf"), None);
        assert_eq!(metadata(&HeaderMap::new()).ok(), Some(Metadata::default()));
    }

    #[test]
    fn numbers_are_plain() {
        for (value, expected) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("+1", None),
            ("-1", None),
            ("", None),
            ("1e3", None),
            ("99999999999999999999", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LENGTH, HeaderValue::from_static(value));
            assert_eq!(number(&headers, LENGTH), expected, "{value}");
        }
    }
}
