//! One server that is asked for much by contract, and may take long over it: a handler of the operator's.
//!
//! It has connections of its own, as many as are in use at once, and a patience of its own. All else is as the pages' client has it, also after a
//! reload: whose addresses may be spoken to, how names are looked up, whose certificates are believed. Nothing is fetched from it
//! but by POST, so no redirect is followed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use url::Url;

use super::config::MAX_DURATION;
use super::{Client, Config, FetchError, Live, RequestOptions, Response};

/// What such a server is granted.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How many connections are kept for the next request.
    pub connections: usize,
    /// Longest time of one request, silence included; a week at most.
    pub timeout: Duration,
    /// Largest answer, in bytes after decompression.
    pub max_body_bytes: u64,
}

impl Terms {
    fn applied_to(&self, config: &Config) -> Config {
        Config {
            read_timeout: self.timeout.min(MAX_DURATION),
            timeout: self.timeout.min(MAX_DURATION),
            max_body_bytes: self.max_body_bytes,
            ..config.clone()
        }
    }
}

/// A client for one such server.
#[derive(Debug)]
pub struct Service {
    /// Whose configuration is followed.
    pages: Client,
    own: Client,
    terms: Terms,
    followed: Mutex<Followed>,
}

/// The configuration that the client of one's own was last made from.
struct Followed(Arc<Live>);

impl std::fmt::Debug for Followed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followed").finish_non_exhaustive()
    }
}

impl Service {
    /// Beside the client for pages.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn beside(pages: &Client, terms: Terms) -> Result<Self, FetchError> {
        let live = pages.live();
        let lookup = Arc::clone(&pages.inner.lookup);
        let own = Client::keeping(terms.applied_to(&live.config), lookup, terms.connections)?;
        Ok(Self {
            pages: pages.clone(),
            own,
            terms,
            followed: Mutex::new(Followed(live)),
        })
    }

    /// Takes up what a reload has changed.
    fn follow(&self) -> Result<(), FetchError> {
        let live = self.pages.live();
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&followed.0, &live) {
            self.own.reconfigure(self.terms.applied_to(&live.config))?;
            *followed = Followed(live);
        }
        Ok(())
    }

    /// Sends a body, and reads the answer to its end. Any HTTP status is `Ok`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response, FetchError> {
        self.follow()?;
        let options = RequestOptions {
            accept: Some("application/json".to_owned()),
            headers,
            post: Some(body),
            ignore_robots: true,
            own_pace: true,
            timeout: Some(timeout),
            ..RequestOptions::default()
        };
        self.own.get_with(url, options).await
    }
}
