//! `kill -9` of one of two processes that read documents, again and again: in the queue, in the middle of a file, while it is stored.
//!
//! What was begun is read from a journal that the readers themselves write outside, what came of it from the database and the files.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::support::database::TestDatabase;
use crate::support::process::{ConfigFile, Process};
use crate::support::readers;
use crate::support::wait::wait_until_by;
use crate::support::{alone, let_pass, seed};

const KILLS: usize = 20;
const DOCUMENTS: usize = 160;
const TENANTS: usize = 4;
/// Work orphaned by a crash is free again within this, at the default lease.
const RESCUE: Duration = Duration::from_secs(15);
const FAILED: &str = "SELECT count(*) FROM documents WHERE process_status = 'Error'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_neither_lost_nor_doubled_by_twenty_kills() {
    let _alone = alone().await;
    let mut chance = StdRng::seed_from_u64(seed());
    let folder = tempfile::Builder::new()
        .prefix("gleaner-chaos-")
        .tempdir_in("/tmp")
        .unwrap();
    let (files, journal) = (folder.path().join("files"), folder.path().join("journal"));
    // It notes that it was started, and takes its time.
    let before = format!("echo begun >> {}\n/bin/sleep 0.3", journal.display());
    let reader = readers::script(folder.path(), &before);
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let mut texts = HashMap::new();
    // They fetch nothing, so this is nobody's.
    let web = SocketAddr::from(([127, 0, 0, 1], 9));
    let more = format!(
        "[documents]\nstorage = \"{}\"\n[workflows.document-processing.options]\nreader = \"{reader}\"\n",
        files.display()
    );
    let start = async |name: &str| {
        let config = ConfigFile::with(name, database.url(), web, &more);
        Process::start(&config).await
    };
    let mut processes = vec![start("first").await, start("second").await];
    let (mut hits, mut worst) = (0, Duration::ZERO);
    let mut watches = JoinSet::new();
    for round in 0..KILLS {
        fill(&client, &files, round, &mut texts).await;
        let victim = processes.remove(chance.random_range(0..processes.len()));
        let leases = wait_at_work(&client, victim.pid()).await;
        // In the middle of a file, or as it is stored, or between two.
        let_pass(Duration::from_millis(chance.random_range(0..700))).await;
        victim.kill().await;
        let killed = Instant::now();
        hits += usize::from(held(&client, &leases).await > 0);
        let watcher = database.client().await;
        watches.spawn(async move { until_free(&watcher, &leases, killed).await });
        processes.push(start(&format!("after-{round}")).await);
    }
    while let Some(freed) = watches.join_next().await {
        worst = worst.max(freed.unwrap());
    }
    println!(
        "{hits} of {KILLS} kills hit documents in hand; free again after {worst:.1?} at worst"
    );
    assert!(
        hits >= KILLS / 3,
        "too few kills hit work ({hits}) for this to prove anything"
    );
    let left =
        "SELECT count(*) FROM documents WHERE status <> 'ready' OR process_lease IS NOT NULL";
    wait_until_by(
        "all documents are ready",
        Duration::from_secs(180),
        async || count(&client, left).await == 0 || count(&client, FAILED).await > 0,
    )
    .await;
    assert_none_failed(&client).await;

    // Each once, with its own text, and the accounts to the byte.
    let rows = client
        .query(
            "SELECT filename, (SELECT string_agg(text, E'\\f' ORDER BY number) FROM document_page WHERE document_id = documents.id), \
                 total_chunks::bigint, (SELECT count(*) FROM chunk WHERE document_id = documents.id), \
                 (SELECT count(*) FROM attempt WHERE item_id = documents.id AND stage = 'documents/process' AND outcome = 'completed') \
             FROM documents",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), DOCUMENTS);
    for row in &rows {
        let (name, text): (String, String) = (row.get(0), row.get(1));
        assert_eq!(text.trim(), texts[&name].trim(), "{name}");
        let (told, stored, completed): (i64, i64, i64) = (row.get(2), row.get(3), row.get(4));
        assert!(
            told > 0 && told == stored,
            "{name}: {told} pieces, {stored} stored"
        );
        assert_eq!(completed, 1, "{name}");
    }
    let off = "SELECT count(*) FROM tenant WHERE reserved_bytes <> 0 OR used_bytes <> \
               (SELECT sum(bytes) FROM blob WHERE tenant_id = tenant.id AND refs > 0)";
    assert_eq!(count(&client, off).await, 0);
    // Begun outside as often as attempts say, or once more where the process died before it could start one.
    let begun = std::fs::read_to_string(&journal).unwrap().lines().count();
    let attempts = "SELECT count(*) FROM attempt WHERE stage = 'documents/process'";
    let attempts = usize::try_from(count(&client, attempts).await).unwrap();
    println!("{begun} readers were started for {attempts} attempts at {DOCUMENTS} documents");
    assert!(
        (DOCUMENTS..=attempts).contains(&begun),
        "{begun} of {attempts}"
    );
    wait_until_by("no reader is left", RESCUE, async || {
        readers::count(&reader) == 0
    })
    .await;
    for process in processes {
        process.kill().await;
    }
}

