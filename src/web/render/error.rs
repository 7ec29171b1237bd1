//! What can go wrong with rendering a page, and what to do about it.

use std::time::Duration;

use crate::fault::{self, Short};
use crate::web::fetch::{Decision, FetchError};

/// Why a browser ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, or by somebody else's hand.
    Crashed,
    /// It did not answer any more.
    Hung,
    /// It took more memory than it may.
    Memory,
    /// It had rendered as many pages as it may.
    Worn,
    /// Its settings had changed.
    Changed,
    /// Nobody needed it.
    Idle,
    /// Gleaner is stopping.
    Drained,
}

impl End {
    /// The word for it, from a closed set.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crashed => "crashed",
            Self::Hung => "hung",
            Self::Memory => "memory",
            Self::Worn => "worn",
            Self::Changed => "changed",
            Self::Idle => "idle",
            Self::Drained => "drained",
        }
    }
}

/// Why a page could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Rendering is switched off.
    #[error(
        "its pages need a browser, and rendering is switched off: set render.enabled = true, or `gleaner site set --render off`"
    )]
    Off,
    /// There is no browser to be started.
    #[error("no browser: {looked_for}; install Chromium, or set render.program")]
    NoProgram {
        /// What was looked for, and where.
        looked_for: String,
    },
    /// The browser could not be started.
    #[error("the browser does not start: {reason}")]
    Start {
        /// What it said.
        reason: String,
    },
    /// The browser could not be started for want of something that this process or its machine has run short of.
    #[error("the browser does not start")]
    Short(#[source] Short),
    /// All tabs were taken for as long as one waits.
    #[error("all tabs of the browser are taken")]
    Busy {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The browser ended while it had the page.
    #[error("the browser ended ({})", .0.as_str())]
    Ended(End),
    /// The page's own process ended.
    #[error("the tab crashed")]
    TabCrashed,
    /// The page did not come to an end in its time; mostly an endless script.
    #[error("the page was not rendered within {after:?}")]
    Timeout {
        /// The time it had.
        after: Duration,
    },
    /// What the scripts have made of the page is too large.
    #[error("the rendered page is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The browser answered something else than it should.
    #[error("the browser refused: {0}")]
    Refused(String),
    /// A script sent the browser to another site, which was not asked for it.
    #[error("a script leads to another site ({host})")]
    LedAway {
        /// Where to.
        host: String,
    },
    /// A script sent the browser to another page, which could not be fetched.
    #[error("the page led on")]
    Fetch(#[source] FetchError),
}

impl RenderError {
    /// A short name from a closed set, for metrics and for the item's error column.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Off => "render_off",
            Self::NoProgram { .. } | Self::Start { .. } | Self::Short(_) => "render_start",
            Self::Busy { .. } => "render_busy",
            Self::Ended(_) => "render_ended",
            Self::TabCrashed => "render_crashed",
            Self::Timeout { .. } => "render_timeout",
            Self::TooLarge { .. } => "render_too_large",
            Self::Refused(_) => "render_refused",
            Self::LedAway { .. } => "render_led_away",
            Self::Fetch(error) => error.class(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn decision(&self) -> Decision {
        match self {
            Self::Busy { retry_after } => Decision::Snooze {
                after: *retry_after,
            },
            Self::Short(_) => Decision::Snooze {
                after: fault::RETRY_AFTER,
            },
            Self::Start { .. }
            | Self::Ended(_)
            | Self::TabCrashed
            | Self::Timeout { .. }
            | Self::Refused(_) => Decision::Retry { after: None },
            Self::Off | Self::NoProgram { .. } | Self::TooLarge { .. } | Self::LedAway { .. } => {
                Decision::Permanent
            }
            Self::Fetch(error) => error.decision(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Shortage;

    #[test]
    fn every_error_has_its_class_and_decision() {
        let second = Duration::from_secs(1);
        let retry = Decision::Retry { after: None };
        for (error, class, decision) in [
            (RenderError::Off, "render_off", Decision::Permanent),
            (
                RenderError::NoProgram {
                    looked_for: String::new(),
                },
                "render_start",
                Decision::Permanent,
            ),
            (
                RenderError::Start {
                    reason: String::new(),
                },
                "render_start",
                retry,
            ),
            (
                RenderError::Busy {
                    retry_after: second,
                },
                "render_busy",
                Decision::Snooze { after: second },
            ),
            (
                RenderError::Short(Short(Shortage::Threads)),
                "render_start",
                Decision::Snooze { after: second },
            ),
            (RenderError::Ended(End::Memory), "render_ended", retry),
            (RenderError::TabCrashed, "render_crashed", retry),
            (
                RenderError::Timeout { after: second },
                "render_timeout",
                retry,
            ),
            (
                RenderError::TooLarge { limit_bytes: 1 },
                "render_too_large",
                Decision::Permanent,
            ),
            (RenderError::Refused(String::new()), "render_refused", retry),
            (
                RenderError::LedAway {
                    host: String::new(),
                },
                "render_led_away",
                Decision::Permanent,
            ),
            (
                RenderError::Fetch(FetchError::RobotsDisallowed),
                "robots_disallowed",
                Decision::Permanent,
            ),
        ] {
            assert_eq!((error.class(), error.decision()), (class, decision));
        }
    }
}
