//! The HTTP port under clients that mean no good: what they send costs next to nothing before it is known who they are, little
//! after that, and never the health checks, the leases or the other clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::process::{ConfigFile, Process};
use crate::support::siege::{Seen, Shape, connect, flood, hold, send, under, wait_cut_off};
use crate::support::wait::wait_until_by;

/// The largest body that the bots' API takes.
const LARGEST: usize = 8 << 20;
/// The token of the bot `ann`.
const TOKEN: &str = "correct horse";
/// As many as a port has places for.
const CONNECTIONS: usize = 256;
/// The most that its memory may grow by, in MiB.
const MOST_MIB: u64 = 150;

/// A program that works its workflows and serves bots, and a bot that it knows.
async fn start() -> (Process, TestDatabase) {
    let database = TestDatabase::new().await;
    database
        .run(&format!(
            "INSERT INTO bot (bot_id, token_hash, rate_limit_per_minute) VALUES ('ann', sha256('{TOKEN}'), 1000000)"
        ))
        .await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let config = ConfigFile::new("besieged", database.url(), nowhere);
    let process = Process::start(&config).await;
    process.wait_ready(Duration::from_secs(60)).await;
    (process, database)
}

#[track_caller]
fn assert_unmoved(what: &str, seen: &Seen) {
    println!("{what}: {seen:?}");
    assert_eq!(seen.unhealthy, Vec::<String>::new(), "{what}");
    assert!(seen.health < Duration::from_secs(1), "{what}: {seen:?}");
    assert!(seen.grown_mib < MOST_MIB, "{what}: {seen:?}");
}

