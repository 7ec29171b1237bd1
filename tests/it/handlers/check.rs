//! `gleaner worker check`: handlers that conform, in several languages, and what is said of those that do not.

use serde_json::Value;

use super::{rogue_command, root, tool};
use crate::cli::gleaner;

fn check(command: &[String], flags: &[&str]) -> (i32, Value) {
    let mut arguments = vec!["worker", "check", "--json", "--timeout", "20s"];
    arguments.extend(flags);
    arguments.push("--");
    arguments.extend(command.iter().map(String::as_str));
    let ran = gleaner(None, &arguments);
    let answer = serde_json::from_str(&ran.stdout);
    (
        ran.code,
        answer.unwrap_or_else(|error| panic!("{error}: {ran:?}")),
    )
}

fn outcomes(answer: &Value) -> Vec<(&str, &str)> {
    let checks = answer["checks"].as_array().expect("checks");
    checks
        .iter()
        .map(|check| {
            let text = |name: &str| check[name].as_str().expect("a text");
            (text("name"), text("outcome"))
        })
        .collect()
}

const ALL: [&str; 10] = [
    "hello",
    "an item",
    "several at once",
    "a batch",
    "odd text",
    "a large item",
    "unknown messages",
    "cancel",
    "shutdown",
    "end of input",
];

#[test]
fn a_handler_in_python_conforms() {
    let Some(python) = tool("python3") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ocr.py");
    let library = format!("PYTHONPATH={}", root().join("clients/python/src").display());
    let source = "from gleaner_worker import run\n\
        run(lambda rows: [{'total': len(row)} for row in rows], batch=100, name='ocr')\n";
    std::fs::write(&file, source).unwrap();
    let command = [python, file.display().to_string()];
    let (code, answer) = check(&command, &["--env", &library]);
    assert_eq!(code, 0, "{answer:#}");
    assert_eq!(
        outcomes(&answer),
        ALL.map(|name| (name, "ok")),
        "{answer:#}"
    );
    assert_eq!(
        answer["checks"][0]["found"],
        "ocr, takes 4 at once, 10 in a batch"
    );
    assert_eq!(answer["conforms"], true);
}

#[test]
fn a_handler_in_a_shell_conforms() {
    let Some(_) = tool("jq") else {
        return;
    };
    let script = root()
        .join("tests/fixtures/handlers/shell.sh")
        .display()
        .to_string();
    let (code, answer) = check(&["sh".to_owned(), script], &["--row", "{\"amount\": 3}"]);
    assert_eq!(code, 0, "{answer:#}");
    assert_eq!(answer["checks"][1]["found"], "completed, and sets [twice]");
}

#[test]
fn what_a_handler_does_not_do_is_named_with_what_to_do() {
    let Some(python) = tool("python3") else {
        return;
    };
    // Of one that is right in everything else.
    for (row, name, found) in [
        (
            r#"{"do": "rubbish"}"#,
            "an item",
            "no message of this protocol",
        ),
        (r#"{"do": "not given"}"#, "an item", "never given"),
        (
            r#"{"do": "crash"}"#,
            "an item",
            "SIGSEGV; the last it printed: about to crash",
        ),
    ] {
        let (code, answer) = check(
            &rogue_command(&python),
            &["--row", row, "--stop-timeout", "1s"],
        );
        assert_eq!(code, 1, "{answer:#}");
        let checks = answer["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["outcome"], "fail", "{answer:#}");
        assert!(
            check["found"].as_str().unwrap().contains(found),
            "{check:#}"
        );
        assert!(
            check["advice"].as_str().unwrap().contains("results"),
            "{check:#}"
        );
    }
}

#[test]
fn what_is_no_handler_is_named() {
    for (command, found) in [
        (&["/nowhere/handler"][..], "/nowhere/handler: No such file"),
        (&["cat", "/dev/null"], "exit code 0"),
        (&["sleep", "600"], "no hello within 1s"),
    ] {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let (code, answer) = check(&command, &["--start-timeout", "1s"]);
        assert_eq!(code, 1);
        let said = answer["checks"][0]["found"].as_str().unwrap();
        assert!(said.contains(found), "{said}");
    }
    let misuse = gleaner(None, &["worker", "check", "--in-flight", "0", "--", "cat"]);
    assert_eq!(misuse.code, 2, "{misuse:?}");
    assert!(
        misuse.stderr.contains("in_flight: must be from 1"),
        "{misuse:?}"
    );
    let people = gleaner(None, &["worker", "check", "--", "/nowhere/handler"]);
    assert!(
        people
            .stdout
            .starts_with("FAIL  hello  the handler ended before its hello"),
        "{people:?}"
    );
    assert!(people.stdout.contains("  -> read a line"), "{people:?}");
}
