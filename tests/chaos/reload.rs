//! SIGHUP: all of a good file takes effect, nothing of a bad one does.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::database::TestDatabase;
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, Process, run_to_end};
use crate::support::rows::{add_pages, assert_each_once, wait_all_done};
use crate::support::wait::wait_until;
use crate::support::{alone, let_pass};

/// Interval in whole seconds and batch size of page-curation, as the status tells.
async fn in_force(process: &Process) -> (Value, Value) {
    let settings = process.workflow("page-curation").await["settings"].clone();
    (settings["interval"].clone(), settings["batch_size"].clone())
}

fn seconds(count: u64) -> Value {
    json!({ "secs": count, "nanos": 0 })
}

/// A file with these values of page-curation instead of the defaults.
fn with_values(text: &str, values: &str) -> String {
    text.replace(
        "[workflows.page-curation]\n",
        &format!("[workflows.page-curation]\n{values}\n"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_all_or_nothing() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("reloaded", database.url(), journal.address);
    let good = config.text();
    let mut process = Process::start(&config).await;
    process.wait_ready(Duration::from_secs(10)).await;
    assert_eq!(in_force(&process).await, (seconds(60), json!(10)));

    config.write(&with_values(&good, "interval = \"7s\"\nbatch_size = 33"));
    process.signal(Signal::SIGHUP);
    wait_until("the new values are in force", async || {
        in_force(&process).await == (seconds(7), json!(33))
    })
    .await;

    // Each of these is refused as a whole, whatever stands in it besides, and readiness says why.
    let broken = [
        (
            with_values(&good, "interval = \"8s\"\nbatch_size = 0"),
            "page-curation.batch_size",
        ),
        (
            with_values(&good, "interval = \"8s\"\nbatch_sise = 5"),
            "batch_sise",
        ),
        (
            with_values(&good, "interval = \"8s\"") + "[engine]\nheartbeat = \"9s\"\n",
            "engine.heartbeat",
        ),
        (
            with_values(&good, "interval = \"8s\"") + "[fetch",
            "gleaner.toml",
        ),
        // Cut off in the middle of a string, as a file that is still being written.
        (
            good.get(..good.len() / 2).unwrap().to_owned() + "\"",
            "gleaner.toml",
        ),
    ];
    for (text, wanted) in broken {
        config.write(&text);
        process.signal(Signal::SIGHUP);
        wait_until(&format!("readiness names {wanted}"), async || {
            let (status, detail) = process.readiness().await;
            let failure = detail["reload_failure"].as_str().unwrap_or_default();
            // It works on as before, so it is still ready.
            status == 200 && failure.contains(wanted)
        })
        .await;
        assert_eq!(in_force(&process).await, (seconds(7), json!(33)));
    }
    std::fs::remove_file(config.path()).unwrap();
    process.signal(Signal::SIGHUP);
    wait_until("readiness names the missing file", async || {
        let (_, detail) = process.readiness().await;
        let failure = detail["reload_failure"].as_str().unwrap_or_default();
        failure.contains("cannot read the configuration file")
    })
    .await;
    assert_eq!(in_force(&process).await, (seconds(7), json!(33)));

    // It still works, by the old values.
    add_pages(&client, 1, 20).await;
    wait_all_done(&client, Duration::from_secs(30)).await;

    config.write(&with_values(&good, "interval = \"9s\"\nbatch_size = 5"));
    process.signal(Signal::SIGHUP);
    wait_until("a good file mends it", async || {
        let (_, detail) = process.readiness().await;
        detail["reload_failure"].is_null() && in_force(&process).await == (seconds(9), json!(5))
    })
    .await;

    // What cannot change live is named, and the rest of the same file takes effect.
    config.write(&with_values(&good, "interval = \"11s\"").replace("127.0.0.1:0", "127.0.0.1:1"));
    process.signal(Signal::SIGHUP);
    wait_until("the rest takes effect", async || {
        in_force(&process).await == (seconds(11), json!(10))
    })
    .await;
    process.wait_log("takes effect at the next start").await;
    assert!(
        process.log_text().contains("http.listen"),
        "{}",
        process.log_text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_reloads_under_load_loses_nothing() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::from_millis(5)).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let config = ConfigFile::new("stormed", database.url(), journal.address);
    let good = config.text();
    let mut process = Process::start(&config).await;
    add_pages(&client, 1, 2_000).await;
    for round in 0..200_u32 {
        match round % 4 {
            0 => config.write(&with_values(&good, "concurrency = 3")),
            1 => config.write("not a configuration"),
            2 => config.write(&with_values(&good, "enabled = false")),
            _ => config.write(&good),
        }
        process.signal(Signal::SIGHUP);
        // Between signals, not for anything: fewer and the system would merge them.
        let_pass(Duration::from_millis(10)).await;
    }
    config.write(&with_values(&good, "batch_size = 77"));
    process.signal(Signal::SIGHUP);
    wait_until("the last file is in force", async || {
        in_force(&process).await.1 == json!(77)
    })
    .await;
    assert!(process.is_running());
    wait_all_done(&client, Duration::from_secs(60)).await;
    assert_each_once(&client).await;
    assert_eq!(process.readiness().await.0, 200);
}

/// A file that is still being written is mostly a good one. Cut at each line, and at each byte of its last ones, it changes
/// nothing; readiness tells why, and what to do where it is meant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_cut_off_changes_nothing() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let config = ConfigFile::with(
        "cut",
        database.url(),
        journal.address,
        "[engine]\ndrain_timeout = \"20s\"\nsettle_items = 300\n",
    );
    let good = with_values(&config.text(), "interval = \"7s\"\nbatch_size = 33");
    config.write(&good);
    let mut process = Process::start(&config).await;
    process.wait_ready(Duration::from_secs(10)).await;
    let values = async || {
        let (_, status) = process.get("/api/v1/status").await.unwrap();
        let workflows = status["tree"]["workflows"].as_array().unwrap().clone();
        let settings: Vec<Value> = workflows
            .iter()
            .map(|one| one["settings"].clone())
            .collect();
        (settings, status["pending"].clone())
    };
    let before = values().await;
    let lines = good.match_indices('\n').map(|(at, _)| at + 1);
    let last = good.len() - 40..good.len() - 1;
    let cuts: Vec<usize> = lines
        .filter(|at| *at < good.len() - 40)
        .chain(last)
        .collect();
    for (before_it, cut) in cuts.into_iter().enumerate() {
        config.write(good.get(..cut).unwrap());
        process.signal(Signal::SIGHUP);
        // It works on as before, so it is still ready.
        let told = async || {
            let (status, detail) = process.readiness().await;
            let failure = detail["reload_failure"].as_str().unwrap_or_default();
            status == 200 && failure.contains("gleaner.toml")
        };
        wait_until(&format!("the file cut at {cut} is refused"), async || {
            process.log_count("configuration not reloaded") == before_it + 1 && told().await
        })
        .await;
        assert_eq!(values().await, before, "cut at {cut}");
    }
    // What was meant is done, and said.
    let (shorter, _) = good.split_once("[engine]").unwrap();
    config.write(&format!("{shorter}# end of configuration\n"));
    process.signal(Signal::SIGHUP);
    wait_until("readiness names what was taken away", async || {
        let (_, detail) = process.readiness().await;
        detail["reload_failure"].is_null()
            && detail["taken_away"] == json!(["engine.drain_timeout", "engine.settle_items"])
    })
    .await;
    process.wait_log("taken away").await;
    assert_eq!(process.log_count("configuration reloaded"), 1);
}