/// A pull of the bot that is known, which comes again where it is told to; how long it took to be answered with 200.
async fn pull(process: &Process, from: u8) -> Duration {
    let body = json!({"bot_id": "ann", "api_token": TOKEN}).to_string();
    let head = format!(
        "POST /api/crawl/pull/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let start = Instant::now();
    wait_until_by(
        "the pull is answered",
        Duration::from_secs(60),
        async || {
            let status = send(process.address(), from, &head, body.as_bytes()).await;
            assert!([200, 503].contains(&status), "{status}");
            status == 200
        },
    )
    .await;
    start.elapsed()
}

/// So much of `part`, as often as it fits, between two texts; `#` in it counts up.
fn filled(before: &str, part: &str, after: &str) -> Vec<u8> {
    let mut body = before.as_bytes().to_vec();
    let room = LARGEST - after.len() - 16;
    for at in 0_u32.. {
        let part = part.replace('#', &at.to_string());
        if body.len() + part.len() > room {
            break;
        }
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(after.as_bytes());
    body
}

/// The same in chunks, without a word of its length.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for part in body.chunks(4096) {
        text.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        text.extend_from_slice(part);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\n\r\n");
    text
}

/// So many connections send this at once, and nothing is moved by it; each is answered with one of these.
async fn assert_withstands(
    process: &Process,
    database: &TestDatabase,
    connections: usize,
    shape: &Shape,
    answers: &[u16],
) {
    let siege = flood(process.address(), connections, shape);
    let (seen, statuses) = under(process, database, siege).await;
    println!("{}: {statuses:?}", shape.name);
    assert_unmoved(shape.name, &seen);
    assert!(
        statuses.iter().all(|(status, _)| answers.contains(status)),
        "{}: {statuses:?}",
        shape.name
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_strangers_cost_next_to_nothing() {
    let _alone = alone().await;
    let (process, database) = start().await;
    let keys = || filled("{", "\"#\":0,", "\"z\":0}");
    let guess = "{\"bot_id\":\"ann\",\"api_token\":\"guess\",";
    let mut unasked = Shape::post("chunks", "submit/", "", chunked(&keys()));
    unasked.head =
        "POST /api/crawl/submit/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_owned();
    let shapes = [
        (
            CONNECTIONS,
            Shape::post("short keys", "submit/", "", keys()),
        ),
        (
            CONNECTIONS,
            Shape::post(
                "a wrong token",
                "submit/",
                "",
                filled(guess, "\"#\":0,", "\"z\":0}"),
            ),
        ),
        (
            32,
            Shape::post(
                "a wrong token in the header",
                "submit-batch/",
                "Authorization: Bearer guess\r\n",
                keys(),
            ),
        ),
        (
            32,
            Shape::post(
                "one text",
                "submit/",
                "",
                filled("{\"raw_html\":\"", "xxxxxxxxxxxxxxxx", "\"}"),
            ),
        ),
        (
            32,
            Shape::post("one key", "submit/", "", filled("{\"", "\\u0041", "\":0}")),
        ),
        (
            32,
            Shape::post(
                "depth",
                "submit/",
                "",
                filled("{\"parsed_data\":", "[[[[[[[[", "}"),
            ),
        ),
        (
            32,
            Shape::post(
                "one field over and over",
                "submit/",
                "",
                filled("{", "\"api_token\":\"\",", "\"z\":0}"),
            ),
        ),
        (
            32,
            Shape::post(
                "a field of lists",
                "submit-batch/",
                "",
                filled("{\"results\":[", "{},", "{}]}"),
            ),
        ),
        (
            32,
            Shape::post(
                "what looks packed",
                "submit/",
                "Content-Encoding: gzip\r\n",
                filled("\u{1f}\u{8b}\u{8}", "aaaaaaaa", ""),
            ),
        ),
        (64, Shape::post("a pull", "pull/", "", keys())),
        (
            32,
            Shape::post(
                "a heartbeat",
                "heartbeat/",
                "",
                filled("{\"jobs\":[", "{\"job_id\":#},", "{}]}"),
            ),
        ),
        (32, unasked),
    ];
    for (connections, shape) in shapes {
        assert_withstands(
            &process,
            &database,
            connections,
            &shape,
            &[0, 400, 401, 413, 503],
        )
        .await;
    }
    assert!(pull(&process, 1).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_that_is_known_cannot_fill_the_memory_either() {
    let _alone = alone().await;
    let (process, database) = start().await;
    let submit = format!(
        "{{\"bot_id\":\"ann\",\"api_token\":\"{TOKEN}\",\"job_id\":1,\"success\":false,\"parsed_data\":"
    );
    let batch = format!("{{\"bot_id\":\"ann\",\"api_token\":\"{TOKEN}\",\"results\":[");
    let one = format!(
        "{{\"job_id\":1,\"success\":false,\"parsed_data\":[{}0]}},",
        "0,".repeat(40_000)
    );
    let shapes = [
        Shape::post(
            "numbers",
            "submit/",
            "",
            filled(&format!("{submit}["), "0,", "0]}"),
        ),
        Shape::post(
            "objects",
            "submit/",
            "",
            filled(&format!("{submit}["), "{},", "0]}"),
        ),
        Shape::post(
            "keys",
            "submit/",
            "",
            filled(&format!("{submit}{{"), "\"#\":0,", "\"z\":0}}"),
        ),
        Shape::post(
            "NUL",
            "submit/",
            "",
            filled(&format!("{submit}\""), "\\u0000", "\"}"),
        ),
        Shape::post(
            "pages",
            "submit/",
            "",
            filled(&format!("{submit}0,\"raw_html\":\""), "\\u003c", "\"}"),
        ),
        Shape::post(
            "a batch of numbers",
            "submit-batch/",
            "",
            filled(&batch, &one, "{}]}"),
        ),
        Shape::post(
            "a batch of nothing",
            "submit-batch/",
            "",
            filled(&batch, "{},", "{}]}"),
        ),
    ];
    for shape in shapes {
        assert_withstands(&process, &database, 24, &shape, &[200, 400, 404, 503]).await;
    }
    assert!(pull(&process, 1).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_connections_keeps_nobody_out() {
    let _alone = alone().await;
    let (process, database) = start().await;
    let head = "POST /api/crawl/submit/ HTTP/1.1\r\nHost: localhost\r\n";
    let begun = format!("{head}Content-Length: {LARGEST}\r\n\r\n{{\"bot_id\"");
    let unfinished = [begun.as_bytes(), &vec![b' '; LARGEST - 10]].concat();
    for (what, connections, text) in [
        ("half a head", 385, head.as_bytes().to_vec()),
        ("silence", 385, Vec::new()),
        ("a body begun", 300, begun.clone().into_bytes()),
        ("a body that lacks one byte", 120, unfinished),
        (
            "a head of the old kind",
            300,
            b"POST /api/crawl/pull/ HTTP/1.0\r\nContent-Length: 99\r\n\r\n{".to_vec(),
        ),
        (
            "a request, and then nothing",
            300,
            b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        ),
    ] {
        let text: Arc<[u8]> = text.into();
        let siege = async {
            let held = hold(process.address(), 1, connections, &text).await;
            // From the address that holds all it can get, and from another.
            let waits = [pull(&process, 1).await, pull(&process, 2).await];
            (held, waits)
        };
        let (seen, (held, waits)) = under(&process, &database, siege).await;
        println!("{what}: pulls after {waits:?}");
        assert_unmoved(what, &seen);
        assert!(
            waits.iter().all(|wait| *wait < Duration::from_secs(3)),
            "{what}: {waits:?}"
        );
        drop(held);
    }
}

/// Who sends by the byte, or never reads what it is answered, is hung up on, and not only after minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_makes_no_progress_is_cut_off() {
    let _alone = alone().await;
    let (process, database) = start().await;
    let unread: Arc<[u8]> = "GET /api/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        .repeat(2_000)
        .into_bytes()
        .into();
    let begun: Arc<[u8]> = format!(
        "POST /api/crawl/submit/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LARGEST}\r\n\r\n{{"
    )
    .into_bytes()
    .into();
    let siege = async {
        let mut held = hold(process.address(), 3, 60, &unread).await;
        let mut slow = hold(process.address(), 4, 60, &begun).await;
        let start = Instant::now();
        // A byte now and then is no progress.
        wait_cut_off(&mut slow, Duration::from_secs(60)).await;
        println!("slow bodies were cut off after {:?}", start.elapsed());
        wait_cut_off(&mut held, Duration::from_secs(60)).await;
        println!(
            "those that read nothing were cut off after {:?}",
            start.elapsed()
        );
    };
    let (seen, ()) = under(&process, &database, siege).await;
    assert_unmoved("no progress", &seen);
}

/// Pulls that wait fill their own places only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulls_that_wait_keep_nobody_out() {
    let _alone = alone().await;
    let (process, database) = start().await;
    let body = json!({"bot_id": "ann", "api_token": TOKEN, "wait_seconds": 30}).to_string();
    let text = format!(
        "POST /api/crawl/pull/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let text: Arc<[u8]> = text.into_bytes().into();
    let siege = async {
        let held = hold(process.address(), 1, 300, &text).await;
        let waits = [pull(&process, 1).await, pull(&process, 2).await];
        (held, waits)
    };
    let (seen, (held, waits)) = under(&process, &database, siege).await;
    assert_unmoved("pulls that wait", &seen);
    assert!(
        waits.iter().all(|wait| *wait < Duration::from_secs(3)),
        "{waits:?}"
    );
    drop(held);
    drop(connect(process.address(), 5).await);
}
