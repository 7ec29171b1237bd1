//! All that is wrong with a configuration, and not the first of it alone.
//!
//! Readers and checks each end at the first thing that they find, which is how they are easy to write. So what was found is put back to its
//! default, and the whole is looked at again, until nothing is wrong any more.

use std::sync::LazyLock;

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Value};

use super::layers::{Layers, SCHEDULES, UNTOLD};
use super::schema::Schema;
use super::{Config, DEFAULTS};
use crate::settings::{ConfigError, Misfit};

/// Reads and checks the whole.
///
/// # Errors
/// [`ConfigError::Invalid`] with all that is wrong, but for what only looks wrong beside a value that is wrong itself.
pub(super) fn read(mut layers: Layers, schema: &'static Schema) -> Result<Config, ConfigError> {
    let mut told = Vec::new();
    loop {
        let error = match checked(&layers, schema) {
            Ok(config) if told.is_empty() => return Ok(config),
            Ok(_mended) => break,
            Err(error) => error,
        };
        let is_of_check = matches!(error, ConfigError::Inconsistent { .. });
        let found = layers.misfits(error)?;
        let mended = mended(&layers, schema, &found);
        for misfit in found {
            let is_known = told.iter().any(|known: &Misfit| known.at == misfit.at);
            let may_be_right = is_of_check && depends(&misfit, &told);
            if !(is_known || may_be_right) {
                told.push(misfit);
            }
        }
        match mended {
            Some(mended) => layers = mended,
            None => break,
        }
    }
    Err(ConfigError::Invalid(told))
}

fn checked(layers: &Layers, schema: &'static Schema) -> Result<Config, ConfigError> {
    let config = Config::from_layers(layers, schema)?;
    config.validate()?;
    Ok(config)
}

/// The same without these mistakes.
fn mended(layers: &Layers, schema: &'static Schema, found: &[Misfit]) -> Option<Layers> {
    let before = table(&layers.merged);
    let with = |table: Dict| Layers {
        merged: Figment::from(Serialized::defaults(table)),
        ..layers.clone()
    };
    let (mut after, mut is_changed) = (before.clone(), false);
    for misfit in found {
        is_changed |= put_back(&mut after, Some(defaults()), whole(&misfit.at.0));
    }
    if is_changed {
        return Some(with(after));
    }
    // What is complained of is the default: it does not go with something else that was written.
    written(&before, Some(defaults()))
        .into_iter()
        .find_map(|path| {
            let mut after = before.clone();
            put_back(&mut after, Some(defaults()), &path);
            let mended = with(after);
            let rest = match checked(&mended, schema) {
                Ok(_) => Vec::new(),
                Err(error) => mended.misfits(error).ok()?,
            };
            let is_gone = |misfit: &Misfit| rest.iter().all(|other| other.at != misfit.at);
            found.iter().all(is_gone).then_some(mended)
        })
}

/// What is put back for a mistake at a path: of a schedule all of it, as the rest of one makes no sense without that key.
fn whole(path: &[String]) -> &[String] {
    match path {
        [section, _, _, ..] if section == SCHEDULES => path.get(..2).unwrap_or(path),
        _ => path,
    }
}

/// All that layers come to.
fn table(merged: &Figment) -> Dict {
    let whole = merged.find_value("").ok();
    whole.and_then(Value::into_dict).unwrap_or_default()
}

/// The defaults as a layer.
fn defaults() -> &'static Dict {
    static TABLE: LazyLock<Dict> = LazyLock::new(|| table(&Figment::from(Toml::string(DEFAULTS))));
    &TABLE
}

/// Puts what stands at a path back to its default, or takes it out if it has none. Whether that changes anything.
fn put_back(table: &mut Dict, defaults: Option<&Dict>, path: &[String]) -> bool {
    let [name, rest @ ..] = path else {
        return false;
    };
    let default = defaults.and_then(|defaults| defaults.get(name));
    // A name that is not told stands for others: then it is all of them.
    let next = rest.first().filter(|next| !next.contains(UNTOLD));
    if next.is_some()
        && let Some(Value::Dict(_, inner)) = table.get_mut(name)
    {
        return put_back(inner, default.and_then(Value::as_dict), rest);
    }
    let before = match default {
        Some(default) => table.insert(name.clone(), default.clone()),
        None => table.remove(name),
    };
    before.as_ref() != default
}

/// The paths of all that is not as the defaults have it.
fn written(table: &Dict, defaults: Option<&Dict>) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (name, value) in table {
        let default = defaults.and_then(|defaults| defaults.get(name));
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => {
                let below = written(inner, default.and_then(Value::as_dict));
                paths.extend(below.into_iter().map(|mut path| {
                    path.insert(0, name.clone());
                    path
                }));
            }
            _ if Some(value) != default => paths.push(vec![name.clone()]),
            _ => {}
        }
    }
    paths
}