/// Wherever a reload that fails is told: not a word of a secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_in_a_bad_file_is_told_nowhere() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let config = ConfigFile::new("secret", database.url(), journal.address);
    let good = config.text();
    let process = Process::start(&config).await;
    process.wait_ready(Duration::from_secs(10)).await;
    let with_token = |line: &str| good.replace("[http]\n", &format!("[http]\n{line}\n"));
    for (before_it, (text, wanted)) in [
        (with_token("admin_token = hunter2"), "http.admin_token"),
        (with_token("admin_token = \"hunter2"), "http.admin_token"),
        (with_token("admin_token = 20240817"), "http.admin_token"),
        (with_token("hunter2 = \"\""), "http: "),
        (
            with_token("admin_token = \"x\"\nadmin_tokn = \"hunter2\""),
            "http.admin_tokn",
        ),
        (
            good.replace(
                "[database]\nurl = \"",
                "[database]\nurl = \"postgres://u:hunter2@h:20240817/d?a=",
            ),
            "database.url",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_ne!(text, good);
        config.write(&text);
        process.signal(Signal::SIGHUP);
        let named = async || {
            let (_, detail) = process.readiness().await;
            let failure = detail["reload_failure"].as_str().unwrap_or_default();
            failure.contains(wanted)
        };
        wait_until(&format!("readiness names {wanted}: {text}"), async || {
            process.log_count("configuration not reloaded") == before_it + 1 && named().await
        })
        .await;
        let (_, detail) = process.readiness().await;
        let (status, said) = {
            let file = config.path();
            run_to_end(
                &["check-config", "--config", file.to_str().unwrap()],
                Duration::from_secs(10),
            )
            .await
        };
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "{said}");
        let (_, whole) = process.get("/api/v1/status").await.unwrap();
        for told in [
            detail.to_string(),
            said,
            whole.to_string(),
            process.log_text(),
        ] {
            assert!(
                !told.contains("hunter2") && !told.contains("20240817"),
                "{told}"
            );
        }
    }
    // One secret for another is a change; which two is not told.
    let told = process.log_count("http.admin_token");
    config.write(&with_token("admin_token = \"hunter2\""));
    process.signal(Signal::SIGHUP);
    wait_until("the change is told", async || {
        process.log_count("http.admin_token") > told
    })
    .await;
    let log = process.log_text();
    assert!(!log.contains("hunter2"), "{log}");
}
