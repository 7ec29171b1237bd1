//! What `--help` says, so that a change of the command line is seen in review.

use super::gleaner;

#[test]
fn help_is_as_reviewed() {
    let mut all = String::new();
    for arguments in [
        &["--help"][..],
        &["status", "--help"],
        &["workflows", "--help"],
        &["workflows", "pause", "--help"],
        &["items", "--help"],
        &["items", "list", "--help"],
        &["items", "retry", "--help"],
        &["items", "cancel", "--help"],
        &["items", "show", "--help"],
        &["import", "--help"],
        &["recategorise", "--help"],
        &["extract", "--help"],
        &["worker", "check", "--help"],
        &["doctor", "--help"],
        &["convert", "--help"],
        &["track", "--help"],
        &["policy", "--help"],
        &["policy", "add", "--help"],
        &["site", "--help"],
        &["site", "set", "--help"],
        &["bot", "--help"],
        &["bot", "create", "--help"],
    ] {
        let ran = gleaner(None, arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        all.push_str(&format!(
            "$ gleaner {}\n{}\n",
            arguments.join(" "),
            ran.stdout
        ));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn misuse_is_told_by_its_exit_code() {
    for (arguments, text) in [
        (&["nonsense"][..], "unrecognized subcommand"),
        (&["status"], "no database is configured"),
        (&["workflows", "pause"], "required arguments"),
        (
            &["workflows", "pause", "nix"],
            "no workflow is called \"nix\"; there are deep-scan",
        ),
        (&["items", "list", "nix"], "no workflow is called \"nix\""),
        (
            &["items", "list", "deep-scan", "--status", "lost"],
            "possible values: None, Queued",
        ),
        (
            &["items", "cancel", "deep-scan", "--status", "completed"],
            "only rows that are Queued",
        ),
        (
            &["import", "pages", "/nowhere/file.csv"],
            "cannot read /nowhere/file.csv",
        ),
        (&["run", "--only", "nix"], "no workflow is called \"nix\""),
    ] {
        let ran = gleaner(None, arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(text), "{ran:?}");
    }
}

/// What `check-config` prints is a file that says the same, also where nothing is set.
#[test]
fn what_check_config_prints_can_be_read_again() {
    let printed = gleaner(None, &["check-config"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gleaner.toml");
    std::fs::write(&file, &printed.stdout).unwrap();
    let again = gleaner(None, &["check-config", "--config", file.to_str().unwrap()]);
    assert_eq!((again.code, again.stdout), (0, printed.stdout));
}
