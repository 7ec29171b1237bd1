//! Uploads larger than the memory that they may take. What kills do to uploads: `phases`.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::net::SocketAddr;

use bytes::Bytes;
use tempfile::TempDir;

use crate::support::account::{Account, form};
use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::process::{ConfigFile, Process};

/// What the process that receives two gigabytes may take of memory, in KiB: as much as it may take at all.
const MOST_MEMORY: u64 = 150 * 1_024;
const TWO_GIGABYTES: usize = 2_000_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gigabytes_are_received_in_little_memory() {
    let _alone = alone().await;
    let database = TestDatabase::new().await;
    let storage = TempDir::new().unwrap();
    let account = Account::create(&database, "a", 1 << 40).await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let more = format!(
        "[documents]\nstorage = {:?}\nmax_file_bytes = {}\n",
        storage.path().display().to_string(),
        3_u64 << 30
    );
    let config = ConfigFile::with("uploads", database.url(), nowhere, &more);
    let process = Process::start(&config).await;
    let before = memory(process.pid());
    let piece = Bytes::from("a line of text, and another word\n".repeat(32_768));
    let pieces = TWO_GIGABYTES / piece.len();
    let bytes = pieces * piece.len();
    let body = form("large.txt", std::iter::repeat_n(piece, pieces));
    let at = format!("http://{}", process.address());
    let answer = account.upload(&at, "large", body).await;
    let (status, answer) = answer.unwrap();
    assert_eq!(status, 201, "{answer}");
    let after = memory(process.pid());
    println!("{bytes} bytes received: at most {after} KiB of memory, {before} KiB before");
    assert!(after < MOST_MEMORY, "{after} KiB");
    let size = database.count("SELECT file_size FROM documents").await;
    assert_eq!(usize::try_from(size).unwrap(), bytes);
}

/// The most memory that a process has had, in KiB.
fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
