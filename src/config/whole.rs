//! Whether a file that a reload has read is all of it. A beginning of a configuration is mostly a configuration itself: an editor,
//! a copy or a full disk leaves such files behind, and what they lack would fall back to the defaults without a word.
//!
//! Three signs tell a beginning from a whole, and none of them asks anything of files that people write by hand:
//!
//! - A file that ended with [`MARK`] has to end with it.
//! - The key that stood last stands somewhere. Whatever is cut off takes it along; whoever takes keys away elsewhere does not.
//! - A number at the very end, without a line break behind it, is what it was: `20` is a beginning of `200`.
//!
//! A file that does end with the mark is whole, whatever it lacks.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use super::layers::File;
use crate::settings::{ConfigError, inconsistent};

/// The last line of a file that says so where it ends.
const MARK: &str = "# end of configuration";

/// What is to be known of a file after it has been read.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    path: PathBuf,
    /// The keys that it sets, in the order in which they stand.
    keys: Vec<String>,
    is_marked: bool,
    /// The key whose value goes up to the very end and could have gone on.
    open: Option<String>,
}

impl Written {
    pub(super) fn of(file: &File) -> Self {
        let text = file.text();
        let keys = file.keys();
        let open = keys
            .last()
            .filter(|(_, value)| is_open(text, value))
            .map(|(key, _)| key.clone());
        Self {
            path: file.path().to_owned(),
            keys: keys.into_iter().map(|(key, _)| key).collect(),
            is_marked: is_marked(text),
            open,
        }
    }

    /// The keys that another file no longer sets.
    pub(super) fn missing_in(&self, other: &Self) -> Vec<String> {
        let there: BTreeSet<&String> = other.keys.iter().collect();
        let missing = self.keys.iter().filter(|key| !there.contains(key));
        missing.cloned().collect()
    }
}

/// The line break belongs to it: without one it may be the beginning of another comment.
fn is_marked(text: &str) -> bool {
    let body = text.trim_end();
    let line = body.rsplit('\n').next().unwrap_or_default();
    body.len() < text.len() && line == MARK
}

/// Whether a value goes up to the end of a text and might have gone on: a number does, and an empty string, with which one over
/// several lines begins; what its own end closes does not.
fn is_open(text: &str, value: &Range<usize>) -> bool {
    let Some(written) = text.get(value.clone()) else {
        return false;
    };
    let is_closed = match written {
        "\"\"" | "''" => false,
        "true" | "false" => true,
        other => other.ends_with(['"', '\'', ']', '}']),
    };
    value.end == text.len() && !is_closed
}

