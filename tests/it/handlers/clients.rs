//! The libraries for handlers, run by Gleaner itself, and their own tests.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use gleaner::handlers::command::Pool;
use gleaner::handlers::command::options::Options;
use gleaner::handlers::{Answer, Failure, Runner as _};
use gleaner::secret::Secret;
use serde_json::{Value, json};

use super::{item, pool, root, run, told, tool};

/// The same handler, whatever the language: `a` is added to; other rows ask for other outcomes.
const SYNC: &str = "
from gleaner_worker import *
@handler
def work(row):
    print('working', row)
    if row.get('snooze'): snooze(row['snooze'], 'quota', whole_workflow=True)
    if row.get('filter'): filtered(row['filter'])
    if row.get('fail'): fail(row['fail'], retry=False)
    if row.get('throw'): raise ValueError(row['throw'])
    return {'b': row['a'] + 1, 'key': current().key}
run()
";

const ASYNC: &str = "
import asyncio
from gleaner_worker import *
@handler
async def work(row):
    await asyncio.sleep(0)
    if row.get('snooze'): snooze(row['snooze'], 'quota', whole_workflow=True)
    if row.get('filter'): filtered(row['filter'])
    if row.get('fail'): fail(row['fail'], retry=False)
    if row.get('throw'): raise ValueError(row['throw'])
    return {'b': row['a'] + 1, 'key': current().key}
run()
";

const BATCH: &str = "
from gleaner_worker import *
@handler(batch=50, items=True)
def work(items):
    def one(item):
        row = item.columns
        if row.get('snooze'): return Snooze(row['snooze'], 'quota', whole_workflow=True)
        if row.get('filter'): return Filtered(row['filter'])
        if row.get('fail'): return Fail(row['fail'], retry=False)
        if row.get('throw'): return ValueError(row['throw'])
        return {'b': row['a'] + 1, 'key': item.key}
    return [one(item) for item in items]
run()
";

const NODE: &str = "
import { run, snooze, filtered, fail } from 'LIBRARY';
await run(async (row, item) => {
    console.log('working', row);
    if (row.snooze) snooze(row.snooze, 'quota', { wholeWorkflow: true });
    if (row.filter) filtered(row.filter);
    if (row.fail) fail(row.fail, { retry: false });
    if (row.throw) throw new TypeError(row.throw);
    return { b: row.a + 1, key: item.key };
});
";

fn python(source: &str, folder: &Path) -> Option<Options> {
    let python = tool("python3")?;
    let file = folder.join("work.py");
    std::fs::write(&file, source).expect("a file");
    let mut options = Options::of(vec![python, file.display().to_string()]);
    let library = root().join("clients/python/src").display().to_string();
    options.env = [("PYTHONPATH".to_owned(), Secret::new(&library))].into();
    Some(options)
}

fn node(source: &str, folder: &Path) -> Option<Options> {
    let node = tool("node")?;
    let file = folder.join("work.mjs");
    let library = format!("file://{}", root().join("clients/node/index.js").display());
    std::fs::write(&file, source.replace("LIBRARY", &library)).expect("a file");
    Some(Options::of(vec![node, file.display().to_string()]))
}

