//! `gleaner convert`: the older service's `auto_record_config.json` as our configuration says it.

mod old;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use toml_edit::{DocumentMut, Item, Table, TableLike};

use self::old::{Converted, Setting};
use crate::console::{FAILURE, Global, Misuse, OK, complain, print};

/// Arguments of `gleaner convert`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Prints TOML for a configuration file. Keys that the old file leaves out had defaults of the old
service, and are said. What has no counterpart is named in comments. With --write the settings are
put into the file of --config, which keeps everything else as it is; where it says otherwise, nothing
is written, the differences are named, and the exit code is 1.")]
pub(crate) struct Arguments {
    /// The older service's configuration file, in JSON.
    file: PathBuf,
    /// Put the settings into the configuration file.
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<u8> {
    let name = arguments.file.display();
    let text = fs::read_to_string(&arguments.file)
        .map_err(|error| Misuse(format!("cannot read {name}: {error}")))?;
    let converted = old::read(&text).map_err(|problem| Misuse(format!("{name}: {problem}")))?;
    let differences = if arguments.write {
        let target = global.config.as_deref().ok_or_else(|| {
            Misuse("--write needs the configuration file: --config FILE".to_owned())
        })?;
        write(global, target, &converted)?
    } else {
        Vec::new()
    };
    let is_written = arguments.write && differences.is_empty();
    if global.json {
        let answer = json!({
            "toml": toml(&converted), "notes": converted.notes, "no_counterpart": converted.lost,
            "written": is_written, "differences": differences,
        });
        print(&serde_json::to_string_pretty(&answer)?);
    } else {
        show(&converted, is_written);
        for difference in &differences {
            complain(&format!("not written: {difference}"));
        }
    }
    Ok(if differences.is_empty() { OK } else { FAILURE })
}

fn show(converted: &Converted, is_written: bool) {
    if !is_written {
        print(toml(converted).trim_end());
        print("");
    }
    for note in &converted.notes {
        print(&format!("# note: {note}"));
    }
    for lost in &converted.lost {
        print(&format!("# no counterpart: {lost}"));
    }
    if is_written {
        print(&format!(
            "{} settings are in the file",
            converted.settings.len()
        ));
    }
}

/// The settings as a document of their own.
fn toml(converted: &Converted) -> String {
    let mut document = DocumentMut::new();
    for setting in &converted.settings {
        if let Some(table) = descend(document.as_table_mut(), setting.table) {
            table.insert(setting.key, Item::Value(setting.value.clone()));
        }
    }
    document.to_string()
}

/// The table at this path, made where it is missing; nothing where something else stands in the way.
fn descend<'a>(root: &'a mut Table, path: &[&str]) -> Option<&'a mut dyn TableLike> {
    let mut table: &mut dyn TableLike = root;
    for name in path {
        let missing = || {
            let mut missing = Table::new();
            // Shown only once something stands in it.
            missing.set_implicit(true);
            Item::Table(missing)
        };
        table = table
            .entry(name)
            .or_insert_with(missing)
            .as_table_like_mut()?;
    }
    Some(table)
}

/// Puts the settings into a configuration file, unless it says otherwise. What it says otherwise, in words.
fn write(global: &Global, file: &Path, converted: &Converted) -> anyhow::Result<Vec<String>> {
    let name = file.display();
    let unreadable = |error: std::io::Error| Misuse(format!("cannot read {name}: {error}"));
    // Through a link, so that the link stays one.
    let file = file.canonicalize().map_err(unreadable)?;
    let text = fs::read_to_string(&file).map_err(unreadable)?;
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error| Misuse(format!("{name}: {error}")))?;
    let differences: Vec<String> = converted
        .settings
        .iter()
        .filter_map(|setting| merge(&mut document, setting).err())
        .collect();
    if differences.is_empty() {
        replace(global, &file, &document.to_string())?;
    }
    Ok(differences)
}

