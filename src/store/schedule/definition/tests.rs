//! Schedules as files have them, right and wrong.

use super::*;

/// A schedule from its keys, as a file has them.
fn schedule(keys: &str) -> Schedule {
    toml::from_str(keys).unwrap()
}

fn problem_of(keys: &str) -> String {
    let (key, told) = schedule(keys).define("nightly").expect_err(keys);
    format!("{key}: {told}")
}

#[test]
fn a_schedule_is_read_with_its_defaults() {
    let defined =
        schedule("cron = \"30 3 * * *\"\ntime_zone = \"Europe/Berlin\"\nsql = \"SELECT 1\"")
            .define("nightly")
            .unwrap();
    assert_eq!(defined.timing.rule.told(), "30 3 * * * Europe/Berlin");
    assert_eq!(defined.timing.missed, Missed::Once);
    assert_eq!(defined.timeout, Duration::from_secs(300));
    assert_eq!(defined.action, Action::Sql("SELECT 1".to_owned()));
    let defined = schedule(
        "every = \"6h\"\nmissed = { each = 10 }\njitter = \"1m\"\nqueue = { stage = \"billing.invoice/ocr\", where = \"total IS NULL\" }",
    )
    .define("ocr")
    .unwrap();
    assert_eq!(defined.timing.rule.told(), "every 6h");
    assert!(matches!(defined.timing.missed, Missed::Each(most) if most.get() == 10));
    let Action::Queue { stage, condition } = defined.action else {
        panic!("it queues");
    };
    assert_eq!(stage.quoted_table(), "\"billing\".\"invoice\"");
    assert_eq!(
        (stage.stage.as_str(), condition.as_deref()),
        ("ocr", Some("total IS NULL"))
    );
}

/// What other schedulers' crontabs and cron triggers can say.
#[test]
fn forms_that_other_schedulers_have_are_known() {
    for expression in [
        "*/15 * * * *",
        "0 9-17/2 * * mon-fri",
        "0 0 1,15 * *",
        "0 0 * jan-mar sun",
        "5,35 */3 * * *",
        "0 0 L * *",
        "0 0 * * 5#2",
        "0 12 15W * *",
        "*/10 * * * * *",
        "@daily",
    ] {
        let keys = format!("cron = \"{expression}\"\nsql = \"SELECT 1\"");
        schedule(&keys).define("x").expect(expression);
    }
}

#[test]
fn what_is_wrong_is_told_by_key_with_what_would_be_right() {
    for (keys, told) in [
        ("sql = \"SELECT 1\"", "cron: is missing"),
        ("cron = \"* * * * *\"", "sql: is missing"),
        (
            "cron = \"* * * * *\"\nevery = \"1h\"\nsql = \"SELECT 1\"",
            "every: goes without cron",
        ),
        (
            "every = \"1h\"\nsql = \"SELECT 1\"\nqueue = { stage = \"a/b\" }",
            "queue: goes without sql",
        ),
        (
            "cron = \"61 2 * * *\"\nsql = \"SELECT 1\"",
            "cron: is no cron expression of five fields",
        ),
        (
            "cron = \"0 0 30 2 *\"\nsql = \"SELECT 1\"",
            "cron: names a time that never comes",
        ),
        (
            "cron = \"* * * * *\"\ntime_zone = \"Berlin\"\nsql = \"SELECT 1\"",
            "time_zone: is no time zone; it takes a name of the IANA database",
        ),
        ("every = \"10ms\"\nsql = \"SELECT 1\"", "every: must be 1s"),
        (
            "every = \"1h\"\njitter = \"1h\"\nsql = \"SELECT 1\"",
            "jitter: must be shorter than every",
        ),
        (
            "every = \"1h\"\ntimeout = \"0s\"\nsql = \"SELECT 1\"",
            "timeout: must be longer than zero",
        ),
        (
            "every = \"1h\"\nmissed = { each = 5000 }\nsql = \"SELECT 1\"",
            "missed: each must be at most 1000",
        ),
        (
            "every = \"1h\"\nsql = \" -- nothing\\n\"",
            "sql: holds no statement",
        ),
        (
            "every = \"1h\"\nsql = \"/* x */ COMMIT\"",
            "sql: begins with COMMIT",
        ),
        (
            "every = \"1h\"\nqueue = { stage = \"invoice\" }",
            "queue.stage: is no stage",
        ),
        (
            "every = \"1h\"\nqueue = { stage = \"a.b.c/ocr\" }",
            "queue.stage: is no stage",
        ),
        (
            "every = \"1h\"\nqueue = { stage = \"a/b\", where = \" \" }",
            "queue.where: is empty",
        ),
    ] {
        let found = problem_of(keys);
        assert!(found.starts_with(told), "{keys}: {found}");
    }
    // Nothing of a value in a wrong place is repeated.
    let found = problem_of("cron = \"hunter2\"\nsql = \"SELECT 1\"");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn tables_may_be_called_anything() {
    for (text, table) in [
        ("invoice/ocr", Some("\"invoice\"")),
        ("billing.Invoice/ocr", Some("\"billing\".\"Invoice\"")),
        (
            "\"odd.name/x\".\"a \"\"b\"/ocr",
            Some("\"odd.name/x\".\"a \"\"b\""),
        ),
        ("\"open/ocr", None),
        ("/ocr", None),
        ("a./ocr", None),
        ("invoice/Ocr", None),
        ("invoice/ocr; DROP", None),
        ("invoice/", None),
    ] {
        let stage = StageName::parse(text);
        assert_eq!(
            stage.map(|stage| stage.quoted_table()).as_deref(),
            table,
            "{text}"
        );
    }
}

#[test]
fn names_can_stand_in_keys_labels_and_addresses() {
    for (name, is_one) in [
        ("nightly", true),
        ("fetch-high_2", true),
        ("2nd", true),
        ("", false),
        ("Nightly", false),
        ("a.b", false),
        ("a b", false),
        ("-a", false),
    ] {
        assert_eq!(is_name(name), is_one, "{name}");
    }
    assert_eq!(name_of(&key("nightly")), Some("nightly"));
    assert_eq!(name_of("housekeeping"), None);
}