/// Whether what a check says of a value is about another that is not known yet: one that is wrong itself.
fn depends(misfit: &Misfit, told: &[Misfit]) -> bool {
    let words: Vec<&str> = misfit
        .problem
        .split(|sign: char| !(sign.is_ascii_alphanumeric() || "_-".contains(sign)))
        .collect();
    let names = |known: &Misfit| {
        known
            .at
            .0
            .last()
            .is_some_and(|key| words.contains(&key.as_str()))
    };
    told.iter().any(names)
}

#[cfg(test)]
#[expect(clippy::result_large_err, reason = "figment::Jail's own signature")]
mod tests {
    use figment::Jail;

    use super::super::{Sources, load};
    use super::*;
    use crate::areas;

    /// Keys and lines that are told of a file.
    fn told(jail: &mut Jail, text: &str) -> Vec<String> {
        jail.create_file("mine.toml", text).expect("a file");
        let sources = Sources {
            file: Some("mine.toml".into()),
            flags: Vec::new(),
        };
        let Err(ConfigError::Invalid(misfits)) = load(&sources, areas::schema()) else {
            panic!("{text} is taken");
        };
        let line = |misfit: &Misfit| {
            let place = misfit.place.clone().unwrap_or_default();
            let line = place.split(", ").nth(1).unwrap_or_default().to_owned();
            format!("{} {line}", misfit.key)
        };
        misfits.iter().map(line).collect()
    }

    #[test]
    fn a_mistake_in_a_schedule_makes_none_of_its_other_keys_and_of_no_other_schedule() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            let all = told(
                jail,
                "[schedules.nightly]\ncron = \"61 3 * * *\"\nsql = \"SELECT 1\"\n\
                 [schedules.hourly]\nevery = \"1h\"\ntime_zone = \"Europe/Berln\"\nqueue = { stage = \"a/b\" }\n\
                 [schedules.right]\nevery = \"1h\"\nqueue = { stage = \"a/b\" }\n",
            );
            let mut keys: Vec<&str> = all.iter().map(String::as_str).collect();
            keys.sort_unstable();
            assert_eq!(
                keys,
                [
                    "schedules.hourly.time_zone line 6",
                    "schedules.nightly.cron line 2"
                ]
            );
            Ok(())
        });
    }

    #[test]
    fn every_mistake_is_told_with_its_key_and_line() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            let all = told(
                jail,
                "[http]
                 max_connections_per_peer = 0
                 admin_tokn = \"x\"
                 quite_unknown = 1
                 trusted_proxies = [\"10.0.0.1\"]
                 [engine]
                 settle_items = \"many\"
                 keep_attempts = \"1h\"
                 rescue_interval = \"0s\"
                 [documents]
                 max_file_bytes = 1
                 max_uploads = 0
                 listen = \"nowhere\"
                 [retention]
                 results = \"1h\"
                 pages = \"soon\"
                 [workflows.deep-scan]
                 batch_size = 0
                 backoff = { base = \"2h\", max = \"1h\" }
                 [workflows.deep-scan.options]
                 base_url = \"nowhere\"
                 [workflows.deep-scam]
                 enabled = false
                 [log]
                 format = \"prose\"
                 [htpp]
                 listen = \"\"",
            );
            let mut sorted = all.clone();
            sorted.sort();
            assert_eq!(
                sorted,
                [
                    "documents.listen line 13",
                    "documents.max_file_bytes line 11",
                    "documents.max_uploads line 12",
                    "engine.keep_attempts line 8",
                    "engine.rescue_interval line 9",
                    "engine.settle_items line 7",
                    "htpp line 26",
                    "http line 4",
                    "http.admin_tokn line 3",
                    "http.max_connections_per_peer line 2",
                    "http.trusted_proxies.0 line 5",
                    "log.format line 25",
                    "retention.pages line 16",
                    "retention.results line 15",
                    "workflows.deep-scam line 22",
                    "workflows.deep-scan.backoff.max line 19",
                    "workflows.deep-scan.batch_size line 18",
                    "workflows.deep-scan.options.base_url line 21",
                ]
            );
            Ok(())
        });
    }

    /// A check that compares two values says nothing while one of them is not known; what it says of a default is not the last word.
    #[test]
    fn nothing_is_told_that_may_be_right() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            for (text, expected) in [
                // Right with the lease that is meant.
                (
                    "[engine]\nlease = \"on\"\nheartbeat = \"20s\"\n",
                    &["engine.lease line 2"][..],
                ),
                // It is a default that does not go with what was written; what comes behind is found all the same.
                (
                    "[engine]\nlease = \"1s\"\nsettle_items = 0\n",
                    &["engine.fence_margin line 1", "engine.settle_items line 3"],
                ),
                (
                    "[workflows.auto-record.options.sites.one]\nmin_confidence = 7\n[workflows.deep-scan]\nbatch_size = 20000\n",
                    &[
                        "workflows.auto-record.options.sites.\"…\".min_confidence line 1",
                        "workflows.deep-scan.batch_size line 4",
                    ],
                ),
            ] {
                let mut all = told(jail, text);
                all.sort();
                assert_eq!(all, expected, "{text}");
            }
            Ok(())
        });
    }
}
