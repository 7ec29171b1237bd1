//! What can go wrong with a fetch, and what to do about it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::fault;

/// The underlying error. Shared, so that a failed robots.txt can be remembered and reported again.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a fetch gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// The configuration cannot work.
    #[error("bad fetch configuration: {reason}")]
    BadConfig {
        /// The key and what is wrong with it.
        reason: String,
    },
    /// The HTTP client could not be built (no trust roots, for example).
    #[error("HTTP client could not be built")]
    Build(#[source] Cause),
    /// The URL can never be fetched: scheme, host or port.
    #[error("bad URL: {reason}")]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The URL's host is, or resolves to, an address that must not be fetched from.
    #[error("refused to connect to {address}: {reason}")]
    Blocked {
        /// The address, or the host name when it is refused by name.
        address: String,
        /// What kind of address it is.
        reason: &'static str,
    },
    /// The origin's robots.txt forbids this URL to us.
    #[error("disallowed by robots.txt")]
    RobotsDisallowed,
    /// The origin's robots.txt answered with a server error: everything is forbidden for now
    /// (RFC 9309, 2.3.1.4).
    #[error("robots.txt is unreachable")]
    RobotsUnreachable {
        /// When it will be asked for again.
        retry_after: Duration,
    },
    /// The origin could not be spoken to when its robots.txt was asked for, so that no page can
    /// be fetched from it either.
    #[error("robots.txt could not be fetched")]
    RobotsFailed {
        /// When it will be asked for again; until then every fetch from this origin fails at once.
        retry_after: Duration,
        #[source]
        source: Box<FetchError>,
    },
    /// The host name could not be resolved.
    #[error("host name could not be resolved")]
    Dns(#[source] Cause),
    /// No TCP connection.
    #[error("could not connect")]
    Connect(#[source] Cause),
    /// No TLS session.
    #[error("TLS failed")]
    Tls {
        /// Whether the server's certificate was the reason.
        is_certificate: bool,
        #[source]
        source: Cause,
    },
    /// The connection broke, or the server does not speak HTTP.
    #[error("exchange failed")]
    Transport(#[source] Cause),
    /// Out of time, while connecting, in silence, or altogether.
    #[error("timed out after {after:?}")]
    Timeout {
        /// How long this request had lasted.
        after: Duration,
    },
    /// The body is larger than the budget, counted after decompression.
    #[error("body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The budget in bytes.
        limit_bytes: u64,
    },
    /// More redirects than allowed, or a circle.
    #[error("gave up after {followed} redirects")]
    TooManyRedirects {
        /// How many were followed.
        followed: u32,
    },
    /// The body broke off or could not be decompressed.
    #[error("body could not be read")]
    Body(#[source] Cause),
    /// The body costs more to decompress than it can hold.
    #[error("decompression was given up: {limit}")]
    Decompression {
        /// What there was too much of, and how much may be.
        limit: String,
    },
    /// The server answered in a content coding that was not offered.
    #[error("unknown content coding {coding:?}")]
    ContentCoding {
        /// The `Content-Encoding` as sent, shortened.
        coding: String,
    },
    /// The server answered with an error status.
    #[error("server answered {status}")]
    Status {
        /// The HTTP status, 400 or more.
        status: u16,
        /// Its `Retry-After`, within `max_retry_after`.
        retry_after: Option<Duration>,
    },
    /// The host's turn is further away than a fetch is allowed to wait.
    #[error("host is busy for another {retry_after:?}")]
    HostBusy {
        /// When it is worth asking again.
        retry_after: Duration,
    },
}

/// What a caller should do with the item that met an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again later; it counts as an attempt.
    Retry {
        /// Not before this, if the server said so; else the caller's own backoff.
        after: Option<Duration>,
    },
    /// Try again later; nothing was the item's fault and no attempt is charged.
    Snooze {
        /// Not before this.
        after: Duration,
    },
    /// Trying again cannot help.
    Permanent,
}

impl FetchError {
    /// A short name from a closed set, for metrics and for the item's error column.
    pub fn class(&self) -> &'static str {
        match self {
            Self::BadConfig { .. } | Self::Build(_) => "config",
            Self::BadUrl { .. } => "bad_url",
            Self::Blocked { .. } => "blocked",
            Self::RobotsDisallowed => "robots_disallowed",
            Self::RobotsUnreachable { .. } => "robots_unreachable",
            Self::RobotsFailed { source, .. } => source.class(),
            Self::Dns(_) => "dns",
            Self::Connect(_) => "connect",
            Self::Tls { .. } => "tls",
            Self::Transport(_) => "transport",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyRedirects { .. } => "too_many_redirects",
            Self::Body(_) => "body",
            Self::Decompression { .. } => "decompression",
            Self::ContentCoding { .. } => "content_coding",
            Self::Status { status: 500.., .. } => "status_5xx",
            Self::Status { .. } => "status_4xx",
            Self::HostBusy { .. } => "host_busy",
        }
    }

    /// What to do about it.
    ///
    /// A server that asks for time (`Retry-After`) is a retry and not a snooze: it is charged, so
    /// that a server that asks for ever is given up at last. The host rests meanwhile, and the
    /// other items for it are snoozed by [`FetchError::HostBusy`].
    ///
    /// What our own process has run short of is no fault of the host's.
    pub fn decision(&self) -> Decision {
        if fault::shortage(self).is_some() {
            return Decision::Snooze {
                after: fault::RETRY_AFTER,
            };
        }
        match self {
            Self::HostBusy { retry_after } | Self::RobotsUnreachable { retry_after } => {
                Decision::Snooze {
                    after: *retry_after,
                }
            }
            // Charged, because a host that does not exist must be given up at last; but not before
            // the next real try, or one bad moment would use up all attempts of all its items.
            Self::RobotsFailed {
                retry_after,
                source,
            } => match source.decision() {
                Decision::Retry { .. } => Decision::Retry {
                    after: Some(*retry_after),
                },
                decision => decision,
            },
            Self::Status {
                status: 408 | 425 | 429 | 500..,
                retry_after,
            } => Decision::Retry {
                after: *retry_after,
            },
            Self::Dns(_)
            | Self::Connect(_)
            | Self::Tls {
                is_certificate: false,
                ..
            }
            | Self::Transport(_)
            | Self::Timeout { .. }
            | Self::Body(_) => Decision::Retry { after: None },
            Self::BadConfig { .. }
            | Self::Build(_)
            | Self::BadUrl { .. }
            | Self::Blocked { .. }
            | Self::RobotsDisallowed
            | Self::Tls {
                is_certificate: true,
                ..
            }
            | Self::TooLarge { .. }
            | Self::TooManyRedirects { .. }
            | Self::Decompression { .. }
            | Self::ContentCoding { .. }
            | Self::Status { .. } => Decision::Permanent,
        }
    }

    /// Sorts an error of the HTTP library into our own, by what stands in its chain of sources.
    pub(super) fn from_request(error: reqwest::Error, after: Duration) -> Self {
        if let Some(blocked) = find::<Refused>(&error) {
            return Self::Blocked {
                address: blocked.address.clone(),
                reason: blocked.reason,
            };
        }
        if error.is_timeout() && fault::shortage(&error).is_none() {
            return Self::Timeout { after };
        }
        let is_dns = error.is_dns();
        let is_connect = error.is_connect();
        let tls = find::<rustls::Error>(&error)
            .map(|tls| matches!(tls, rustls::Error::InvalidCertificate(_)));
        // A full URL may carry a key, and this text ends up in the database.
        let source: Cause = Arc::new(error.without_url());
        match tls {
            _ if is_dns => Self::Dns(source),
            Some(is_certificate) => Self::Tls {
                is_certificate,
                source,
            },
            None if is_connect => Self::Connect(source),
            None => Self::Transport(source),
        }
    }

    /// As [`Self::from_request`], for an error in the middle of a body.
    pub(super) fn from_body(error: reqwest::Error, after: Duration) -> Self {
        if error.is_timeout() {
            return Self::Timeout { after };
        }
        Self::Body(Arc::new(error.without_url()))
    }
}

/// The first error of type `E` in a chain.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    fault::find(error, |one| one.downcast_ref::<E>())
}