/// Refuses a file that may be a beginning only. `is_changed` says of a key whether the two files come to different values of it.
///
/// # Errors
/// [`ConfigError::Inconsistent`] naming the file, and what to do where it is whole.
pub(super) fn check(
    old: &Written,
    new: &Written,
    is_changed: impl Fn(&str) -> bool,
) -> Result<(), ConfigError> {
    if new.is_marked {
        return Ok(());
    }
    let cut = |why: String| {
        let path = new.path.display().to_string();
        let problem = format!(
            "it may be cut off: {why}. If it is whole, end it with the line \"{MARK}\", and reload again"
        );
        Err(inconsistent(&path, problem))
    };
    if old.is_marked {
        return cut(format!(
            "the file in force ended with \"{MARK}\", and this one does not"
        ));
    }
    let missing = old.missing_in(new);
    if let Some(last) = old.keys.last()
        && missing.contains(last)
    {
        return cut(format!(
            "{last} stood last in the file in force and is no longer there; it would take away: {}",
            missing.join(", ")
        ));
    }
    if let Some(open) = &new.open
        && is_changed(open)
    {
        return cut(format!(
            "it ends with the value of {open} and without a line break, so there may have been more of it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::LazyLock;

    use figment::Figment;
    use figment::providers::{Format, Toml};

    use super::*;
    use crate::areas;
    use crate::config::layers::Layers;
    use crate::config::{Config, DEFAULTS, Reloaded, diff, reload};

    /// What an operator's file looks like.
    const MINE: &str = r#"# Ours.
[database]
url = "postgres://gleaner:hunter2@db.example.org/gleaner"
pool_size = 20

[http] # behind the proxy
listen = "0.0.0.0:8080"
admin_token = """s3cr3t"""

[fetch]
user_agent = "Shop/1.0 (+https://shop.example/bot)"
allow_networks = [
    "10.20.0.0/16", # the intranet
    "10.30.0.0/16",
]
per_host_delay = '250ms'

[workflows.deep-scan]
enabled = false
rate = { count = 30, per = "1m" }
backoff.base = "5s"
backoff.max = "1h"

[workflows.auto-record.options.sites."shop.example"]
min_confidence = 0.95

[workflows.price-fetch]
concurrency = 120
"#;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let file = File::parse(Path::new("mine.toml"), text)?;
        static BELOW: LazyLock<Figment> = LazyLock::new(|| Figment::from(Toml::string(DEFAULTS)));
        let merged = BELOW.clone().merge(file.layer());
        let layers = Layers {
            file: Some(file),
            ..Layers::of(merged)
        };
        let config = Config::from_layers(&layers, areas::schema())?;
        config.validate()?;
        Ok(config)
    }

    fn reloaded(old: &Config, text: &str) -> Result<Reloaded, String> {
        let new = read(text).map_err(|error| error.to_string())?;
        reload(old, &new).map_err(|error| error.to_string())
    }

    /// How many of the beginnings of a text are taken that are longer than `from`, by a process that has the whole in force. None
    /// of them may come to anything else than the whole does.
    fn taken(text: &str, from: usize) -> usize {
        let old = read(text).expect("the whole");
        let mut taken = 0;
        for (at, _) in text.char_indices().skip_while(|(at, _)| *at < from) {
            let beginning = text.get(..at).expect("whole characters");
            let Ok(reloaded) = reloaded(&old, beginning) else {
                continue;
            };
            let changes = diff(&old, &reloaded.in_force);
            assert!(
                changes.is_empty() && reloaded.pending.is_empty() && reloaded.taken_away.is_empty(),
                "cut at {at}, after {:?}: {changes:?} {:?}",
                beginning.lines().last(),
                reloaded.pending
            );
            taken += 1;
        }
        taken
    }

    #[test]
    fn no_beginning_of_a_file_is_taken_for_the_whole() {
        // All but its last line break, and nothing shorter.
        assert_eq!(taken(MINE, 0), 1);
        let end = MINE.rfind('[').expect("a section");
        // The same where it ends with something else than a number, and with a comment.
        for last in [
            "enabled = false",
            "timeout = \"100s\"",
            "concurrency = 9 # few",
        ] {
            let text = MINE.replace("concurrency = 120", last);
            let comment = last
                .split_once(" #")
                .map_or(0, |(_, comment)| comment.len() + 2);
            assert_eq!(taken(&text, end), 1 + comment, "{last}");
        }
        // With the mark nothing less than all of it.
        assert_eq!(taken(&format!("{MINE}\n{MARK}\n"), end), 0);
    }

    /// The documented defaults are what many start from.
    #[test]
    fn no_beginning_of_the_defaults_is_taken_for_the_whole() {
        assert!(
            is_marked(DEFAULTS),
            "config/gleaner.toml does not end with its mark"
        );
        let old = read(DEFAULTS).expect("the whole");
        // Where sections begin, and every byte of its end: the bytes of all the rest are those of the file above.
        let sections = DEFAULTS.match_indices("\n[").map(|(at, _)| at + 1);
        let cuts = sections.chain(DEFAULTS.len() - 40..DEFAULTS.len());
        for at in cuts {
            let beginning = DEFAULTS.get(..at).expect("whole characters");
            assert!(reloaded(&old, beginning).is_err(), "taken when cut at {at}");
        }
    }

    #[test]
    fn whoever_takes_keys_away_is_told_which_and_need_not_ask() {
        let old = read(MINE).expect("the whole");
        let without = |lines: &[&str]| {
            let kept: Vec<&str> = MINE
                .split_inclusive('\n')
                .filter(|line| !lines.iter().any(|gone| line.starts_with(gone)))
                .collect();
            kept.concat()
        };
        let less = reloaded(&old, &without(&["rate", "enabled"])).expect("taken");
        assert_eq!(
            less.taken_away,
            [
                "workflows.deep-scan.enabled",
                "workflows.deep-scan.rate.count",
                "workflows.deep-scan.rate.per"
            ]
        );
        // A whole section from the middle.
        let less = reloaded(
            &old,
            &without(&["[fetch]", "user_agent", "allow", "    ", "]", "per_host"]),
        )
        .expect("taken");
        assert_eq!(
            less.taken_away,
            [
                "fetch.user_agent",
                "fetch.allow_networks",
                "fetch.per_host_delay"
            ]
        );
        // The last one takes the mark, and what is said tells how to write it.
        let shorter = without(&["[workflows.price-fetch]", "concurrency"]);
        let told = reloaded(&old, &shorter).expect_err("cut off?");
        for part in [
            "mine.toml: it may be cut off",
            "workflows.price-fetch.concurrency",
            MARK,
        ] {
            assert!(told.contains(part), "{told}");
        }
        let marked = format!("{shorter}{MARK}\n");
        let less = reloaded(&old, &marked).expect("marked");
        assert_eq!(less.taken_away, ["workflows.price-fetch.concurrency"]);
        // From then on it has to be there.
        let told = reloaded(&less.in_force, MINE).expect_err("no mark");
        assert!(told.contains(MARK), "{told}");
        assert!(reloaded(&less.in_force, &format!("{MINE}{MARK}\n")).is_ok());
    }

    #[test]
    fn a_number_at_the_very_end_may_be_the_beginning_of_another() {
        let old = read("[fetch]\nmax_redirects = 5\n").expect("good");
        for (text, is_taken) in [
            ("[fetch]\nmax_redirects = 5", true),
            ("[fetch]\nmax_redirects = 3", false),
            ("[fetch]\nmax_redirects = 3\n", true),
            ("[fetch]\nmax_redirects = 3 # as long as", true),
            ("[fetch]\nmax_redirects = 5\ntimeout = \"20s\"", true),
            ("[fetch]\nmax_redirects = 5\nrobots = false", true),
            ("[fetch]\nmax_redirects = 5\n[bots]\nlisten = \"\"", true),
            (
                "[fetch]\nmax_redirects = 5\n[http]\nadmin_token = \"x\"",
                true,
            ),
            ("", false),
        ] {
            assert_eq!(reloaded(&old, text).is_ok(), is_taken, "{text:?}");
        }
    }

    #[test]
    fn only_the_whole_mark_is_one() {
        for (text, marked) in [
            ("x = 1\n# end of configuration\n", true),
            ("# end of configuration\n\n  \n", true),
            ("# end of configuration\r\n", true),
            ("# end of configuration", false),
            ("x = 1\n# end of configuration of the fetcher\n", false),
            ("x = 1 # end of configuration\n", false),
            ("# end of configuration\nx = 1\n", false),
            ("", false),
        ] {
            assert_eq!(is_marked(text), marked, "{text:?}");
        }
    }
}
