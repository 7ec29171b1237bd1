//! `[custom.NAME]` in a configuration: read, checked and printed without a database.

use std::path::PathBuf;

use gleaner::areas;
use gleaner::config::{self, Config, DEFAULTS, Sources};
use gleaner::custom::check;
use gleaner::custom::section::{Customs, Section};
use gleaner::settings::ConfigError;

/// Reads a file with this text.
fn load(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("mine.toml");
    std::fs::write(&path, text).expect("a file");
    areas::load(&Sources {
        file: Some(path),
        flags: Vec::new(),
    })
}

/// What is told of a file, without the place.
fn told(text: &str) -> Vec<String> {
    match load(text) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid(misfits)) => misfits
            .iter()
            .map(|misfit| format!("{}: {}", misfit.key, misfit.problem))
            .collect(),
        Err(error) => panic!("{error}"),
    }
}

const RIGHT: &str =
    "[custom.a]\ntable = 't'\nstage = 's'\ncolumns = ['id']\nrun = { pull = true }\n";

#[test]
fn every_mistake_is_told_by_its_key() {
    let head = "table = 't'\nstage = 's'\n";
    let given = format!("{head}columns = ['id']\n");
    let all = |rest: &str| format!("{given}run = {{ pull = true }}\n{rest}");
    for (text, expected) in [
        (
            all("rate = { count = 1, per = '0s' }"),
            "rate: per must be longer than zero",
        ),
        (all("max_attempts = 0"), "max_attempts: "),
        (
            all("batch_size = 20000"),
            "batch_size: must be at most 10000",
        ),
        (
            all("statement_timeout = '2h'"),
            "statement_timeout: must be longer than zero, and at most 1h",
        ),
        (
            all("max_row_bytes = 0"),
            "max_row_bytes: must be 1 to 4194304 bytes",
        ),
        (
            all("concurrency = 10000"),
            "max_row_bytes: concurrency, or batch_size, times max_row_bytes or max_answer_bytes must be at most 4 GiB",
        ),
        (all("load = 'SELECT 1'"), "load: there is columns already"),
        (all("store = []"), "store: must name columns"),
        (all("store = ['a', 'a']"), "store: names a column twice"),
        (all("store = ''"), "store: must be a statement"),
        (
            all("store = 'SELECT $1;'"),
            "store: must not end with a semicolon",
        ),
        (
            all("store = 7"),
            "store: found a value that cannot stand there",
        ),
        (
            all("then = ['ship']"),
            "then: must name stages with their tables",
        ),
        (
            all("then = ['t/s']"),
            "then: must not name the stage itself",
        ),
        (all("then = ['t/x', 't/x']"), "then: names a stage twice"),
        (
            all("tabel = 't'"),
            "tabel: no such key; did you mean `table`?",
        ),
        (
            all("batch_sise = 3"),
            "batch_sise: no such key; did you mean `batch_size`?",
        ),
        (
            "table = 't'\nstage = 'S'\ncolumns = ['id']\nrun = { pull = true }".to_owned(),
            "stage: must be lower-case letters, digits and underscores",
        ),
        (
            format!("{given}run = {{ pull = true, http = 'https://h/' }}"),
            "run.pull: there is http already: rows are worked in one way",
        ),
        (
            format!("{given}run = {{ pull = false }}"),
            "run.pull: must be true, or left out",
        ),
        (
            format!("{given}run = {{ pull = true, env = {{ A = 'x' }} }}"),
            "run.env: goes with command alone: take it out",
        ),
        (
            format!("{given}run = {{ command = [] }}"),
            "run.command: must name a program",
        ),
        (
            format!("{given}run = {{ command = ['a'], processes = 0 }}"),
            "run.processes: must be 1 to 1024",
        ),
        (
            format!("{given}run = {{ command = ['a'], cwd = 'here' }}"),
            "run.cwd: must be an absolute path",
        ),
        (
            format!("{given}run = {{ command = ['a'], worker = 2 }}"),
            "run: a key that is none here",
        ),
        (
            format!("{given}run = {{ command = ['a'], limits = {{ open_files = 0 }} }}"),
            "run.limits.open_files: must be more than 0",
        ),
        (
            format!("{given}run = {{ http = 'h' }}"),
            "run.http: is no address (relative URL without a base)",
        ),
        (
            format!("{given}run = {{ http = 'ftp://h/' }}"),
            "run.http: must be an address that begins with",
        ),
        (
            format!("{given}run = {{ http = 'https://u:hunter2@h/' }}"),
            "run.http: must not hold a user or a password",
        ),
        (
            format!("{given}run = {{ sql = 'SELECT $1' }}"),
            "columns: does not go with run.sql, which reads and stores itself",
        ),
    ] {
        let told = told(&format!("[custom.a]\n{text}\n"));
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        assert!(
            told[0].starts_with(&format!("custom.a.{expected}")),
            "{text}: {told:?}"
        );
        assert!(!told[0].contains("hunter2"), "{told:?}");
    }
    for (text, expected) in [
        (
            "[custom.a]\n",
            "custom.a: `table` is missing: name a table, such as \"billing.invoice\"",
        ),
        (
            "[custom.a]\ntable = 't'\n",
            "custom.a: `stage` is missing: name a stage of the table, such as \"ocr\"",
        ),
        (
            "[custom.a]\ntable = 't'\nstage = 's'\n",
            "custom.a: `run` is missing: say how its rows are worked: ",
        ),
        (
            "[custom.a]\ntable = 't'\nstage = 's'\nrun = { pull = true }\n",
            "custom.a: `columns` is missing: name the columns that are given of a row, or say load = ",
        ),
        (
            "[custom.deep-scan]\ntable = 't'\nstage = 's'\ncolumns = ['id']\nrun = { pull = true }\n",
            "custom.deep-scan: there is a workflow of that name",
        ),
        (
            "[custom.Hunter2]\ntable = 't'\n",
            "custom.…: the name of a workflow is made of a-z, 0-9 and hyphens, a letter first, 40 at most",
        ),
    ] {
        let told = told(text);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        assert!(told[0].starts_with(expected), "{text}: {told:?}");
    }
    assert_eq!(told(RIGHT), Vec::<String>::new());
}