/// The documents of a round, with their tenants and files; their texts by name.
///
/// The file lies there before its row does, as with every upload: a reader is fast enough to miss it otherwise.
async fn fill(client: &Client, files: &Path, round: usize, texts: &mut HashMap<String, String>) {
    for number in round * DOCUMENTS / KILLS..(round + 1) * DOCUMENTS / KILLS {
        let tenant = format!("tenant-{}", number % TENANTS);
        let words = "The kettle boils, and the pot is made of copper. ".repeat(40 + number);
        let (name, text) = (format!("{number}.txt"), format!("{number} {words}\n"));
        let sha256: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = text.len();
        client
            .batch_execute(&format!(
                "INSERT INTO tenant (name) VALUES ('{tenant}') ON CONFLICT DO NOTHING"
            ))
            .await
            .unwrap();
        let uid: String = client
            .query_one("SELECT uid::text FROM tenant WHERE name = $1", &[&tenant])
            .await
            .unwrap()
            .get(0);
        let shelf = files.join(uid).join(hex.get(..2).unwrap());
        std::fs::create_dir_all(&shelf).unwrap();
        std::fs::write(shelf.join(&hex), &text).unwrap();
        client
            .batch_execute(&format!(
                "UPDATE tenant SET used_bytes = used_bytes + {bytes} WHERE name = '{tenant}';
                 INSERT INTO blob (tenant_id, sha256, bytes, refs) SELECT id, '\\x{hex}', {bytes}, 1 FROM tenant WHERE name = '{tenant}';
                 INSERT INTO documents (tenant_id, filename, original_filename, file_size, sha256, process_status)
                     SELECT id, '{name}', '{name}', {bytes}, '\\x{hex}', 'Queued' FROM tenant WHERE name = '{tenant}'"
            ))
            .await
            .unwrap();
        texts.insert(name, text);
    }
}

/// No kill makes a document fail; if one has, says why.
async fn assert_none_failed(client: &Client) {
    let failed = client
        .query(
            "SELECT filename, process_attempts, process_error FROM documents WHERE process_status = 'Error'",
            &[],
        )
        .await
        .unwrap();
    let told: Vec<String> = failed
        .iter()
        .map(|row| {
            let (name, attempts, error): (String, i16, Option<String>) =
                (row.get(0), row.get(1), row.get(2));
            format!("{name} at attempt {attempts}: {error:?}")
        })
        .collect();
    assert!(told.is_empty(), "{told:#?}");
}

/// The leases of a process, once it has documents in hand; or without, after a while, as the other may have taken all.
async fn wait_at_work(client: &Client, pid: i32) -> Vec<i64> {
    let since = Instant::now();
    loop {
        let leases = leases_of(client, pid).await;
        if held(client, &leases).await > 0 || since.elapsed() > Duration::from_secs(3) {
            return leases;
        }
        let_pass(Duration::from_millis(20)).await;
    }
}

async fn leases_of(client: &Client, pid: i32) -> Vec<i64> {
    let leases = client
        .query(
            "SELECT lease.id FROM lease JOIN node ON node.id = node_id WHERE pid = $1",
            &[&pid],
        )
        .await
        .unwrap();
    leases.iter().map(|row| row.get(0)).collect()
}

/// Documents in the hands of these.
async fn held(client: &Client, leases: &[i64]) -> i64 {
    client
        .query_one(
            "SELECT count(*) FROM documents WHERE process_lease = ANY ($1)",
            &[&leases],
        )
        .await
        .unwrap()
        .get(0)
}

/// How long it takes until none is in these hands any more.
async fn until_free(client: &Client, leases: &[i64], killed: Instant) -> Duration {
    while held(client, leases).await > 0 {
        assert!(killed.elapsed() < RESCUE * 8, "its documents are not freed");
        let_pass(Duration::from_millis(50)).await;
    }
    killed.elapsed()
}

async fn count(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}
