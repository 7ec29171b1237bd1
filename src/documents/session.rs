//! Sessions: how a browser says who is in front of it, once they have shown a key or come from an identity provider.
//!
//! A session is a signed text in a cookie, and stored nowhere. It names what it came from (a key, or somebody at a provider), which is
//! looked up at each request: a key that is revoked, an identity that is taken away, a tenant that is shut out end it at once. Signing
//! out takes the cookie away.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::sql_types::{BigInt, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tracing::info;

use super::key;
use super::key::{Holder, Scope};
use crate::db::statement::statement;
use crate::secret::Secret;

/// How long a session lasts after it was last renewed, in seconds.
pub const LIFETIME: i64 = 7 * 24 * 3_600;
/// A session that is older than this is renewed when its page is opened.
const RENEWED_AFTER: i64 = 24 * 3_600;
/// How far clocks of nodes may differ, in seconds.
const CLOCK_SKEW: i64 = 60;
/// What is signed begins with this, so that no signature made for something else fits.
const PURPOSE: &str = "gleaner session v1 ";
/// Longest text that is looked at.
const LONGEST: usize = 300;

/// What a session came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The key with this uid: the session may do what the key may.
    Key(String),
    /// Somebody at a provider. Both are words (see [`is_word`]).
    Identity { provider: String, subject: String },
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub origin: Origin,
    /// When it was begun or last renewed, in seconds since 1970.
    pub since: i64,
}

impl Session {
    /// Until when it lasts, in seconds since 1970.
    #[must_use]
    pub fn expires(&self) -> i64 {
        self.since.saturating_add(LIFETIME)
    }

    /// Whether it is time to renew it.
    #[must_use]
    pub fn is_old(&self, now: i64) -> bool {
        now.saturating_sub(self.since) > RENEWED_AFTER
    }

    fn text(&self) -> String {
        let since = self.since;
        match &self.origin {
            Origin::Key(uid) => format!("k.{uid}.{since}"),
            Origin::Identity { provider, subject } => format!("i.{provider}.{subject}.{since}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let (origin, since) = match parts.as_slice() {
            ["k", uid, since] if is_word(uid) => (Origin::Key((*uid).to_owned()), since),
            ["i", provider, subject, since] if is_word(provider) && is_word(subject) => {
                let (provider, subject) = ((*provider).to_owned(), (*subject).to_owned());
                (Origin::Identity { provider, subject }, since)
            }
            _ => return None,
        };
        let since = since.parse().ok()?;
        Some(Self { origin, since })
    }
}

/// Seconds since 1970, by this machine's clock.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

/// Whether a text can stand in a session: 1 to 64 letters, digits, `-` and `_`.
#[must_use]
pub fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What signs sessions.
pub struct Sessions {
    /// `None` where the system had no random bytes for it: there are no sessions then.
    key: Option<Vec<u8>>,
    /// Whether the key is this process's alone, and nobody has been told so.
    is_to_tell: AtomicBool,
}

impl Sessions {
    /// With this secret; an empty one is replaced by random bytes, which other processes do not know.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        if !secret.is_empty() {
            return Self {
                key: Some(secret.expose().as_bytes().to_vec()),
                is_to_tell: AtomicBool::new(false),
            };
        }
        let made = Secret::random("").ok();
        Self {
            key: made.map(|secret| secret.expose().as_bytes().to_vec()),
            is_to_tell: AtomicBool::new(true),
        }
    }

    /// The session as its cookie has it. `None` where there can be none.
    #[must_use]
    pub fn seal(&self, session: &Session) -> Option<String> {
        if self.is_to_tell.swap(false, Ordering::Relaxed) {
            info!(
                "documents.session_secret is empty: the sessions of the tenants' page end with this process, and hold on it alone"
            );
        }
        let mut text = session.text();
        let mac = self.mac(&text)?.finalize().into_bytes();
        text.push('.');
        for byte in mac {
            write!(text, "{byte:02x}").ok()?;
        }
        Some(text)
    }

    /// The session in a cookie; none if it was not signed here, or its time is over.
    #[must_use]
    pub fn open(&self, text: &str, now: i64) -> Option<Session> {
        if text.len() > LONGEST {
            return None;
        }
        let (text, mac) = text.rsplit_once('.')?;
        self.mac(text)?.verify_slice(&unhex(mac)?).ok()?;
        let session = Session::parse(text)?;
        let is_now = session.since <= now.saturating_add(CLOCK_SKEW) && now < session.expires();
        is_now.then_some(session)
    }

    fn mac(&self, text: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_deref()?).ok()?;
        mac.update(PURPOSE.as_bytes());
        mac.update(text.as_bytes());
        Some(mac)
    }
}