/// Of several sections, and of several keys of one.
#[test]
fn all_mistakes_are_told_at_once() {
    let text = "[custom.a]\ntable = 't'\nstage = 'No'\ncolumns = ['id']\nrun = { http = 'h', cwd = '/' }\ninterval = '0s'\nthen = ['x']\n\
        [custom.b]\nstage = 's'\nrun = { pull = true }\ncolumns = ['id']\n\
        [custom.c]\ntable = 't'\nstage = 's'\ncolumns = ['id']\nrun = { command = [''], env = { 'A=B' = 'hunter2' } }\nbackoff = { base = '2h', max = '1h' }\n\
        [engine]\nsettle_items = 0\n";
    let mut all = told(text);
    all.sort();
    let keys: Vec<&str> = all
        .iter()
        .filter_map(|line| line.split(": ").next())
        .collect();
    assert_eq!(
        keys,
        [
            "custom.a.interval",
            "custom.a.run.cwd",
            "custom.a.run.http",
            "custom.a.stage",
            "custom.a.then",
            "custom.b",
            "custom.c.backoff",
            "custom.c.run.command",
            "custom.c.run.env",
            "engine.settle_items",
        ],
        "{all:#?}"
    );
    assert!(!all.concat().contains("hunter2"), "{all:#?}");
}

/// The defaults are told twice: in the types, and in the documented example.
#[test]
fn the_documented_example_is_one_and_tells_the_defaults() {
    let begin = DEFAULTS
        .find("# [custom.invoice-ocr]")
        .expect("the example");
    let example = DEFAULTS[begin..].split("\n\n").next().expect("its end");
    let lines = example
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line));
    // One of the two that exclude each other.
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("load = ")).collect();
    let config = load(&lines.join("\n")).unwrap_or_else(|error| panic!("{error}\n{lines:#?}"));
    let section = &config.section::<Customs>().0["invoice-ocr"];
    let rest = Section {
        table: section.table.clone(),
        stage: section.stage.clone(),
        columns: section.columns.clone(),
        run: section.run.clone(),
        store: section.store.clone(),
        then: section.then.clone(),
        ..Section::default()
    };
    assert_eq!(*section, rest);
    // And every key is in it.
    let written = serde_json::to_value(section).expect("JSON");
    for key in written.as_object().expect("a table").keys() {
        let is_there = |line: &&str| line.starts_with(&format!("{key} = "));
        assert!(
            lines.iter().any(|line| is_there(line)),
            "{key} is not in the example"
        );
    }
    let guide = include_str!("../../../docs/your-own-tables.md");
    for key in written.as_object().expect("a table").keys() {
        assert!(
            guide.contains(&format!("| `{key}` ")),
            "{key} is not in the guide"
        );
    }
}

#[test]
fn secrets_are_kept_out_of_print_and_compared_all_the_same() {
    let with = |secret: &str| {
        format!(
            "[custom.a]\ntable = 't'\nstage = 's'\ncolumns = ['id']\nrun = {{ command = ['a'], env = {{ TOKEN = '{secret}' }} }}\n\
             [custom.b]\ntable = 't'\nstage = 'x'\ncolumns = ['id']\n\
             run = {{ http = 'https://h/', secret = '{secret}', headers = {{ x-key = '{secret}' }} }}\n"
        )
    };
    let old = load(&with("hunter2")).expect("right");
    let printed = format!("{old:?} {}", serde_json::to_string(&old).expect("JSON"));
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(
        printed.contains("invoice") || printed.contains("[redacted]"),
        "{printed}"
    );
    let new = load(&with("hunter3")).expect("right");
    let changes = config::diff(&old, &new);
    let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "custom.a.run.env.TOKEN",
            "custom.b.run.headers.x-key",
            "custom.b.run.secret"
        ]
    );
    assert!(changes.iter().all(|change| !change.needs_restart));
    let told = format!("{changes:?}");
    assert!(!told.contains("hunter"), "{told}");
}

#[test]
fn a_command_that_is_not_here_is_told() {
    let here = |run: &str| {
        let text = format!("[custom.a]\ntable = 't'\nstage = 's'\ncolumns = ['id']\nrun = {run}\n");
        let config = load(&text).expect("right");
        let mistakes = check::here(config.section::<Customs>());
        mistakes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        here("{ command = ['sh', '-c', 'true'] }"),
        Vec::<String>::new()
    );
    assert_eq!(here("{ command = ['/bin/sh'] }"), Vec::<String>::new());
    assert_eq!(
        here("{ command = ['./sh'], cwd = '/bin' }"),
        Vec::<String>::new()
    );
    assert_eq!(
        here("{ command = ['no-such-program-anywhere'] }"),
        [
            "custom.a.run.command: there is no program no-such-program-anywhere in PATH: install it, or name it with its whole path"
        ]
    );
    assert_eq!(
        here("{ command = ['sh'], env = { PATH = '/var/empty' } }"),
        [
            "custom.a.run.command: there is no program sh in PATH: install it, or name it with its whole path"
        ]
    );
    let file = tempfile::NamedTempFile::new().expect("a file that is no program");
    let path = file.path().display();
    assert_eq!(
        here(&format!("{{ command = ['{path}'] }}")),
        [format!(
            "custom.a.run.command: {path} is no program that can be run: see that it is there, with its mode +x"
        )]
    );
}