/// An address that a name resolved to and that must not be connected to. It travels through the
/// HTTP library as the resolver's error.
#[derive(Debug, thiserror::Error)]
#[error("refused address {address}: {reason}")]
pub(super) struct Refused {
    pub(super) address: String,
    pub(super) reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_class_and_decision() {
        let cause = || -> Cause { Arc::new(std::io::Error::other("x")) };
        let second = Duration::from_secs(1);
        let retry = Decision::Retry { after: None };
        let status = |status, retry_after| FetchError::Status {
            status,
            retry_after,
        };
        let tls = |is_certificate| FetchError::Tls {
            is_certificate,
            source: cause(),
        };
        let blocked = FetchError::Blocked {
            address: "10.0.0.1".to_owned(),
            reason: "private",
        };
        let robots_failed = |source| FetchError::RobotsFailed {
            retry_after: second,
            source: Box::new(source),
        };
        let coding = FetchError::ContentCoding {
            coding: "exi".to_owned(),
        };
        for (error, class, decision) in [
            (
                FetchError::BadUrl {
                    reason: String::new(),
                },
                "bad_url",
                Decision::Permanent,
            ),
            (
                FetchError::BadConfig {
                    reason: String::new(),
                },
                "config",
                Decision::Permanent,
            ),
            (FetchError::Build(cause()), "config", Decision::Permanent),
            (
                robots_failed(blocked.clone()),
                "blocked",
                Decision::Permanent,
            ),
            (blocked, "blocked", Decision::Permanent),
            (
                robots_failed(FetchError::Dns(cause())),
                "dns",
                Decision::Retry {
                    after: Some(second),
                },
            ),
            (
                FetchError::RobotsDisallowed,
                "robots_disallowed",
                Decision::Permanent,
            ),
            (
                FetchError::RobotsUnreachable {
                    retry_after: second,
                },
                "robots_unreachable",
                Decision::Snooze { after: second },
            ),
            (FetchError::Dns(cause()), "dns", retry),
            (
                FetchError::Connect(Arc::new(fault::Short(fault::Shortage::Ports))),
                "connect",
                Decision::Snooze { after: second },
            ),
            (
                robots_failed(FetchError::Dns(Arc::new(fault::Short(
                    fault::Shortage::Resolver,
                )))),
                "dns",
                Decision::Snooze { after: second },
            ),
            (FetchError::Connect(cause()), "connect", retry),
            (tls(true), "tls", Decision::Permanent),
            (tls(false), "tls", retry),
            (FetchError::Transport(cause()), "transport", retry),
            (FetchError::Timeout { after: second }, "timeout", retry),
            (
                FetchError::TooLarge { limit_bytes: 1 },
                "too_large",
                Decision::Permanent,
            ),
            (
                FetchError::TooManyRedirects { followed: 8 },
                "too_many_redirects",
                Decision::Permanent,
            ),
            (FetchError::Body(cause()), "body", retry),
            (coding, "content_coding", Decision::Permanent),
            (status(404, None), "status_4xx", Decision::Permanent),
            (status(410, Some(second)), "status_4xx", Decision::Permanent),
            (status(408, None), "status_4xx", retry),
            (status(425, None), "status_4xx", retry),
            (status(429, None), "status_4xx", retry),
            (
                status(429, Some(second)),
                "status_4xx",
                Decision::Retry {
                    after: Some(second),
                },
            ),
            (status(500, None), "status_5xx", retry),
            (
                status(503, Some(second)),
                "status_5xx",
                Decision::Retry {
                    after: Some(second),
                },
            ),
            (
                FetchError::HostBusy {
                    retry_after: second,
                },
                "host_busy",
                Decision::Snooze { after: second },
            ),
        ] {
            assert_eq!(
                (error.class(), error.decision()),
                (class, decision),
                "{error:?}"
            );
        }
    }
}
