//! The section of the configuration that is about tenants and what they upload.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::settings::{ConfigError, Options, Problem, Section, inconsistent};

/// Tenants' API and page, and what may be uploaded.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Documents {
    /// An address of its own; empty for `http.listen`.
    pub listen: String,
    /// The folder that holds what was uploaded, or `s3://BUCKET/PREFIX`; empty for a folder of the user's.
    pub storage: String,
    /// Largest file.
    pub max_file_bytes: u64,
    /// Quota of a tenant that is created without one.
    pub quota_bytes: u64,
    /// How long a resumable upload waits for its next part.
    #[serde(with = "humantime_serde")]
    pub upload_expiry: Duration,
    /// Uploads that are received at a time.
    pub max_uploads: usize,
    /// Event streams that are held open at a time.
    pub max_streams: usize,
    /// Signs the sessions of the page; empty for one of each process's own.
    pub session_secret: Secret,
    /// Of the bot by which people log in with Telegram; empty: nobody does.
    pub telegram_bot_token: Secret,
    /// Whether somebody at Telegram who is no tenant yet becomes one by logging in.
    pub telegram_sign_up: bool,
    /// Documents are told to be `processing` while they wait, and `failed` when they were cancelled: for clients that know no other words.
    pub compat_statuses: bool,
}

/// A bucket, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// Without a slash at either end; empty for all of the bucket.
    pub prefix: String,
}

impl Bucket {
    /// From `BUCKET/PREFIX`, as S3 lets buckets be called; of a prefix, what needs no escaping anywhere.
    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('/').unwrap_or((text, ""));
        let prefix = rest.strip_suffix('/').unwrap_or(rest);
        let is_end = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit();
        let is_name = (3..=63).contains(&name.len())
            && name
                .bytes()
                .all(|sign| is_end(sign) || b".-".contains(&sign))
            && name.bytes().next().is_some_and(is_end)
            && name.bytes().next_back().is_some_and(is_end)
            && !name.contains("..");
        let is_part = |part: &str| {
            let is_plain = |sign: u8| sign.is_ascii_alphanumeric() || b"._-".contains(&sign);
            part.bytes().all(is_plain) && !matches!(part, "" | "." | "..")
        };
        let is_prefix = rest.is_empty() || (prefix.len() <= 512 && prefix.split('/').all(is_part));
        (is_name && is_prefix).then(|| Self {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

/// A shorter secret could be guessed.
const SHORTEST_SECRET: usize = 32;

impl Section for Documents {
    const NAME: &'static str = "documents";
}

impl Options for Documents {
    fn check(&self) -> Result<(), Problem> {
        let refuse = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        self.parse()
            .map_err(|problem| ("listen".to_owned(), problem))?;
        if let Err(problem) = self.bucket() {
            return refuse("storage", problem);
        }
        if !(1_024..=64 << 30).contains(&self.max_file_bytes) {
            return refuse("max_file_bytes", "must be 1 KiB to 64 GiB");
        }
        if self.quota_bytes > 1 << 50 {
            return refuse("quota_bytes", "must be at most 1 PiB");
        }
        if !(60..=30 * 24 * 3_600).contains(&self.upload_expiry.as_secs()) {
            return refuse("upload_expiry", "must be one minute to 30 days");
        }
        if !(1..=10_000).contains(&self.max_uploads) {
            return refuse("max_uploads", "must be 1 to 10000");
        }
        if !(1..=100_000).contains(&self.max_streams) {
            return refuse("max_streams", "must be 1 to 100000");
        }
        let secret = self.session_secret.expose();
        if !secret.is_empty() && secret.len() < SHORTEST_SECRET {
            return refuse("session_secret", "must have 32 characters at least");
        }
        let token = self.telegram_bot_token.expose();
        if !token.is_empty() && bot_of(token).is_none() {
            return refuse(
                "telegram_bot_token",
                "must be NUMBER:TEXT, as BotFather gave it",
            );
        }
        Ok(())
    }
}

impl Documents {
    /// A document's status in the words that clients are to be told.
    #[must_use]
    pub fn told<'a>(&self, status: &'a str) -> &'a str {
        match status {
            "queued" if self.compat_statuses => "processing",
            "cancelled" if self.compat_statuses => "failed",
            _ => status,
        }
    }

    /// The bucket that holds what was uploaded, if none of this machine's folders does.
    ///
    /// # Errors
    /// What is wrong with it, or that this build has no feature `s3`.
    pub fn bucket(&self) -> Result<Option<Bucket>, &'static str> {
        if !self.storage.contains("://") && !self.storage.starts_with("s3:") {
            return Ok(None);
        }
        let Some(place) = self.storage.strip_prefix("s3://") else {
            return Err("must be a folder, or s3://BUCKET/PREFIX");
        };
        if !cfg!(feature = "s3") {
            return Err(
                "names a bucket, and this build has no S3: build it with `cargo build --release --features s3`, or name a folder",
            );
        }
        let bucket = Bucket::parse(place);
        bucket.map(Some).ok_or(
            "must be s3://BUCKET/PREFIX: a bucket's name, then parts of letters, digits, \".\", \"_\" and \"-\"; keys and the endpoint stand in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT)",
        )
    }

    /// The address of its own, if any. Tenants have keys, so it may be reached from elsewhere.
    ///
    /// # Errors
    /// [`ConfigError::Inconsistent`] when it is not an address.
    pub fn address(&self) -> Result<Option<SocketAddr>, ConfigError> {
        self.parse()
            .map_err(|problem| inconsistent("documents.listen", problem))
    }

    fn parse(&self) -> Result<Option<SocketAddr>, String> {
        if self.listen.is_empty() {
            return Ok(None);
        }
        let address = self.listen.parse();
        address
            .map(Some)
            .map_err(|error| format!("is not IP:PORT ({error})"))
    }
}

/// The number of the bot whose token this is.
pub(super) fn bot_of(token: &str) -> Option<&str> {
    let (bot, key) = token.split_once(':')?;
    let is_number = (1..=20).contains(&bot.len()) && bot.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !key.is_empty()).then_some(bot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_named_by_url() {
        let of = |text: &str| Bucket::parse(text).map(|bucket| (bucket.name, bucket.prefix));
        for (text, expected) in [
            ("papers", Some(("papers", ""))),
            ("papers/", Some(("papers", ""))),
            ("papers/a/b_2.c/", Some(("papers", "a/b_2.c"))),
            ("my.own-papers9/a", Some(("my.own-papers9", "a"))),
            ("", None),
            ("ab", None),
            ("Papers", None),
            ("-papers", None),
            ("pa..pers", None),
            ("papers//", None),
            ("papers/a//b", None),
            ("papers/../b", None),
            ("papers/a b", None),
            ("papers/a?region=x", None),
            ("key:secret@papers/a", None),
        ] {
            let expected = expected.map(|(name, prefix)| (name.to_owned(), prefix.to_owned()));
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
