//! When shops are looked at.

use serde::{Deserialize, Serialize};

use crate::db::schedule::Cron;

/// The section `[pattern_health]`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PatternHealth {
    /// When, in UTC.
    pub cron: Cron,
}
