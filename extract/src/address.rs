//! The address of a product page: its URL as it is fetched, and the shop it belongs to.

use url::Url;

use super::domain::registrable;
use super::html::Page;
use super::page;
use super::url::{TrackingParameters, UrlError, key, normalize};

/// A product page's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The URL, normalised, by which the page is fetched that was given.
    pub url: String,
    /// By what it is told from the addresses of other pages ([`key`]).
    pub key: String,
    /// The shop: the registrable domain by the public suffix list, or the host where there is none (an address, a local name).
    pub shop: String,
}

/// Reads the address of a page.
///
/// # Errors
/// See [`UrlError`].
pub fn address(raw: &str) -> Result<Address, UrlError> {
    let url = normalize(raw)?;
    let host = url.host_str().ok_or(UrlError::NoHost)?;
    let shop = registrable(host).map_or_else(|| host.to_owned(), |found| found.domain);
    Ok(Address {
        key: key(&url).into_owned(),
        url: url.into(),
        shop,
    })
}

/// By which address a shop knows a page that was fetched from `url`: the key of what the page declares canonical, or of where it was.
///
/// What leads to another shop or to a home page is a slip of a template, or a product that is gone, and says nothing.
#[must_use]
pub fn canonical(page: &Page, url: &Url) -> Option<String> {
    let here = address(url.as_str()).ok()?;
    let is_page = |told: &Address| told.shop == here.shop && !is_home(&told.url);
    let declared = page::canonical(TrackingParameters::built_in(), page, &page.base_url(url));
    declared
        .and_then(|declared| address(&declared).ok())
        .filter(is_page)
        .or_else(|| Some(here.clone()).filter(is_page))
        .map(|known| known.key)
}

fn is_home(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.path() == "/" && url.query().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_what_it_declares_unless_that_is_a_slip() {
        let fetched = "https://shop-example.com/p?id=2&utm_source=mail";
        for (url, declared, expected) in [
            (
                fetched,
                "/kettle#reviews",
                Some("https://shop-example.com/kettle"),
            ),
            (
                fetched,
                "https://www.shop-example.com/kettle",
                Some("https://www.shop-example.com/kettle"),
            ),
            (fetched, "", Some("https://shop-example.com/p?id=2")),
            (
                fetched,
                "https://other.example/kettle",
                Some("https://shop-example.com/p?id=2"),
            ),
            (fetched, "/", Some("https://shop-example.com/p?id=2")),
            (
                fetched,
                "/p?v=2&id=1",
                Some("https://shop-example.com/p?id=1&v=2"),
            ),
            (
                "https://shop-example.com/",
                "/?id=2",
                Some("https://shop-example.com/?id=2"),
            ),
            ("https://shop-example.com/", "", None),
        ] {
            let html = format!("<link rel=canonical href='{declared}'><h1>Kettle</h1>");
            let found = canonical(&Page::parse(&html), &Url::parse(url).expect("a URL"));
            assert_eq!(found.as_deref(), expected, "{url} {declared}");
        }
    }

    /// W-45: what is stored fetches the page that was given: path and meaningful parameters stay as they are.
    #[test]
    fn w45_an_address_fetches_what_was_given() {
        for (raw, url, shop) in [
            (
                " https://Shop.Example.CO.UK/P/Kettle-XL?ref=A&source=b&src=C#top ",
                "https://shop.example.co.uk/P/Kettle-XL?ref=A&source=b&src=C",
                "example.co.uk",
            ),
            (
                "example.com/p?id=2&utm_source=mail",
                "https://example.com/p?id=2",
                "example.com",
            ),
            (
                "https://example.com:443/a/",
                "https://example.com/a/",
                "example.com",
            ),
            (
                "http://10.0.0.7:8080/x",
                "http://10.0.0.7:8080/x",
                "10.0.0.7",
            ),
            ("http://localhost/x", "http://localhost/x", "localhost"),
        ] {
            let address = address(raw).expect(raw);
            assert_eq!((address.url.as_str(), address.shop.as_str()), (url, shop));
        }
        for raw in ["", "mailto:a@b.example", "https://", "ftp://example.com/x"] {
            assert!(address(raw).is_err(), "{raw}");
        }
    }

    /// PT-4: pages that differ in a parameter that chooses the product are two pages.
    #[test]
    fn pt4_products_told_apart_by_a_parameter_are_two() {
        let one = address("https://shop.example/item?id=1").expect("a url");
        let two = address("https://shop.example/item?id=2").expect("a url");
        assert_ne!(one.url, two.url);
    }
}
