//! The extractors without the program around them, from the program's own source: a fuzz build needs neither a database's nor a
//! network's libraries.

#[path = "../../src"]
mod source {
    pub mod extract;
}

pub use source::extract;

/// Splits at the first NUL: the targets with two inputs take them from one.
pub fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[]),
    }
}

/// The page of some shop, from bytes as they are served.
pub fn page(body: &[u8]) -> extract::html::Page {
    extract::html::Page::parse(&extract::html::decode(body, None).text)
}

/// Its address.
pub fn address() -> url::Url {
    url::Url::parse("https://shop.example.com/p/1").expect("a URL")
}
