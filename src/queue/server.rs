//! Whether a Redis keeps what it is given: it may evict keys, and it may forget everything at a restart.

use fred::cmd;
use fred::prelude::{Client, ClientLike, FredResult};
use serde::Serialize;

/// What was found. PostgreSQL holds the truth all the same: entries that are lost are put back by the reconciler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// `redis_version`.
    pub version: String,
    /// The policy, if it is one that evicts keys when memory is short.
    pub evicts: Option<String>,
    /// Whether neither the append-only file nor snapshots are on. A server that does not tell counts as persistent.
    pub forgets: bool,
}

impl Findings {
    /// What is wrong, in words; nothing when all is well.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let evicts = self.evicts.as_ref().map(|policy| {
            format!("maxmemory-policy {policy} may evict the queue: set it to noeviction")
        });
        let forgets = self.forgets.then(|| {
            "neither appendonly nor save is on: a restart of Redis empties the queue until it is filled from PostgreSQL"
                .to_owned()
        });
        evicts.into_iter().chain(forgets).collect()
    }
}

/// Asks the server.
pub(super) async fn look(client: &Client) -> FredResult<Findings> {
    let info: String = client.custom(cmd!("INFO"), Vec::<String>::new()).await?;
    // Hosted servers may refuse it.
    let save: FredResult<Vec<String>> = client.custom(cmd!("CONFIG"), vec!["GET", "save"]).await;
    Ok(judge(&info, save.ok().as_deref()))
}

/// Judges by the answer of `INFO` and, where there is one, of `CONFIG GET save`.
fn judge(info: &str, save: Option<&[String]>) -> Findings {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
    };
    let policy = field("maxmemory_policy").unwrap_or("noeviction");
    let snapshots = save.and_then(|answer| answer.get(1));
    Findings {
        version: field("redis_version").unwrap_or("unknown").to_owned(),
        evicts: (policy != "noeviction").then(|| policy.to_owned()),
        forgets: field("aof_enabled") == Some("0")
            && snapshots.is_some_and(|save| save.trim().is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_lose_entries_are_recognised() {
        let answer = |save: &str| Some(vec!["save".to_owned(), save.to_owned()]);
        for (info, save, evicts, forgets) in [
            (
                "maxmemory_policy:noeviction\r\naof_enabled:0\r\n",
                answer("3600 1"),
                None,
                false,
            ),
            (
                "maxmemory_policy:noeviction\r\naof_enabled:0\r\n",
                answer(""),
                None,
                true,
            ),
            (
                "maxmemory_policy:noeviction\r\naof_enabled:1\r\n",
                answer(""),
                None,
                false,
            ),
            (
                "maxmemory_policy:allkeys-lru\r\naof_enabled:0\r\n",
                None,
                Some("allkeys-lru"),
                false,
            ),
            ("", None, None, false),
        ] {
            let findings = judge(info, save.as_deref());
            assert_eq!(findings.evicts.as_deref(), evicts, "{info}");
            assert_eq!(findings.forgets, forgets, "{info}");
            let expected = usize::from(evicts.is_some()) + usize::from(forgets);
            assert_eq!(findings.warnings().len(), expected);
        }
    }
}
