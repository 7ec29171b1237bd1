//! Addresses in lists that are made for crawlers: sitemaps, and the `Sitemap` lines of robots.txt.
//!
//! Both ask for full addresses. Where the scheme was left out, `www.example.com/a` is a host to everybody who reads it, and would
//! be a path below the list's own address by the rules for links of pages.

use url::Url;

use super::domain::registrable;
use super::url::{TrackingParameters, resolve_with};

/// Resolves an address of a list that was found at `base`, and normalises it, without the parameters in `tracking`.
///
/// Returns `None` for what cannot be fetched.
#[must_use]
pub fn resolve_listed(tracking: &TrackingParameters, base: &Url, text: &str) -> Option<Url> {
    match named_host(base, text) {
        Some(url) => resolve_with(tracking, base, url.as_str()),
        None => resolve_with(tracking, base, text),
    }
}

/// The address that a text without a scheme means, if it begins with a host: one that is called `www`, or is of the same site as
/// the list. Its scheme is the list's.
pub(crate) fn named_host(base: &Url, text: &str) -> Option<Url> {
    let authority = text.split(['/', '?', '#']).next()?;
    if authority.starts_with('.') || !authority.contains('.') || authority.contains('@') {
        return None;
    }
    let url = base.join(&format!("//{text}")).ok()?;
    let host = url.host_str()?;
    let site = registrable(host)?.domain;
    let is_own = || registrable(base.host_str()?).map(|own| own.domain == site);
    (host.starts_with("www.") || is_own() == Some(true)).then_some(url)
}
