//! Handlers that do what they should not: an error that names it, charged to whom it belongs, and nothing left behind.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use gleaner::handlers::command::options::Options;
use gleaner::handlers::{Failure, OnProgress, Progress, Runner as _};
use serde_json::{Value, json};

use super::{GLEANER, is_alive, item, pool, rogue_command, rogue_options, run, tool};
use crate::support::{PATIENCE, wait_until};

const CLOSE: Duration = Duration::from_secs(20);

fn class_and_message(failure: Failure) -> (&'static str, String) {
    match failure {
        Failure::Retry { class, message, .. } => (class, message),
        other => panic!("{other:?}"),
    }
}

/// What a handler does over a row that was alone with it, and what is said of it.
#[tokio::test(flavor = "multi_thread")]
async fn each_misdeed_is_named_and_the_next_row_is_worked() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    options.timeout = Duration::from_secs(60);
    let pool = pool(options);
    for (misdeed, class, said) in [
        ("rubbish", "handler_protocol", "\"rubbish \u{fffd}[2J\""),
        ("deep", "handler_protocol", "levels"),
        ("long", "handler_protocol", "more than 8388608 bytes"),
        ("hello", "handler_protocol", "hello where an answer was due"),
        ("not given", "handler_protocol", "which it was never given"),
        ("close", "handler_crash", "shut its pipes and went on"),
        (
            "crash",
            "handler_crash",
            "signal 11, SIGSEGV; the last it printed: about to crash",
        ),
        ("leave", "handler_crash", "it left with exit code 0"),
        (
            "fork and leave",
            "handler_crash",
            "it left with exit code 3",
        ),
    ] {
        let failure = run(&pool, json!({ "do": misdeed })).await.unwrap_err();
        let (found, message) = class_and_message(failure);
        assert_eq!(found, class, "{misdeed}: {message}");
        assert!(message.contains(said), "{misdeed}: {message}");
        let next = run(&pool, json!({ "do": "ok", "echo": misdeed })).await;
        assert_eq!(next.unwrap()["echo"], misdeed);
    }
    pool.close(CLOSE).await;
}

/// The first answer stands; the second is the process's end, and nobody is charged: what is in hand by then is another row.
#[tokio::test(flavor = "multi_thread")]
async fn who_answers_twice_is_ended_and_no_row_is_charged() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    options.batch = 2;
    let pool = pool(options);
    let mut pids = BTreeSet::new();
    for _ in 0..3 {
        let (twice, beside) = tokio::join!(
            run(&pool, json!({ "do": "twice" })),
            run(&pool, json!({ "do": "ok" }))
        );
        assert!(twice.is_ok());
        pids.insert(beside.unwrap()["pid"].as_i64());
    }
    // Each ran in another process.
    assert_eq!(pids.len(), 3);
    pool.close(CLOSE).await;
}

