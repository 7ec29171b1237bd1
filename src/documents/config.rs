//! The section of the configuration that is about tenants and what they upload.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// Documents are told to be `processing` while they wait, and `failed` when they were cancelled: for clients that know no other words.
    pub compat_statuses: bool,
}

impl Section for Documents {
    const NAME: &'static str = "documents";
}

impl Options for Documents {
    fn check(&self) -> Result<(), Problem> {
        let refuse = |key: &str, problem: &str| Err((key.to_owned(), problem.to_owned()));
        self.parse()
            .map_err(|problem| ("listen".to_owned(), problem))?;
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
