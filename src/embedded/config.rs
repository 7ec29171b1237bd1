//! The section `[embedded]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The private PostgreSQL and Redis.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where its data lives; empty for a folder of the user's.
    pub data_dir: String,
    /// Folder with its programs; empty for the newest found.
    pub pg_bin: String,
}

impl Config {
    /// The folder in force.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn data_dir(&self) -> PathBuf {
        if self.data_dir.is_empty() {
            let (data, home) = (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"));
            super::default_data_dir(data.as_deref(), home.as_deref())
        } else {
            PathBuf::from(&self.data_dir)
        }
    }
}
