//! Whether a Redis keeps what it is given: it may evict keys, and it may forget everything at a restart.

use fred::prelude::{ClientLike, FredResult};
use fred::types::CustomCommand;
use serde::Serialize;

use super::{Redis, is_refusal};

/// What was found. PostgreSQL holds the truth all the same: entries that are lost are put back by the reconciler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// `redis_version`; unknown where `INFO` is forbidden.
    pub version: Option<String>,
    /// Whether it evicts keys when memory is short.
    pub eviction: Eviction,
    /// Whether it keeps its keys over a restart.
    pub persistence: Persistence,
}

/// What becomes of keys when memory is short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Eviction {
    /// They stay.
    Never,
    /// They may go, by this policy.
    By(String),
    /// The server does not let us look.
    #[default]
    Unknown,
}

/// What becomes of keys at a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Persistence {
    /// They come back: the append-only file or snapshots are on.
    Kept,
    /// They are gone.
    Lost,
    /// The server does not let us look.
    #[default]
    Unknown,
}

impl Findings {
    /// What is wrong, in words; nothing when all is well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let eviction = match &self.eviction {
            Eviction::Never => None,
            Eviction::By(policy) => Some(format!(
                "maxmemory-policy {policy} may evict the queue: set it to noeviction"
            )),
            Eviction::Unknown => Some(
                "could not look whether it may evict the queue (INFO is refused): maxmemory-policy should be noeviction"
                    .to_owned(),
            ),
        };
        let persistence = match self.persistence {
            Persistence::Kept => None,
            Persistence::Lost => Some(
                "neither appendonly nor save is on: a restart of Redis empties the queue until it is filled from PostgreSQL"
                    .to_owned(),
            ),
            Persistence::Unknown => Some(
                "could not look whether it keeps the queue over a restart (CONFIG or INFO is refused): appendonly or save \
                 should be on"
                    .to_owned(),
            ),
        };
        eviction.into_iter().chain(persistence).collect()
    }

    /// The server's name and version, as far as it tells.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.version {
            Some(version) => format!("Redis {version}"),
            None => "Redis of unknown version".to_owned(),
        }
    }
}

/// Asks the server that holds our keys; in a cluster each has settings of its own.
pub(super) async fn look(redis: &Redis) -> FredResult<Findings> {
    let info = ask(redis, "INFO", &[]).await?;
    let save = ask(redis, "CONFIG", &["GET", "save"]).await?;
    Ok(judge(
        info.as_deref()
            .and_then(<[String]>::first)
            .map(String::as_str),
        save.as_deref(),
    ))
}

/// The answer to a command, as a list; `None` where the server refuses it to us, as hosted ones do.
async fn ask(
    redis: &Redis,
    name: &'static str,
    arguments: &[&str],
) -> FredResult<Option<Vec<String>>> {
    let command = CustomCommand::new_static(name, redis.key("").as_str(), false);
    let answer = redis.client().custom(command, arguments.to_vec()).await;
    match answer {
        Err(error) if is_refusal(&error) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Judges by the answers to `INFO` and to `CONFIG GET save`, as far as there are any.
fn judge(info: Option<&str>, save: Option<&[String]>) -> Findings {
    let field = |name: &str| {
        info?
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let eviction = match field("maxmemory_policy") {
        Some("noeviction") => Eviction::Never,
        Some(policy) => Eviction::By(policy.to_owned()),
        None => Eviction::Unknown,
    };
    let snapshots = save
        .and_then(|answer| answer.get(1))
        .map(|save| !save.trim().is_empty());
    let persistence = match (field("aof_enabled"), snapshots) {
        (Some("1"), _) | (_, Some(true)) => Persistence::Kept,
        (Some("0"), Some(false)) => Persistence::Lost,
        _ => Persistence::Unknown,
    };
    Findings {
        version: field("redis_version").map(str::to_owned),
        eviction,
        persistence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_lose_entries_are_recognised() {
        let by = |policy: &str| Eviction::By(policy.to_owned());
        for (info, save, eviction, persistence) in [
            (
                Some("maxmemory_policy:noeviction\r\naof_enabled:0\r\n"),
                Some("3600 1"),
                Eviction::Never,
                Persistence::Kept,
            ),
            (
                Some("maxmemory_policy:noeviction\r\naof_enabled:0\r\n"),
                Some(""),
                Eviction::Never,
                Persistence::Lost,
            ),
            (
                Some("maxmemory_policy:noeviction\r\naof_enabled:1\r\n"),
                Some(""),
                Eviction::Never,
                Persistence::Kept,
            ),
            (
                Some("maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n"),
                None,
                by("allkeys-lru"),
                Persistence::Unknown,
            ),
            (
                Some("maxmemory_policy:noeviction\r\naof_enabled:1\r\n"),
                None,
                Eviction::Never,
                Persistence::Kept,
            ),
            (None, None, Eviction::Unknown, Persistence::Unknown),
        ] {
            let answer = save.map(|save| vec!["save".to_owned(), save.to_owned()]);
            let findings = judge(info, answer.as_deref());
            let expected = usize::from(eviction != Eviction::Never)
                + usize::from(persistence != Persistence::Kept);
            assert_eq!(findings.warnings().len(), expected, "{info:?}");
            assert_eq!(findings.eviction, eviction, "{info:?}");
            assert_eq!(findings.persistence, persistence, "{info:?}");
        }
    }
}
