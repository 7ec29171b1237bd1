//! What an operator may set about outbound HTTP. The defaults are in `config/gleaner.toml`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::FetchError;

/// The longest of any duration here. More is a mistake, and far more would overflow the clock.
pub(super) const MAX_DURATION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The section `[fetch]`. Every field can be changed at run time by a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The `User-Agent` of every request: a product token, then how to reach the operator. The
    /// part before the first `/` or space is the token that is looked for in robots.txt.
    pub user_agent: String,
    /// Longest time for one DNS lookup, and for TCP and TLS together.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Longest silence of a server, before its headers or between two pieces of a body.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// Longest whole exchange, redirects and body included. The polite wait for a host and the
    /// fetch of its robots.txt are not counted; `max_wait` bounds the first, and this same value
    /// bounds the second.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Largest body in bytes, counted after decompression. One byte more is an error.
    pub max_body_bytes: u64,
    /// How many redirects are followed for a page. For robots.txt it is five (RFC 9309, 2.3.1.2).
    pub max_redirects: u32,
    /// How many requests to one host may be in flight at once.
    pub per_host_concurrency: NonZeroUsize,
    /// Shortest time between the starts of two requests to one host.
    #[serde(with = "humantime_serde")]
    pub per_host_delay: Duration,
    /// Whether the two above, and rests, hold for all processes together, where there is a Redis. If there is none, or while
    /// it does not answer, they hold for each process.
    pub shared_pace: bool,
    /// The most that a `Crawl-delay` in robots.txt can stretch `per_host_delay` to.
    #[serde(with = "humantime_serde")]
    pub max_crawl_delay: Duration,
    /// The most that a `Retry-After` is believed.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
    /// Longest time one fetch waits for its turn at its hosts. A longer wait is refused at once
    /// as `HostBusy`, which puts the item back without charging it an attempt.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// How many hosts are remembered for politeness, and how many origins for robots.txt. When
    /// all of them are in use, a further host is `HostBusy`.
    pub max_hosts_tracked: NonZeroUsize,
    /// Whether robots.txt is obeyed.
    pub robots: bool,
    /// How long a robots.txt, or its absence, is believed. RFC 9309 (2.4) asks for at most 24 h.
    #[serde(with = "humantime_serde")]
    pub robots_ttl: Duration,
    /// How long an unreachable robots.txt (server error, network failure) is not asked for again.
    #[serde(with = "humantime_serde")]
    pub robots_error_ttl: Duration,
    /// Most bytes of robots.txt files held in memory, all origins together.
    pub robots_cache_bytes: usize,
    /// Networks that may be fetched from although they are private, loopback or reserved, as
    /// `"10.1.0.0/16"`. Empty is right for the public web.
    pub allow_networks: Vec<IpNet>,
    /// Send every request for a host *name* to this address as plain HTTP, whatever its scheme and
    /// port, with the `Host` header it would have had. For a web served on loopback (demo, tests)
    /// or a caching proxy of one's own. The address itself needs no entry in `allow_networks`.
    pub proxy_hosts_to: Option<SocketAddr>,
}

impl Config {
    /// Short limits and no delays, with loopback allowed: for tests against a local server.
    pub fn for_tests() -> Self {
        Self {
            user_agent: "GleanerTest/0.1 (+https://gleaner.example/bot)".to_owned(),
            connect_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            max_body_bytes: 1024 * 1024,
            max_redirects: 8,
            per_host_concurrency: NonZeroUsize::MIN.saturating_add(63),
            per_host_delay: Duration::ZERO,
            shared_pace: true,
            max_crawl_delay: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(3600),
            max_wait: Duration::from_secs(5),
            max_hosts_tracked: NonZeroUsize::MIN.saturating_add(999),
            robots: false,
            robots_ttl: Duration::from_secs(3600),
            robots_error_ttl: Duration::from_secs(60),
            robots_cache_bytes: 1024 * 1024,
            allow_networks: vec![IpNet::from(ipnet::Ipv4Net::from(
                std::net::Ipv4Addr::LOCALHOST,
            ))],
            proxy_hosts_to: None,
        }
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`FetchError::BadConfig`] names the key and what is wrong with it.
    pub fn validate(&self) -> Result<(), FetchError> {
        let refuse = |reason: &str| {
            Err(FetchError::BadConfig {
                reason: reason.to_owned(),
            })
        };
        if self.product_token().is_empty() || http::HeaderValue::from_str(&self.user_agent).is_err()
        {
            return refuse("user_agent must be a header value that starts with a product token");
        }
        for (key, value, may_be_zero) in [
            ("connect_timeout", self.connect_timeout, false),
            ("read_timeout", self.read_timeout, false),
            ("timeout", self.timeout, false),
            ("robots_ttl", self.robots_ttl, false),
            ("robots_error_ttl", self.robots_error_ttl, false),
            ("per_host_delay", self.per_host_delay, true),
            ("max_crawl_delay", self.max_crawl_delay, true),
            ("max_retry_after", self.max_retry_after, true),
            ("max_wait", self.max_wait, true),
        ] {
            if value.is_zero() && !may_be_zero {
                return refuse(&format!("{key} must not be zero"));
            }
            if value > MAX_DURATION {
                return refuse(&format!("{key} must not be longer than a week"));
            }
        }
        if self.max_body_bytes == 0 {
            return refuse("max_body_bytes must not be zero");
        }
        if self.per_host_delay > self.max_wait {
            return refuse("per_host_delay must not be longer than max_wait");
        }
        if self.per_host_concurrency.get() > tokio::sync::Semaphore::MAX_PERMITS {
            return refuse("per_host_concurrency is too large");
        }
        Ok(())
    }

    /// The name that is looked for in robots.txt: what stands before the first `/` or space.
    pub fn product_token(&self) -> &str {
        self.user_agent
            .split(['/', ' ', '\t', '('])
            .next()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn product_token_is_the_name_without_version_and_comment() {
        for (user_agent, expected) in [
            ("Gleaner/1.2 (+https://x.example)", "Gleaner"),
            ("Gleaner (+https://x.example)", "Gleaner"),
            ("Gleaner", "Gleaner"),
            ("(nothing)", ""),
        ] {
            let config = Config {
                user_agent: user_agent.to_owned(),
                ..Config::for_tests()
            };
            assert_eq!(config.product_token(), expected);
        }
    }

    #[test]
    fn configuration_that_cannot_work_is_refused() {
        assert!(Config::for_tests().validate().is_ok());
        let refused: [fn(&mut Config); 6] = [
            |c| c.max_wait = Duration::MAX,
            |c| c.user_agent = "\n".to_owned(),
            |c| c.timeout = Duration::ZERO,
            |c| c.max_body_bytes = 0,
            |c| c.per_host_delay = c.max_wait + Duration::from_secs(1),
            |c| c.per_host_concurrency = NonZeroUsize::MAX,
        ];
        for spoil in refused {
            let mut config = Config::for_tests();
            spoil(&mut config);
            assert!(matches!(
                config.validate(),
                Err(FetchError::BadConfig { .. })
            ));
        }
    }
}
