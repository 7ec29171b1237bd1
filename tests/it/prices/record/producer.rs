//! A producer in another language, as the guides have them: it knows `RPUSH` and nothing else of us.

use std::ffi::OsString;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::{results, site};
use crate::support::{TestDatabase, TestRedis, skip, wait_until};

/// With nothing but a socket.
const BY_SOCKET: &str = r#"
import socket, sys
host, port, entry = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
words = [b"RPUSH", b"crawl:auto_record:queue", entry]
with socket.create_connection((host, port), timeout=10) as server:
    server.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
    assert server.makefile("rb").readline().startswith(b":"), "refused"
"#;

/// With the library that the older service used; exit code 3 where it is not installed.
const BY_LIBRARY: &str = r#"
import sys
try:
    import redis
except ImportError:
    sys.exit(3)
assert redis.Redis(host=sys.argv[1], port=int(sys.argv[2])).rpush("crawl:auto_record:queue", sys.argv[3]) >= 1
"#;

/// The program itself, on this database and Redis.
fn program(database: &TestDatabase, redis: &TestRedis) -> Child {
    Command::new(env!("CARGO_BIN_EXE_gleaner"))
        .args([
            "run",
            "--only",
            "auto-record",
            "--database-url",
            database.url(),
        ])
        .env("GLEANER_REDIS__URL", redis.url())
        .env("GLEANER_HTTP__LISTEN", "")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// A Python that may have more than the one on the PATH.
#[expect(clippy::disallowed_methods, reason = "the tests' own setting")]
fn python() -> OsString {
    std::env::var_os("GLEANER_TEST_PYTHON").unwrap_or_else(|| "python3".into())
}

/// Runs a script with the place of the server and a result's key. Whether it could be run at all.
async fn push(script: &str, redis: &TestRedis, id: i64) -> bool {
    let url = redis.url();
    let (host, port) = url.trim_start_matches("redis://").split_once(':').unwrap();
    let ran = Command::new(python())
        .args(["-c", script, host, port, &id.to_string()])
        .output()
        .await;
    let Ok(ran) = ran else { return false };
    if ran.status.code() == Some(3) {
        return false;
    }
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_python_program_pushes_is_recorded() {
    let Some(redis) = TestRedis::start().await else {
        return;
    };
    let database = site(2).await;
    results(&database, 2).await;
    // So that PostgreSQL asks for nothing, and only the list does.
    database
        .run("UPDATE crawl_result SET auto_record_status = NULL")
        .await;
    let mut program = program(&database, &redis);
    let recorded = async |id: i64| {
        let sql = format!("SELECT count(*) FROM price_history WHERE crawl_result_id = {id}");
        database.count(&sql).await == 1
    };
    for (script, id, what) in [
        (BY_SOCKET, 1, "python3"),
        (BY_LIBRARY, 2, "the redis package of Python"),
    ] {
        assert!(!recorded(id).await, "nobody has asked for it");
        if push(script, &redis, id).await {
            wait_until("it is recorded", async || recorded(id).await).await;
        } else {
            skip(format_args!("{what} is not on this machine"));
        }
    }
    program.kill().await.unwrap();
}