/// The bytes that hexadecimal digits stand for.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Whom a session serves, and what it may; nobody, once what it came from is gone.
///
/// # Errors
/// Whatever the database answers.
pub async fn holder(
    conn: &mut AsyncPgConnection,
    session: &Session,
) -> QueryResult<Option<Holder>> {
    #[derive(QueryableByName)]
    struct Found {
        #[diesel(sql_type = BigInt)]
        tenant_id: i64,
    }
    match &session.origin {
        Origin::Key(uid) => key::find_by_uid(conn, uid).await,
        Origin::Identity { provider, subject } => {
            let found: Option<Found> = statement(
                "SELECT tenant_id FROM tenant_identity JOIN tenant ON tenant.id = tenant_id \
                 WHERE provider = $1 AND subject = $2 AND disabled_at IS NULL",
            )
            .bind::<Text, _>(provider)
            .bind::<Text, _>(subject)
            .get_result(conn)
            .await
            .optional()?;
            Ok(found.map(|found| Holder {
                tenant: found.tenant_id,
                scope: Scope::Write,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn sessions() -> Sessions {
        Sessions::new(&Secret::new("0123456789abcdef0123456789abcdef"))
    }

    fn by_key(since: i64) -> Session {
        let uid = "0b8a1c0e-7f64-4b9e-9e58-2d3f1f0a7c11".to_owned();
        Session {
            origin: Origin::Key(uid),
            since,
        }
    }

    #[test]
    fn what_is_sealed_opens_until_its_time_is_over() {
        let identity = Session {
            origin: Origin::Identity {
                provider: "telegram".to_owned(),
                subject: "42".to_owned(),
            },
            since: NOW,
        };
        for session in [by_key(NOW), identity] {
            let text = sessions().seal(&session).unwrap();
            for (now, is_open) in [
                (NOW - CLOCK_SKEW - 1, false),
                (NOW - CLOCK_SKEW, true),
                (NOW + LIFETIME - 1, true),
                (NOW + LIFETIME, false),
                (i64::MAX, false),
                (i64::MIN, false),
            ] {
                let opened = sessions().open(&text, now);
                assert_eq!(opened.as_ref(), is_open.then_some(&session), "{now}");
            }
        }
        assert!(!by_key(NOW).is_old(NOW + RENEWED_AFTER));
        assert!(by_key(NOW).is_old(NOW + RENEWED_AFTER + 1));
    }

    #[test]
    fn whatever_is_changed_opens_nothing() {
        let text = sessions().seal(&by_key(NOW)).unwrap();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(sessions().open(&changed, NOW), None, "{changed}");
        }
        let long = "x".repeat(LONGEST + 1);
        for text in [
            "",
            ".",
            "k",
            "k..1.00",
            "ä.ö",
            text.get(..text.len() - 2).unwrap(),
            &long,
        ] {
            assert_eq!(sessions().open(text, NOW), None, "{text}");
        }
        // What is well signed and means nothing.
        for text in [
            "k.a.b",
            "k..1",
            "i.telegram.1",
            "x.a.1",
            "k.a b.1",
            "i.a.b.c.1",
        ] {
            let mac = sessions().mac(text).unwrap().finalize().into_bytes();
            let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(
                sessions().open(&format!("{text}.{mac}"), NOW),
                None,
                "{text}"
            );
        }
    }

    #[test]
    fn other_secrets_open_nothing() {
        let session = by_key(NOW);
        let mine = Sessions::new(&Secret::new(""));
        let text = mine.seal(&session).unwrap();
        assert_eq!(mine.open(&text, NOW), Some(session));
        for other in [Sessions::new(&Secret::new("")), sessions()] {
            assert_eq!(other.open(&text, NOW), None);
        }
    }
}
