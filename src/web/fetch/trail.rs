//! The way of one fetch, from its first address to the answer that counts.

use std::time::Duration;

use http::header::HeaderValue;
use url::Url;

use super::FetchError;
use super::cookies::Jar;

/// The way of one fetch so far, all its hops: what one may not ask for twice, what goes along, and what is left to spend.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// What was asked for, each with the cookies that went along: with others, the same address may answer otherwise.
    pub(super) asked: Vec<(Url, Option<HeaderValue>)>,
    pub(super) jar: Jar,
    /// `None` before anything was spent.
    pub(super) budget: Option<Budget>,
}

impl Trail {
    /// Of the time, so much is left.
    pub(super) fn spend(&mut self, left: Duration) {
        if let Some(budget) = &mut self.budget {
            budget.time = left;
        }
    }

    /// How many redirects were followed.
    pub(super) fn followed(&self) -> u32 {
        u32::try_from(self.asked.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// Goes on to an address; the cookies for it.
    pub(super) fn go_on(
        &mut self,
        url: &Url,
        max_redirects: u32,
    ) -> Result<Option<HeaderValue>, FetchError> {
        let step = (url.clone(), self.jar.header(url));
        let hops = u32::try_from(self.asked.len()).unwrap_or(u32::MAX);
        // Asked the same, it answers the same: a circle stays one.
        if hops > max_redirects || self.asked.contains(&step) {
            return Err(FetchError::TooManyRedirects {
                followed: self.followed(),
            });
        }
        let cookies = step.1.clone();
        self.asked.push(step);
        Ok(cookies)
    }
}

/// What a fetch may still spend, over all its hops.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Network time.
    pub(super) time: Duration,
    /// Waiting for hosts.
    pub(super) patience: Duration,
}

/// Where a fetch begins, or goes on.
pub(super) struct Start<'a> {
    /// What was asked for in the first place.
    pub(super) requested: &'a Url,
    /// What is asked for now.
    pub(super) url: &'a Url,
    pub(super) trail: Trail,
}

impl<'a> Start<'a> {
    /// At an address.
    pub(super) fn at(url: &'a Url) -> Self {
        Self {
            requested: url,
            url,
            trail: Trail::default(),
        }
    }

    /// From an answer to where it leads on.
    pub(super) fn from(requested: &'a Url, trail: Trail, url: &'a Url) -> Self {
        Self {
            requested,
            url,
            trail,
        }
    }
}
