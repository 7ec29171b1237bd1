//! What a page asks for: which of it is fetched, and how question and answer are carried over.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::web::fetch::{RequestOptions, Response};

/// A request that the browser has stopped for us: `Fetch.requestPaused`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Paused {
    pub(super) request_id: String,
    pub(super) request: Asked,
    pub(super) frame_id: String,
    pub(super) resource_type: String,
}

/// The request itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    pub(super) url: String,
    method: String,
    headers: HashMap<String, String>,
    #[serde(default)]
    has_post_data: bool,
    post_data_entries: Option<Vec<PostData>>,
}

#[derive(Debug, Deserialize)]
struct PostData {
    bytes: Option<String>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is for the page itself.
    Page,
    Fetch,
    /// Another origin is asked whether it may be asked. That protects what a user's browser could reach, by its place in a
    /// network or by its cookies; this one has neither, so it is told yes.
    Allow,
    /// It is not made: pictures, fonts, media, frames, beacons, and methods that are there to change something.
    Refuse,
}

impl Paused {
    /// What becomes of it, in the tab `target`.
    pub(super) fn verdict(&self, target: &str) -> Verdict {
        match (self.resource_type.as_str(), self.request.method.as_str()) {
            ("Document", "GET") if self.frame_id == target => Verdict::Page,
            ("Script" | "Stylesheet" | "XHR" | "Fetch", "GET" | "POST") => Verdict::Fetch,
            (_, "OPTIONS") => Verdict::Allow,
            _ => Verdict::Refuse,
        }
    }
}

/// What the browser's headers say that our client does not say by itself. Names of the browser (`Sec-…`) are not ours.
fn own_headers(asked: &HashMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in asked {
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) else {
            continue;
        };
        let is_ours = [
            header::ACCEPT_ENCODING,
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::HOST,
            header::UPGRADE_INSECURE_REQUESTS,
            header::USER_AGENT,
        ]
        .contains(&name);
        if !is_ours && !name.as_str().starts_with("sec-") {
            headers.insert(name, value);
        }
    }
    headers
}

impl Asked {
    /// How it is fetched; `None` if what it posts is not known. A redirect goes back to the browser, which follows it and is
    /// stopped again; so each address passes all rules.
    ///
    /// robots.txt and the pace of hosts are for pages. What a page consists of is fetched as it asks for it.
    pub(super) fn options(&self, max_body_bytes: u64) -> Option<RequestOptions> {
        Some(RequestOptions {
            max_body_bytes: Some(max_body_bytes),
            ignore_robots: true,
            own_pace: true,
            keep_redirects: true,
            headers: own_headers(&self.headers),
            post: match self.method.as_str() {
                "POST" => Some(self.posted()?),
                _ => None,
            },
            ..RequestOptions::default()
        })
    }

    /// How a page is fetched that a script led on to: as any page, but for redirects.
    pub(super) fn page_options() -> RequestOptions {
        RequestOptions {
            keep_redirects: true,
            ..RequestOptions::default()
        }
    }

    fn posted(&self) -> Option<Bytes> {
        let mut body = Vec::new();
        match &self.post_data_entries {
            Some(entries) => {
                for entry in entries {
                    body.extend(BASE64.decode(entry.bytes.as_ref()?).ok()?);
                }
            }
            None if self.has_post_data => return None,
            None => {}
        }
        Some(body.into())
    }
}

/// `Fetch.fulfillRequest` for a response. What was true of the bytes on the wire is not said of those that are handed over.
pub(super) fn fulfilled(request: &str, response: &Response) -> Value {
    let headers: Vec<Value> = response
        .headers
        .iter()
        .filter(|(name, _)| {
            ![
                header::CONNECTION,
                header::CONTENT_ENCODING,
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
            ]
            .contains(name)
        })
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            json!({ "name": name.as_str(), "value": value })
        })
        .collect();
    let phrase = http::StatusCode::from_u16(response.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Other");
    json!({
        "requestId": request,
        "responseCode": response.status,
        "responsePhrase": phrase,
        "responseHeaders": headers,
        "body": BASE64.encode(&response.body),
    })
}

/// `Fetch.fulfillRequest` that allows another origin to be asked.
pub(super) fn allowed(paused: &Paused) -> Value {
    let asked = |name: &str| {
        let found = paused
            .request
            .headers
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map_or("*", |(_, value)| value.as_str())
    };
    json!({
        "requestId": paused.request_id,
        "responseCode": 204,
        "responseHeaders": [
            { "name": "Access-Control-Allow-Origin", "value": asked("Origin") },
            { "name": "Access-Control-Allow-Credentials", "value": "true" },
            { "name": "Access-Control-Allow-Methods", "value": asked("Access-Control-Request-Method") },
            { "name": "Access-Control-Allow-Headers", "value": asked("Access-Control-Request-Headers") },
        ],
    })
}

/// `Fetch.failRequest`.
pub(super) fn failed(request: &str) -> Value {
    json!({ "requestId": request, "errorReason": "BlockedByClient" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(kind: &str, method: &str, frame: &str) -> Paused {
        serde_json::from_value(json!({
            "requestId": "1", "frameId": frame, "resourceType": kind, "networkId": "x",
            "request": {
                "url": "https://a.example/", "method": method,
                "headers": { "User-Agent": "Chrome", "X-Key": "k", "sec-ch-ua": "x", "Cookie": "a=1", "Bad\n": "x" },
                "hasPostData": method == "POST",
                "postDataEntries": [{ "bytes": "eyJh" }, { "bytes": "IjoxfQ==" }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_a_page_needs_is_fetched_and_nothing_else() {
        for (kind, method, frame, verdict) in [
            ("Document", "GET", "T", Verdict::Page),
            ("Document", "POST", "T", Verdict::Refuse),
            ("Document", "GET", "F", Verdict::Refuse),
            ("Script", "GET", "T", Verdict::Fetch),
            ("Script", "GET", "F", Verdict::Fetch),
            ("Stylesheet", "GET", "T", Verdict::Fetch),
            ("XHR", "POST", "T", Verdict::Fetch),
            ("Fetch", "GET", "T", Verdict::Fetch),
            ("Fetch", "DELETE", "T", Verdict::Refuse),
            ("Preflight", "OPTIONS", "T", Verdict::Allow),
            ("Image", "GET", "T", Verdict::Refuse),
            ("Font", "GET", "T", Verdict::Refuse),
            ("Media", "GET", "T", Verdict::Refuse),
            ("Ping", "POST", "T", Verdict::Refuse),
            ("EventSource", "GET", "T", Verdict::Refuse),
            ("Other", "GET", "T", Verdict::Refuse),
        ] {
            assert_eq!(
                paused(kind, method, frame).verdict("T"),
                verdict,
                "{kind} {method} {frame}"
            );
        }
    }

    #[test]
    fn a_request_is_carried_over_without_the_browser_s_own_names() {
        let options = paused("XHR", "POST", "T").request.options(7).unwrap();
        let mut names: Vec<&str> = options.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["cookie", "x-key"]);
        assert_eq!(options.post.as_deref(), Some(&br#"{"a":1}"#[..]));
        assert_eq!(options.max_body_bytes, Some(7));
        assert!(
            paused("XHR", "GET", "T")
                .request
                .options(7)
                .unwrap()
                .post
                .is_none()
        );

        let mut unknown = paused("XHR", "POST", "T");
        unknown.request.post_data_entries = None;
        assert!(unknown.request.options(7).is_none());
    }
}
