//! What of extraction can be configured.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::url::TrackingParameters;

/// The section `[extract]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Query parameters that URLs lose besides those built in; a final `*` makes a prefix.
    pub tracking_parameters_extra: Vec<String>,
    /// Query parameters that URLs keep although they are built in.
    pub tracking_parameters_keep: Vec<String>,
}

impl Config {
    /// The query parameters that URLs lose.
    #[must_use]
    pub fn tracking(&self) -> Arc<TrackingParameters> {
        if *self == Self::default() {
            return Arc::clone(TrackingParameters::built_in());
        }
        Arc::new(TrackingParameters::adjusted(
            self.tracking_parameters_extra.iter().map(String::as_str),
            self.tracking_parameters_keep.iter().map(String::as_str),
        ))
    }
}
