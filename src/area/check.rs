//! One thing that `gleaner doctor` looked at.

use serde::Serialize;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Nothing to do.
    Ok,
    /// Works, and could be better.
    Warn,
    /// Does not work, or will not for long.
    Fail,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Grade,
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Check {
    /// Nothing to do.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, Grade::Ok, found, None)
    }

    /// Works, and could be better.
    pub fn warn(name: &'static str, found: impl Into<String>, advice: &str) -> Self {
        Self::new(name, Grade::Warn, found, Some(advice))
    }

    /// Does not work, or will not for long.
    pub fn fail(name: &'static str, found: impl Into<String>, advice: &str) -> Self {
        Self::new(name, Grade::Fail, found, Some(advice))
    }

    fn new(
        name: &'static str,
        outcome: Grade,
        found: impl Into<String>,
        advice: Option<&str>,
    ) -> Self {
        Self {
            name,
            outcome,
            found: found.into(),
            advice: advice.map(str::to_owned),
        }
    }
}
