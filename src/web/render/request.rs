//! What a page asks for: which of it is fetched, and how question and answer are carried over.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use gleaner_extract::domain::registrable;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

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
    /// It is for the shop itself.
    Own,
    /// It is for somebody else, and what pages are built of: a script or a style sheet.
    Foreign,
    /// The shop, by another name, is asked whether it may be asked. That protects what a user's browser could reach, by its place
    /// in a network or by its cookies; this one has neither, so it is told yes.
    Allow,
    /// It is not made: what others are asked besides, pictures, fonts, media, frames, beacons, and methods that are there to
    /// change something.
    Refuse,
}

/// What a page may ask for beyond what every page may. Operators say so for a shop; pages say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Whether its scripts may POST to the shop's own hosts.
    pub post: bool,
    /// Hosts that are the shop's own besides those of its site: its API's, say, under another name.
    pub hosts: Vec<String>,
}

/// Whose page it is, and so who of those that it asks is the shop itself.
#[derive(Debug)]
pub(super) struct Shop {
    site: String,
    allowance: Allowance,
}

impl Shop {
    /// That of a page at this address.
    pub(super) fn of(page: &Url, allowance: Allowance) -> Self {
        Self {
            site: site_of(page.host_str().unwrap_or_default()),
            allowance,
        }
    }

    /// Whether an address is one of its site.
    pub(super) fn is_site(&self, url: &Url) -> bool {
        site_of(url.host_str().unwrap_or_default()) == self.site
    }

    fn is_own(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let is_named = |named: &String| named.eq_ignore_ascii_case(host);
        self.is_site(url) || self.allowance.hosts.iter().any(is_named)
    }
}

/// The registrable domain of a host, or the host itself where nothing was registered.
fn site_of(host: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    registrable(&host).map_or_else(
        || host.strip_prefix("www.").unwrap_or(&host).to_owned(),
        |found| found.domain,
    )
}

impl Paused {
    /// What becomes of it, in the tab `target`.
    pub(super) fn verdict(&self, target: &str, shop: &Shop) -> Verdict {
        let Ok(url) = Url::parse(&self.request.url) else {
            return Verdict::Refuse;
        };
        let is_own = shop.is_own(&url);
        match (self.resource_type.as_str(), self.request.method.as_str()) {
            ("Document", "GET") if self.frame_id == target => Verdict::Page,
            ("Script" | "Stylesheet" | "XHR" | "Fetch", "GET") if is_own => Verdict::Own,
            ("Script" | "Stylesheet", "GET") => Verdict::Foreign,
            ("XHR" | "Fetch", "POST") if is_own && shop.allowance.post => Verdict::Own,
            (_, "OPTIONS") if is_own => Verdict::Allow,
            _ => Verdict::Refuse,
        }
    }
}

/// Headers that go to the shop as the page, or the browser for it, has set them. All others are ours to say, or nobody's: who a
/// page's requests come from, on whose behalf and by whose leave is not for the page to tell.
const TO_THE_SHOP: [&str; 9] = [
    "accept",
    "accept-language",
    "content-type",
    "cookie",
    "origin",
    "referer",
    "x-api-key",
    "x-csrf-token",
    "x-requested-with",
];
/// The same for somebody else.
const TO_OTHERS: [&str; 1] = ["accept"];

fn kept_headers(asked: &HashMap<String, String>, kept: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in asked {
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) else {
            continue;
        };
        if kept.contains(&name.as_str()) {
            headers.insert(name, value);
        }
    }
    headers
}

impl Asked {
    /// How it is fetched from the shop; `None` if what it posts is not known. A redirect goes back to the browser, which follows it
    /// and is stopped again; so each address passes all rules.
    ///
    /// robots.txt and the pace of hosts are for pages. What a page consists of is fetched from its shop as it asks for it.
    pub(super) fn own_options(&self, max_body_bytes: u64) -> Option<RequestOptions> {
        Some(RequestOptions {
            max_body_bytes: Some(max_body_bytes),
            ignore_robots: true,
            own_pace: true,
            keep_redirects: true,
            headers: kept_headers(&self.headers, &TO_THE_SHOP),
            post: match self.method.as_str() {
                "POST" => Some(self.posted()?),
                _ => None,
            },
            ..RequestOptions::default()
        })
    }