async fn behaves(pool: &Pool) {
    let rows = (0..300).map(|at| {
        let item = item(format!("k{at}"), &json!({ "a": at }));
        pool.run(item)
    });
    for (at, answer) in join_all(rows).await.into_iter().enumerate() {
        let Ok(Answer::Completed(columns)) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(
            told(&columns),
            json!({ "b": at + 1, "key": format!("k{at}") })
        );
    }
    let (snoozed, filtered, failed, threw) = tokio::join!(
        run(pool, json!({ "snooze": 60 })),
        run(pool, json!({ "filter": "empty" })),
        run(pool, json!({ "fail": "gone" })),
        run(pool, json!({ "throw": "odd" })),
    );
    let snooze = Failure::Snooze {
        after: Duration::from_secs(60),
        reason: "quota".to_owned(),
        whole_workflow: true,
    };
    assert_eq!(snoozed.unwrap_err(), snooze);
    assert_eq!(filtered.unwrap(), json!({ "filtered": "empty" }));
    let permanent = Failure::Permanent {
        class: "handler",
        message: "gone".to_owned(),
    };
    assert_eq!(failed.unwrap_err(), permanent);
    let Err(Failure::Retry {
        class: "handler",
        message,
        after: None,
    }) = threw
    else {
        panic!("{threw:?}");
    };
    assert!(message.contains("Error: odd"), "{message}");
    pool.close(Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_works_rows_one_by_one_in_threads_in_tasks_and_in_batches() {
    for (source, processes, in_flight, batch) in [
        (SYNC, 1, 1, 1),
        (SYNC, 2, 4, 1),
        (ASYNC, 1, 16, 1),
        (BATCH, 2, 2, 100),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut options) = python(source, folder.path()) else {
            return;
        };
        (options.processes, options.in_flight, options.batch) = (processes, in_flight, batch);
        behaves(&pool(options)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_works_rows() {
    for in_flight in [1, 16] {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut options) = node(NODE, folder.path()) else {
            return;
        };
        options.in_flight = in_flight;
        behaves(&pool(options)).await;
    }
}

/// A row that takes too long is stopped where its handler hears of it, and the process lives on.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_handlers_that_listen() {
    let sync = "
from gleaner_worker import *
import os, time
def work(row):
    while row['wait'] and not cancelled():
        time.sleep(0.01)
    if row['wait']: fail('stopped')
    return {'pid': os.getpid()}
run(work)
";
    let tasks = "
from gleaner_worker import *
import asyncio, os
async def work(row):
    if row['wait']: await asyncio.sleep(600)
    return {'pid': os.getpid()}
run(work)
";
    let script = "
import { run } from 'LIBRARY';
await run(async (row, item) => {
    if (row.wait) await new Promise((_, no) => item.signal.addEventListener('abort', () => no(new Error('stopped'))));
    return { pid: process.pid };
});
";
    let folder = tempfile::tempdir().unwrap();
    let handlers = [
        (python(sync, folder.path()), 1),
        (python(sync, folder.path()), 2),
        (node(script, folder.path()), 2),
    ];
    let tasks_folder = tempfile::tempdir().unwrap();
    let handlers = handlers
        .into_iter()
        .chain([(python(tasks, tasks_folder.path()), 2)]);
    for (options, in_flight) in handlers {
        let Some(mut options) = options else {
            return;
        };
        options.in_flight = in_flight;
        options.timeout = Duration::from_secs(1);
        options.stop_timeout = Duration::from_secs(30);
        let pool = pool(options);
        let before = run(&pool, json!({ "wait": false })).await.unwrap();
        let stopped = run(&pool, json!({ "wait": true })).await.unwrap_err();
        let Failure::Retry {
            class: "handler_timeout",
            message,
            ..
        } = stopped
        else {
            panic!("{stopped:?}");
        };
        assert!(message.contains("stopped"), "{message}");
        let after = run(&pool, json!({ "wait": false })).await.unwrap();
        assert_eq!(before, after);
        pool.close(Duration::from_secs(20)).await;
    }
}

/// Runs a command in a folder of ours, which has to succeed.
fn succeeds(command: &mut Command) -> Value {
    let output = command.output().expect("a program that is here");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    json!(text)
}

#[test]
fn the_python_library_passes_its_own_tests() {
    let Some(python) = tool("python3") else {
        return;
    };
    let mut command = Command::new(python);
    command
        .args(["-m", "unittest", "discover", "-t", ".", "-s", "tests"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(root().join("clients/python"));
    let text = succeeds(&mut command);
    assert!(
        text.as_str().is_some_and(|text| text.contains("OK")),
        "{text}"
    );
}

#[test]
fn the_javascript_library_passes_its_own_tests() {
    let Some(node) = tool("node") else {
        return;
    };
    let mut command = Command::new(node);
    command
        .args(["--test", "test/"])
        .current_dir(root().join("clients/node"));
    let text = succeeds(&mut command);
    let text = text.as_str().unwrap_or_default();
    assert!(
        text.contains("# fail 0") && !text.contains("# pass 0"),
        "{text}"
    );
}
