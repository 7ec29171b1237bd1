//! The address of a product page: its URL as it is fetched, and the shop it belongs to.

use super::domain::registrable;
use super::url::{UrlError, normalize};

/// A product page's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The URL, normalised: one text for one page, and it fetches the same page as what was given.
    pub url: String,
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
        url: url.into(),
        shop,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
