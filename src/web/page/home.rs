//! A site's front door: which scheme, with `www.` or without.

use url::Url;

use super::{Document, Landing, NoPage, Seen, options};
use crate::fault;
use crate::web::fetch::{Client, Decision, FetchError};
use crate::web::render::Renderer;

/// The host of a site, and which of its two names comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The host without `www.`.
    pub host: String,
    /// Whether the name with `www.` is the one that was given.
    pub is_www: bool,
}

/// Why a site has no home page, and where that was seen, if anything answered.
#[derive(Debug)]
pub struct Missed {
    /// Where the answer came from, after redirects.
    pub url: Option<Url>,
    /// What was wrong with it.
    pub why: NoPage,
}

impl Missed {
    /// Whether asking elsewhere cannot help, or would give a wrong answer: the server asks for time, the host is busy, or this
    /// process has run short of something.
    fn asks_for_time(&self) -> bool {
        match &self.why {
            NoPage::Fetch(error) => {
                fault::shortage(error).is_some()
                    || matches!(
                        error,
                        FetchError::HostBusy { .. }
                            | FetchError::Status { status: 429, .. }
                            | FetchError::Status {
                                status: 503,
                                retry_after: Some(_),
                            }
                    )
            }
            NoPage::Render(_) | NoPage::Page(_) => false,
        }
    }

    /// Whether a host that is there may answer better another time.
    fn may_pass(&self) -> bool {
        match &self.why {
            NoPage::Fetch(
                error @ (FetchError::Status { .. } | FetchError::RobotsUnreachable { .. }),
            ) => error.decision() != Decision::Permanent,
            _ => false,
        }
    }
}

/// Reads the home page of a site: at the name that was given and then at the other, by TLS and then without.
///
/// The first page that is one counts. A host that answers with something else (an error, a default page, a notice, another site) is
/// left for the other name, since neither is final before both have been asked; without TLS is asked only where it cannot be spoken
/// to with it. Where all are only notices, the first is rendered, if there is a `renderer`; where none is anything, the first counts,
/// unless a host that fails may yet recover.
///
/// # Errors
/// [`Missed`].
///
/// # Cancel safety
/// As [`Client::get`].
pub async fn home<T: Send + 'static>(
    client: &Client,
    renderer: Option<&Renderer>,
    door: &Door,
    work: impl Fn(&Document) -> T + Clone + Send + 'static,
    tells: fn(&T) -> bool,
) -> Result<Seen<T>, Missed> {
    let mut asked: Vec<Url> = Vec::new();
    let mut notice: Option<(Landing, Seen<T>)> = None;
    let mut missed: Option<Missed> = None;
    for candidate in door.candidates() {
        if asked.iter().any(|url| answers_for(url, &candidate)) {
            continue;
        }
        match knock(client, &candidate).await {
            Ok(landing) => {
                let seen = landing.clone().look(work.clone(), tells).await;
                if seen.notice.is_none() {
                    return Ok(seen);
                }
                asked.extend([candidate, seen.url.clone()]);
                notice.get_or_insert((landing, seen));
            }
            Err(here) if here.asks_for_time() => return Err(here),
            Err(here) => {
                if let Some(url) = &here.url {
                    asked.extend([candidate, url.clone()]);
                }
                let is_more_open =
                    here.may_pass() && !missed.as_ref().is_some_and(Missed::may_pass);
                if missed.is_none() || is_more_open {
                    missed = Some(here);
                }
            }
        }
    }
    match (notice, missed) {
        // A server without a site of its own says nothing about a host that may recover.
        (Some((_, seen)), Some(missed)) if missed.may_pass() && !seen.needs_browser() => {
            Err(missed)
        }
        (Some((landing, seen)), _) => {
            let site = landing.url().host_str().unwrap_or_default().to_owned();
            let url = seen.url.clone();
            match renderer {
                Some(renderer) => landing.get_past(seen, renderer, &site, work, tells).await,
                None => Ok(seen),
            }
            .map_err(|why| Missed {
                url: Some(url),
                why,
            })
        }
        (None, Some(missed)) => Err(missed),
        (None, None) => Err(Missed {
            url: None,
            why: NoPage::Fetch(FetchError::BadUrl {
                reason: format!("no host: {:?}", door.host),
            }),
        }),
    }
}

/// Whether what was answered here is what would be answered there: the same address, or the same host without TLS.
fn answers_for(asked: &Url, candidate: &Url) -> bool {
    let is_host = asked.host() == candidate.host() && asked.path() == candidate.path();
    is_host && (asked.scheme() == candidate.scheme() || candidate.scheme() == "http")
}

async fn knock(client: &Client, candidate: &Url) -> Result<Landing, Missed> {
    // As the URL has it: a row may hold a name that is not in ASCII.
    let site = candidate.host_str().unwrap_or_default();
    let got = client.get_with(candidate, options()).await;
    let response = got.map_err(|error| Missed {
        url: None,
        why: error.into(),
    })?;
    let url = response.url.clone();
    let arrived = match Landing::of(response, site) {
        Ok(landing) => landing.arrive(client, site).await,
        Err(error) => Err(error),
    };
    arrived.map_err(|why| Missed {
        url: Some(url),
        why,
    })
}

impl Door {
    /// The addresses to be tried, in this order.
    fn candidates(&self) -> Vec<Url> {
        let names = if self.is_www {
            ["www.", ""]
        } else {
            ["", "www."]
        };
        let schemes = ["https", "http"];
        let every = schemes
            .iter()
            .flat_map(|scheme| names.map(|www| format!("{scheme}://{www}{}/", self.host)));
        every.filter_map(|url| Url::parse(&url).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_given_comes_first_and_tls_before_all() {
        let candidates = |host: &str, is_www| -> Vec<String> {
            let door = Door {
                host: host.to_owned(),
                is_www,
            };
            door.candidates().iter().map(Url::to_string).collect()
        };
        let bare = [
            "https://shop.org/",
            "https://www.shop.org/",
            "http://shop.org/",
            "http://www.shop.org/",
        ];
        assert_eq!(candidates("shop.org", false), bare);
        let www = [bare[1], bare[0], bare[3], bare[2]];
        assert_eq!(candidates("shop.org", true), www);
        assert!(candidates("bad host", false).is_empty());
        assert_eq!(candidates("203.0.113.7", false).len(), 2);
    }

    #[test]
    fn no_host_is_asked_for_the_same_again() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (asked, candidate, expected) in [
            ("https://a.org/", "https://a.org/", true),
            ("https://a.org/", "http://a.org/", true),
            ("https://www.a.org/", "https://a.org/", false),
            ("https://www.a.org/en/", "https://www.a.org/", false),
            ("http://a.org/", "https://a.org/", false),
        ] {
            assert_eq!(
                answers_for(&url(asked), &url(candidate)),
                expected,
                "{asked} {candidate}"
            );
        }
    }
}