/// Adds a setting.
///
/// # Errors
/// What stands there instead.
fn merge(document: &mut DocumentMut, setting: &Setting) -> Result<(), String> {
    let path = setting.table.join(".");
    let table = descend(document.as_table_mut(), setting.table)
        .ok_or_else(|| format!("{path} is no table there"))?;
    let wanted = setting.value.to_string();
    match table.get(setting.key) {
        None => {
            table.insert(setting.key, Item::Value(setting.value.clone()));
            Ok(())
        }
        Some(found) if is_same(found, &setting.value) => Ok(()),
        Some(found) => Err(format!(
            "{path}.{} is {} there, and would be {}",
            setting.key,
            found.to_string().trim(),
            wanted.trim()
        )),
    }
}

/// Whether both say the same, however they are written.
fn is_same(found: &Item, wanted: &toml_edit::Value) -> bool {
    let plain = |text: String| toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
    let found = found.as_value().map(|found| found.to_string());
    found
        .and_then(plain)
        .is_some_and(|found| plain(wanted.to_string()).is_some_and(|wanted| found == wanted))
}

/// Writes a file anew, whole or not at all, and only with what can be in force.
fn replace(global: &Global, file: &Path, text: &str) -> anyhow::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    let context = || format!("cannot write {}", new.display());
    fs::write(&new, text).with_context(context)?;
    let checked = check(global, file, &new);
    if checked.is_err() {
        drop(fs::remove_file(&new));
    }
    checked?;
    fs::rename(&new, file).with_context(context)
}

fn check(global: &Global, file: &Path, new: &Path) -> anyhow::Result<()> {
    let permissions = fs::metadata(file)?.permissions();
    fs::set_permissions(new, permissions)?;
    let read = Global {
        config: Some(new.to_owned()),
        ..global.clone()
    };
    read.load()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(file: &str, old: &str) -> Result<String, Vec<String>> {
        let converted = old::read(old).expect("well-formed");
        let mut document: DocumentMut = file.parse().expect("TOML");
        let differences: Vec<String> = converted
            .settings
            .iter()
            .filter_map(|setting| merge(&mut document, setting).err())
            .collect();
        if differences.is_empty() {
            Ok(document.to_string())
        } else {
            Err(differences)
        }
    }

    #[test]
    fn what_the_file_says_stays_as_it_is_written() {
        let file = "# Ours.\n[database]\nurl = \"postgres:///x\"   # the one\n\n[workflows.auto-record]\nconcurrency = 7 # slow disk\n";
        let whole = merged(
            file,
            r#"{"enabled": true, "_cron_config": {"interval_seconds": 50}}"#,
        )
        .expect("mergeable");
        assert!(whole.starts_with(file), "{whole}");
        let added: Vec<&str> = whole
            .strip_prefix(file)
            .unwrap_or_default()
            .lines()
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(
            added,
            [
                "interval = \"50s\"",
                "[workflows.auto-record.options]",
                "enabled = true",
                "allowed_sources = [\"jsonld\", \"og\", \"microdata\", \"script_data\", \"html_ml\"]",
                "min_confidence = 0.85",
                "require_in_stock = true",
                "allowed_domains = []",
                "currency_whitelist = []",
            ]
        );
        // Once more changes nothing.
        let again = merged(
            &whole,
            r#"{"enabled": true, "_cron_config": {"interval_seconds": 50}}"#,
        );
        assert_eq!(again, Ok(whole));
    }

    #[test]
    fn what_differs_is_named_and_the_same_in_other_words_is_not() {
        let file = "[workflows.auto-record]\noptions = { enabled = true, min_confidence = 0.9, allowed_domains = [ ] }\n";
        assert_eq!(
            merged(file, r#"{"enabled": true, "min_confidence": 0.7}"#),
            Err(vec![
                "workflows.auto-record.options.min_confidence is 0.9 there, and would be 0.7"
                    .to_owned()
            ])
        );
        assert_eq!(
            merged("workflows = 5\n", "{}").map_err(|all| all[0].clone()),
            Err("workflows.auto-record.options is no table there".to_owned())
        );
    }

    #[test]
    fn what_is_printed_can_be_in_force() {
        let converted = old::read(r#"{"_cron_config": {"batch_size": 101}}"#).expect("well-formed");
        let printed = toml(&converted);
        assert!(
            printed.starts_with("[workflows.auto-record]\nbatch_size = 101\n"),
            "{printed}"
        );
        assert!(printed.parse::<DocumentMut>().is_ok());
    }
}
