//! Where a host's home page is: which scheme, with www or without.

use url::Url;

use super::{Client, FetchError, Response};
use crate::fault;

/// The home page of a host, from the first of `https://host/`, `https://www.host/`, `http://host/` and `http://www.host/`
/// that can be spoken to. Any HTTP status is an answer.
///
/// # Errors
/// What the first of them met, when none can be spoken to; at once, where trying elsewhere cannot help (robots, a host that
/// asks for time), or would give a wrong answer (this process has run short of something).
pub async fn home_page(client: &Client, host: &str) -> Result<Response, FetchError> {
    let mut first = None;
    for candidate in candidates(host) {
        match client.get(&candidate).await {
            Ok(response) => return Ok(response),
            // What we lack ourselves says nothing about the host, whatever answers elsewhere.
            Err(own) if fault::shortage(&own).is_some() => return Err(own),
            Err(error) if is_elsewhere(&error) => {
                first.get_or_insert(error);
            }
            Err(error) => return Err(first.unwrap_or(error)),
        }
    }
    Err(first.unwrap_or_else(|| FetchError::BadUrl {
        reason: format!("no host: {host:?}"),
    }))
}

fn candidates(host: &str) -> Vec<Url> {
    [
        ("https", ""),
        ("https", "www."),
        ("http", ""),
        ("http", "www."),
    ]
    .iter()
    .filter_map(|(scheme, www)| Url::parse(&format!("{scheme}://{www}{host}/")).ok())
    .collect()
}

/// Whether another scheme or name may answer where this one did not.
fn is_elsewhere(error: &FetchError) -> bool {
    matches!(
        error.class(),
        "dns" | "connect" | "tls" | "transport" | "timeout"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_comes_first() {
        let found: Vec<String> = candidates("shop.org").iter().map(Url::to_string).collect();
        assert_eq!(
            found,
            [
                "https://shop.org/",
                "https://www.shop.org/",
                "http://shop.org/",
                "http://www.shop.org/"
            ]
        );
        assert!(candidates("bad host").is_empty());
    }
}