/// Of several in hand each is tried again alone; who breaks its process then is charged, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_charged_to_the_row_that_does_it_alone() {
    for (in_flight, batch) in [(8, 1), (1, 8), (2, 4)] {
        let Some(mut options) = rogue_options() else {
            return;
        };
        options.in_flight = in_flight;
        options.batch = batch;
        let pool = pool(options);
        let deeds = ["ok", "ok", "crash", "ok", "rubbish", "ok", "ok", "ok"];
        let runs = deeds.iter().enumerate().map(|(at, deed)| {
            let row = json!({ "do": deed, "echo": at });
            let pool = &pool;
            async move { run(pool, row).await }
        });
        for ((at, deed), answer) in deeds.iter().enumerate().zip(join_all(runs).await) {
            match (*deed, answer) {
                ("ok", Ok(answer)) => assert_eq!(answer["echo"], at),
                (deed, Err(failure)) if deed != "ok" => {
                    let (class, _) = class_and_message(failure);
                    let expected = if deed == "crash" {
                        "handler_crash"
                    } else {
                        "handler_protocol"
                    };
                    assert_eq!(class, expected);
                }
                (deed, answer) => panic!("{at} {deed} {in_flight} {batch}: {answer:?}"),
            }
        }
        pool.close(CLOSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_is_told_to_stop_and_then_killed() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    options.timeout = Duration::from_millis(300);
    options.stop_timeout = Duration::from_millis(300);
    let pool = pool(options);
    let before = run(&pool, json!({ "do": "ok" })).await.unwrap();
    let stopped = run(&pool, json!({ "do": "until cancelled" }))
        .await
        .unwrap_err();
    let (class, message) = class_and_message(stopped);
    assert_eq!(class, "handler_timeout");
    assert!(
        message.contains("longer than 300ms") && message.ends_with("stopped"),
        "{message}"
    );
    // It did as it was told, and lives on.
    let after = run(&pool, json!({ "do": "ok" })).await.unwrap();
    assert_eq!(before["pid"], after["pid"]);
    let hung = run(&pool, json!({ "do": "hang" })).await.unwrap_err();
    let (class, message) = class_and_message(hung);
    assert_eq!(class, "handler_timeout");
    assert!(message.contains("did not stop"), "{message}");
    assert!(!is_alive(&before["pid"]));
    let next = run(&pool, json!({ "do": "ok" })).await.unwrap();
    assert_ne!(next["pid"], before["pid"]);
    pool.close(CLOSE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_nobody_waits_for_any_more_is_stopped() {
    let Some(options) = rogue_options() else {
        return;
    };
    let pool = pool(options);
    let before = run(&pool, json!({ "do": "ok" })).await.unwrap();
    let forsaken = run(&pool, json!({ "do": "until cancelled" }));
    // It is in hand once nothing waits.
    let handed_out = wait_until("it is handed out", async || pool.load().waiting == 0);
    tokio::select! {
        biased;
        answer = forsaken => panic!("{answer:?}"),
        () = async { tokio::task::yield_now().await; handed_out.await } => {}
    }
    let after = run(&pool, json!({ "do": "ok" })).await.unwrap();
    assert_eq!(before["pid"], after["pid"]);
    pool.close(CLOSE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_stays_out_of_the_protocol_however_much_it_is() {
    let Some(options) = rogue_options() else {
        return;
    };
    let pool = pool(options);
    assert!(run(&pool, json!({ "do": "print" })).await.is_ok());
    assert!(run(&pool, json!({ "do": "flood" })).await.is_ok());
    let crashed = run(&pool, json!({ "do": "crash" })).await.unwrap_err();
    let (_, message) = class_and_message(crashed);
    // The end of it, and no more.
    assert!(message.len() < 4_096, "{}", message.len());
    assert!(message.ends_with("about to crash"), "{message}");
    pool.close(CLOSE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_handler_has_started_ends_with_it() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    options.recycle_after_items = 2;
    let pool = pool(options);
    let first = run(&pool, json!({ "do": "orphan" })).await.unwrap();
    assert!(is_alive(&first["orphan"]));
    let second = run(&pool, json!({ "do": "orphan" })).await.unwrap();
    assert_eq!(first["pid"], second["pid"]);
    // Recycled in good order.
    let third = run(&pool, json!({ "do": "orphan" })).await.unwrap();
    assert_ne!(first["pid"], third["pid"]);
    assert!(!is_alive(&first["orphan"]) && !is_alive(&second["orphan"]));
    // By a crash.
    run(&pool, json!({ "do": "crash" })).await.unwrap_err();
    assert!(!is_alive(&third["orphan"]));
    // With the pool.
    let last = run(&pool, json!({ "do": "orphan" })).await.unwrap();
    drop(pool);
    wait_until("all is gone", async || {
        !is_alive(&last["orphan"]) && !is_alive(&last["pid"])
    })
    .await;
}

/// Also when it has no time to see to it.
#[tokio::test(flavor = "multi_thread")]
async fn all_ends_with_gleaner_whatever_happens_to_it() {
    let Some(python) = tool("python3") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    // Of Gleaner; of the keeper alone, which takes the handler with it; of the handler.
    for victim in ["gleaner", "keeper", "pid"] {
        let file = folder.path().join(victim);
        let row = json!({ "do": "orphan and hang", "file": file }).to_string();
        let mut gleaner = tokio::process::Command::new(GLEANER)
            .args(["worker", "check", "--timeout", "60s", "--row", &row, "--"])
            .args(rogue_command(&python))
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        wait_until("the handler hangs", async || file.exists()).await;
        let pids: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert!(is_alive(&pids["pid"]) && is_alive(&pids["orphan"]) && is_alive(&pids["keeper"]));
        let target = match victim {
            "gleaner" => i64::from(gleaner.id().unwrap()),
            victim => pids[victim].as_i64().unwrap(),
        };
        let target = nix::unistd::Pid::from_raw(i32::try_from(target).unwrap());
        nix::sys::signal::kill(target, nix::sys::signal::Signal::SIGKILL).unwrap();
        wait_until("the handler is gone", async || !is_alive(&pids["pid"])).await;
        // An orphan that has left the group outlives a keeper that is killed, and nothing else.
        if victim == "keeper" {
            let orphan = i32::try_from(pids["orphan"].as_i64().unwrap()).unwrap();
            let orphan = nix::unistd::Pid::from_raw(orphan);
            nix::sys::signal::kill(orphan, nix::sys::signal::Signal::SIGKILL).unwrap_or_default();
        } else {
            wait_until("its orphan is gone", async || !is_alive(&pids["orphan"])).await;
        }
        gleaner.kill().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_and_growth_ends_a_process_in_good_order() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    options.limits.memory_bytes = Some(1 << 30);
    options.recycle_above_bytes = 200 << 20;
    let pool = pool(options);
    let eaten = run(&pool, json!({ "do": "memory", "bytes": 2_u64 << 30 }))
        .await
        .unwrap_err();
    let (class, message) = class_and_message(eaten);
    assert_eq!(class, "handler_crash");
    assert!(message.contains("MemoryError"), "{message}");
    let grown = run(&pool, json!({ "do": "memory", "bytes": 300 << 20 }))
        .await
        .unwrap();
    wait_until("it is replaced", async || !is_alive(&grown["pid"])).await;
    assert!(run(&pool, json!({ "do": "ok" })).await.is_ok());
    pool.close(CLOSE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_run_has_the_workflow_wait_and_says_why() {
    let Some(python) = tool("python3") else {
        return;
    };
    let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    for (words, said) in [
        (
            &["/nowhere/handler"][..],
            "/nowhere/handler: No such file or directory",
        ),
        (
            &["no-such-program"],
            "no-such-program: No such file or directory",
        ),
        (&["/etc/passwd"], "Permission denied"),
        (&["sleep", "600"], "no hello within 300ms"),
        (
            &["sh", "-c", "echo broken >&2; exit 3"],
            "exit code 3; the last it printed: broken",
        ),
        (&["sh", "-c", "echo hello >&4; sleep 600"], "\"hello\""),
        (
            &[
                "sh",
                "-c",
                "echo '{\"type\":\"hello\",\"version\":9}' >&4; sleep 600",
            ],
            "version 9",
        ),
        (
            &[
                "sh",
                "-c",
                "echo '{\"type\":\"results\",\"results\":[]}' >&4; sleep 600",
            ],
            "results where hello was due",
        ),
        (
            &["sh", "-c", "echo '{\"type\":\"hello\",\"version\":1}' >&4"],
            "before its first item",
        ),
        (
            &[&python, "-c", "import nonsense"],
            "No module named 'nonsense'",
        ),
    ] {
        let mut options = Options::of(command(words));
        let is_patient = words[0] == python;
        options.start_timeout = if is_patient {
            PATIENCE
        } else {
            Duration::from_millis(300)
        };
        let pool = pool(options);
        let failure = run(&pool, json!({})).await.unwrap_err();
        let Failure::Snooze {
            after,
            reason,
            whole_workflow: true,
        } = failure
        else {
            // One that comes up and leaves may have had the item in hand.
            let (class, message) = class_and_message(failure);
            assert_eq!(
                (class, said),
                ("handler_crash", "before its first item"),
                "{message}"
            );
            continue;
        };
        assert!(reason.contains(said), "{words:?}: {reason}");
        assert!(after > Duration::from_secs(3), "{after:?}");
        // Nothing is tried again meanwhile.
        let again = run(&pool, json!({})).await.unwrap_err();
        assert!(
            matches!(
                again,
                Failure::Snooze {
                    whole_workflow: true,
                    ..
                }
            ),
            "{again:?}"
        );
        pool.close(CLOSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_get_each_its_own_answer() {
    for (processes, in_flight, batch) in [(1, 1, 1), (2, 4, 1), (2, 1, 100), (3, 2, 7)] {
        let Some(mut options) = rogue_options() else {
            return;
        };
        options.processes = processes;
        options.in_flight = in_flight;
        options.batch = batch;
        options.recycle_after_items = 150;
        let pool = pool(options);
        let rows = (0..500).map(|at| run(&pool, json!({ "echo": at })));
        for (at, answer) in join_all(rows).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap()["echo"], at);
        }
        pool.close(CLOSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_too_large_are_refused_and_large_ones_go_in_several_lines() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    options.batch = 20;
    let pool = pool(options);
    let large = "x".repeat(1 << 20);
    let rows = (0..20).map(|at| run(&pool, json!({ "echo": at, "text": large })));
    for (at, answer) in join_all(rows).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap()["echo"], at);
    }
    let failure = run(&pool, json!({ "text": "x".repeat(8 << 20) }))
        .await
        .unwrap_err();
    assert!(
        matches!(
            failure,
            Failure::Permanent {
                class: "too_large",
                ..
            }
        ),
        "{failure:?}"
    );
    pool.close(CLOSE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told() {
    let Some(options) = rogue_options() else {
        return;
    };
    let pool = pool(options);
    let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let teller = Arc::clone(&told);
    let on_progress: OnProgress = Arc::new(move |progress| teller.lock().unwrap().push(progress));
    let mut item = item("a", &json!({ "do": "progress" }));
    item.on_progress = Some(on_progress);
    pool.run(item).await.unwrap();
    let expected = Progress {
        step: Some("half".to_owned()),
        done: Some(1),
        total: Some(2),
    };
    assert_eq!(*told.lock().unwrap(), [expected]);
    pool.close(CLOSE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_closed_finishes_what_is_in_hand() {
    let Some(mut options) = rogue_options() else {
        return;
    };
    options.timeout = Duration::from_millis(500);
    let pool = pool(options);
    let before = run(&pool, json!({ "do": "ok" })).await.unwrap();
    let in_hand = run(&pool, json!({ "do": "until cancelled" }));
    let waiting = run(&pool, json!({ "do": "ok" }));
    let close = async {
        wait_until("one is in hand", async || pool.load().waiting == 1).await;
        pool.close(CLOSE).await;
    };
    let (in_hand, waiting, ()) = tokio::join!(in_hand, waiting, close);
    assert_eq!(class_and_message(in_hand.unwrap_err()).0, "handler_timeout");
    for refused in [waiting, run(&pool, json!({})).await] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(
                refused,
                Failure::Snooze {
                    whole_workflow: false,
                    ..
                }
            ),
            "{refused:?}"
        );
    }
    assert!(!is_alive(&before["pid"]));
}

/// One that does not finish is ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_closed_waits_no_longer_than_it_is_told_to() {
    let Some(options) = rogue_options() else {
        return;
    };
    let pool = pool(options);
    let before = run(&pool, json!({ "do": "ok" })).await.unwrap();
    let hanging = run(&pool, json!({ "do": "hang" }));
    let close = async {
        wait_until("it is in hand", async || pool.load().waiting == 0).await;
        pool.close(Duration::from_millis(200)).await;
    };
    let (hanging, ()) = tokio::join!(hanging, close);
    assert!(matches!(hanging.unwrap_err(), Failure::Snooze { .. }));
    assert!(!is_alive(&before["pid"]));
}