    /// How it is fetched from somebody else: as any page there, by their robots.txt and at their pace, and without a word of who
    /// asks for it.
    pub(super) fn foreign_options(&self, max_body_bytes: u64) -> RequestOptions {
        RequestOptions {
            max_body_bytes: Some(max_body_bytes),
            keep_redirects: true,
            headers: kept_headers(&self.headers, &TO_OTHERS),
            ..RequestOptions::default()
        }
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

    fn shop(allowance: Allowance) -> Shop {
        Shop::of(
            &Url::parse("https://www.shop.no/kettle").unwrap(),
            allowance,
        )
    }

    #[test]
    fn what_a_page_needs_is_fetched_and_nothing_else() {
        let own = "https://a.shop.no/";
        let foreign = "https://shop.no.example.com/";
        let named = "https://api.example.com/";
        let allowed = Allowance {
            post: true,
            hosts: vec!["API.example.com".to_owned()],
        };
        for (kind, method, url, plain, with_allowance) in [
            ("Script", "GET", own, Verdict::Own, Verdict::Own),
            ("Stylesheet", "GET", own, Verdict::Own, Verdict::Own),
            ("XHR", "GET", own, Verdict::Own, Verdict::Own),
            ("Fetch", "POST", own, Verdict::Refuse, Verdict::Own),
            ("XHR", "POST", own, Verdict::Refuse, Verdict::Own),
            ("Script", "POST", own, Verdict::Refuse, Verdict::Refuse),
            ("Fetch", "DELETE", own, Verdict::Refuse, Verdict::Refuse),
            ("Fetch", "PUT", own, Verdict::Refuse, Verdict::Refuse),
            ("Preflight", "OPTIONS", own, Verdict::Allow, Verdict::Allow),
            ("Image", "GET", own, Verdict::Refuse, Verdict::Refuse),
            ("Font", "GET", own, Verdict::Refuse, Verdict::Refuse),
            ("Media", "GET", own, Verdict::Refuse, Verdict::Refuse),
            ("Ping", "POST", own, Verdict::Refuse, Verdict::Refuse),
            ("EventSource", "GET", own, Verdict::Refuse, Verdict::Refuse),
            ("Other", "GET", own, Verdict::Refuse, Verdict::Refuse),
            ("Script", "GET", foreign, Verdict::Foreign, Verdict::Foreign),
            (
                "Stylesheet",
                "GET",
                foreign,
                Verdict::Foreign,
                Verdict::Foreign,
            ),
            ("XHR", "GET", foreign, Verdict::Refuse, Verdict::Refuse),
            ("Fetch", "GET", foreign, Verdict::Refuse, Verdict::Refuse),
            ("Fetch", "POST", foreign, Verdict::Refuse, Verdict::Refuse),
            (
                "Preflight",
                "OPTIONS",
                foreign,
                Verdict::Refuse,
                Verdict::Refuse,
            ),
            ("Fetch", "GET", named, Verdict::Refuse, Verdict::Own),
            ("Fetch", "POST", named, Verdict::Refuse, Verdict::Own),
            ("Script", "GET", named, Verdict::Foreign, Verdict::Own),
            (
                "Fetch",
                "GET",
                "https://b.api.example.com/",
                Verdict::Refuse,
                Verdict::Refuse,
            ),
            (
                "Fetch",
                "GET",
                "no address",
                Verdict::Refuse,
                Verdict::Refuse,
            ),
        ] {
            let mut paused = paused(kind, method, "T");
            url.clone_into(&mut paused.request.url);
            let verdict = |allowance| paused.verdict("T", &shop(allowance));
            let context = format!("{kind} {method} {url}");
            assert_eq!(verdict(Allowance::default()), plain, "{context}");
            assert_eq!(verdict(allowed.clone()), with_allowance, "{context}");
        }
        for (method, frame, verdict) in [
            ("GET", "T", Verdict::Page),
            ("POST", "T", Verdict::Refuse),
            ("GET", "F", Verdict::Refuse),
        ] {
            let paused = paused("Document", method, frame);
            assert_eq!(paused.verdict("T", &shop(allowed.clone())), verdict);
        }
    }

    #[test]
    fn hosts_of_one_site_are_the_shop_s_and_those_of_a_platform_s_other_customers_are_not() {
        for (page, asked, is_own) in [
            ("https://shop.no/", "https://api.shop.no/", true),
            ("https://shop.no/", "http://WWW.shop.no.:8080/", true),
            ("https://shop.no/", "https://shop.no.evil.example/", false),
            ("https://joe.github.io/", "https://ann.github.io/", false),
            ("https://shop.co.uk/", "https://other.co.uk/", false),
            ("http://1.2.3.4/", "http://1.2.3.4/x", true),
            ("http://1.2.3.4/", "http://5.2.3.4/", false),
        ] {
            let shop = Shop::of(&Url::parse(page).unwrap(), Allowance::default());
            assert_eq!(
                shop.is_site(&Url::parse(asked).unwrap()),
                is_own,
                "{page} {asked}"
            );
        }
    }

    #[test]
    fn a_request_is_carried_over_with_what_a_page_may_say() {
        let mut asked = paused("XHR", "POST", "T").request;
        for name in [
            "Authorization",
            "X-Forwarded-For",
            "X-Real-IP",
            "Forwarded",
            "Via",
            "Host",
            "Proxy-Authorization",
            "Transfer-Encoding",
            "True-Client-IP",
            "X-Http-Method-Override",
            "Origin",
            "Content-Type",
            "X-Requested-With",
        ] {
            asked.headers.insert(name.to_owned(), "x".to_owned());
        }
        let sorted = |headers: &HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort_unstable();
            names.join(" ")
        };
        let options = asked.own_options(7).unwrap();
        assert_eq!(
            sorted(&options.headers),
            "content-type cookie origin x-requested-with"
        );
        assert_eq!(options.post.as_deref(), Some(&br#"{"a":1}"#[..]));
        assert_eq!(options.max_body_bytes, Some(7));
        let options = asked.foreign_options(7);
        assert_eq!(sorted(&options.headers), "");
        assert!(options.post.is_none() && !options.ignore_robots && !options.own_pace);
        asked.method = "GET".to_owned();
        assert!(asked.own_options(7).unwrap().post.is_none());

        let mut unknown = paused("XHR", "POST", "T");
        unknown.request.post_data_entries = None;
        assert!(unknown.request.own_options(7).is_none());
    }
}
