//! `convert`: the older service's file, as its operators have it, into a configuration that is in force.

use std::fs;

use serde_json::json;

use crate::cli::gleaner;

/// The file as it was in use, a key to a line.
const OLD: &str = r#"{
  "enabled": true,
  "allowed_sources": ["html_ml"],
  "min_confidence": 0.7,
  "require_in_stock": false,
  "allowed_domains": [],
  "currency_whitelist": ["JPY"],
  "_cron_config": {
    "scheduler_enabled": true,
    "interval_seconds": 50,
    "batch_size": 101,
    "max_retries": 3,
    "retry_failed_every_n_cycles": 50,
    "log_queue_status_every_n_cycles": 10
  }
}"#;

#[test]
fn what_is_printed_is_a_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (old, new) = (file("auto_record_config.json"), file("new.toml"));
    fs::write(&old, OLD).expect("written");
    let ran = gleaner(None, &["convert", &old]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout
            .contains("# no counterpart: _cron_config.log_queue_status_every_n_cycles = 10: "),
        "{ran:?}"
    );
    fs::write(&new, &ran.stdout).expect("written");
    let checked = gleaner(None, &["check-config", "--json", "--config", &new]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let own = &checked.json()["workflows"]["auto-record"];
    for (found, expected) in [
        (&own["enabled"], json!(true)),
        (&own["interval"], json!("50s")),
        (&own["batch_size"], json!(101)),
        (&own["max_attempts"], json!(3)),
        (&own["options"]["allowed_sources"], json!(["html_ml"])),
        (&own["options"]["min_confidence"], json!(0.7)),
        (&own["options"]["currency_whitelist"], json!(["JPY"])),
    ] {
        assert_eq!(*found, expected);
    }
}

#[test]
fn it_is_written_without_loss_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (old, config) = (file("auto_record_config.json"), file("gleaner.toml"));
    fs::write(&old, OLD).expect("written");
    let before = "# Ours.\n[log]\nlevel = \"warn\" # quiet\n\n[workflows.auto-record.options]\nmin_confidence = 0.70\n";
    fs::write(&config, before).expect("written");
    let write = || gleaner(None, &["convert", &old, "--write", "--config", &config]);
    let ran = write();
    assert_eq!(ran.code, 0, "{ran:?}");
    let after = fs::read_to_string(&config).expect("readable");
    for line in before.lines() {
        assert!(
            after.lines().any(|own| own == line),
            "{line} is not in {after}"
        );
    }
    let own = gleaner(None, &["check-config", "--json", "--config", &config]).json();
    assert_eq!(own["workflows"]["auto-record"]["interval"], "50s");
    assert_eq!(own["log"]["level"], "warn");
    // It says otherwise by now.
    let other = after.replace("min_confidence = 0.70", "min_confidence = 0.9");
    fs::write(&config, &other).expect("written");
    let ran = write();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains(
            "not written: workflows.auto-record.options.min_confidence is 0.9 there, and would be 0.7"
        ),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("min_confidence = 0.7\n"), "{ran:?}");
    assert_eq!(fs::read_to_string(&config).expect("readable"), other);
    let left = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 2, "nothing is left behind");
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.json").display().to_string();
    for (text, arguments, expected) in [
        (
            OLD.replace("0.7", "\"high\"").as_str(),
            &[][..],
            "old.json: line 4: min_confidence must be a number from 0 to 1",
        ),
        (
            "{,",
            &[],
            "old.json: is no JSON: key must be a string at line 1",
        ),
        (OLD, &["--write"], "--write needs the configuration file"),
        (
            OLD,
            &["--write", "--config", "/nowhere.toml"],
            "cannot read /nowhere.toml",
        ),
    ] {
        fs::write(&old, text).expect("written");
        let ran = gleaner(None, &[&["convert", old.as_str()], arguments].concat());
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(expected), "{ran:?}");
    }
}
