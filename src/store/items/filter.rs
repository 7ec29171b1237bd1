//! Which rows are meant.

use std::time::Duration;

/// The status of a row in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Never asked for (NULL).
    None,
    /// Waits for a worker.
    Queued,
    /// In a worker's hand.
    Processing,
    /// Done.
    Completed,
    /// Given up.
    Error,
    /// Rightly nothing to do.
    Filtered,
    /// Called off.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Queued,
        Self::Processing,
        Self::Completed,
        Self::Error,
        Self::Filtered,
        Self::Cancelled,
    ];

    /// As the column has it, and `None` for NULL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Queued => "Queued",
            Self::Processing => "Processing",
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::Filtered => "Filtered",
            Self::Cancelled => "Cancelled",
        }
    }

    /// The status of this name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(name))
    }
}

/// Which rows are meant: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// One of these; empty for any.
    pub statuses: Vec<Status>,
    /// One of these, by the engine's numbers; empty for any.
    pub ids: Vec<i64>,
    /// One of these, by the keys that people know, as [`Key::parsed`](crate::store::stage::Key::parsed) makes them; empty for any.
    pub keys: Vec<String>,
    /// The last error contains this, in any case.
    pub error: Option<String>,
    /// Not changed for this long.
    pub older_than: Option<Duration>,
    /// What a person made of the row.
    pub user_status: Option<String>,
    /// A host, or a registrable domain with all its hosts.
    pub domain: Option<String>,
    /// The address contains this, in any case.
    pub url_contains: Option<String>,
    /// No more than this many.
    pub limit: Option<i64>,
}
