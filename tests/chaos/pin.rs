//! Somebody's transaction stays open under load: rows go on being worked at once, in their order, and its holder is named.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::database_faults::private_server_with;
use crate::support::database::TestDatabase;
use crate::support::journal::Journal;
use crate::support::process::{ConfigFile, Process, command};
use crate::support::rows::{add_pages, connect, wait_all_done};
use crate::support::wait::wait_until_by;
use crate::support::{alone, let_pass};

/// A row that comes before those that were worked already is found within this: some looks, on a machine that is busy.
const FOUND: Duration = Duration::from_secs(15);

async fn is_done(client: &Client, url: &str) -> bool {
    client
        .query_one(
            "SELECT curation_status = 'Completed' FROM page WHERE url = $1",
            &[&url],
        )
        .await
        .unwrap()
        .get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_forgotten_transaction_work_goes_on_in_order_and_its_holder_is_named() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let forgotten = database.client().await;
    forgotten
        .batch_execute(
            "SET application_name = 'forgotten psql'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1",
        )
        .await
        .unwrap();
    let pid: i32 = forgotten
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let file = ConfigFile::new("pinned", database.url(), journal.address);
    let mut process = Process::start(&file).await;

    // A stream of rows, so that there are many transactions since.
    let mut next = 1;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(14) {
        add_pages(&client, next, next + 4).await;
        next += 5;
        // The pace of the stream.
        let_pass(Duration::from_millis(25)).await;
    }
    wait_all_done(&client, Duration::from_secs(60)).await;
    wait_until_by("the holder is named", Duration::from_secs(20), async || {
        let (code, ready) = process.readiness().await;
        let named = ready["pinned_by"][0]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        code == 200 && named.contains(&pid.to_string()) && named.contains("forgotten psql")
    })
    .await;
    assert_eq!(
        process.log_count("dead row versions are kept for somebody"),
        1
    );

    // Asked for since long, as far as the row tells; and by a transaction that began long before it is seen.
    let slow = database.client().await;
    slow.batch_execute("BEGIN; SELECT now()").await.unwrap();
    let again = "http://chaos-1.com/contact";
    client
        .execute(
            "UPDATE page SET curation_status = 'Queued', curation_due_at = now() - interval '1 day' WHERE url = $1",
            &[&again],
        )
        .await
        .unwrap();
    let asked = Instant::now();
    wait_until_by("it is worked again", FOUND, async || {
        is_done(&client, again).await
    })
    .await;
    println!(
        "a row due since yesterday was done after {:.1?}",
        asked.elapsed()
    );
    add_pages(&client, next, next + 20).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    slow.batch_execute(
        "WITH site AS (INSERT INTO domain (domain, registrable_domain) VALUES ('slow.com', 'slow.com') RETURNING id) \
         INSERT INTO page (domain_id, url, curation_status) SELECT id, 'http://slow.com/contact', 'Queued' FROM site; COMMIT",
    )
    .await
    .unwrap();
    let committed = Instant::now();
    wait_until_by("the late row is worked", FOUND, async || {
        is_done(&client, "http://slow.com/contact").await
    })
    .await;
    println!(
        "a row committed late was done after {:.1?}",
        committed.elapsed()
    );

    forgotten.batch_execute("COMMIT").await.unwrap();
    wait_until_by("nobody is named any more", FOUND, async || {
        let (code, ready) = process.readiness().await;
        code == 200 && ready.get("pinned_by").is_none()
    })
    .await;
    add_pages(&client, next + 21, next + 40).await;
    wait_all_done(&client, Duration::from_secs(30)).await;
    assert_eq!(
        client
            .query_one(
                "SELECT count(*) FROM attempt WHERE outcome <> 'completed'",
                &[]
            )
            .await
            .unwrap()
            .get::<_, i64>(0),
        0
    );
    assert!(process.is_running(), "{}", process.log_text());
}

/// A replica's connection, as the server sees it: it asks for the log, and says which transactions its queries still look at.
struct Replica(UnixStream);

impl Replica {
    /// `slot` is one of the server's own, empty for none; `xmin` the oldest of those transactions, with its epoch above.
    fn connect(socket: &Path, user: &str, slot: &str, position: &str, xmin: u64) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut replica = Self(stream);
        let name = format!("replica {slot}");
        let start = format!(
            "\0\x03\0\0user\0{user}\0replication\0true\0application_name\0{}\0\0",
            name.trim_end()
        );
        replica.send(None, start.as_bytes());
        replica.wait_for(b'Z');
        let slot = if slot.is_empty() {
            String::new()
        } else {
            format!("SLOT {slot} ")
        };
        let query = format!("START_REPLICATION {slot}PHYSICAL {position}\0");
        replica.send(Some(b'Q'), query.as_bytes());
        replica.wait_for(b'W');
        let (epoch, low) = (xmin >> 32, xmin & 0xffff_ffff);
        let mut feedback = vec![b'h'];
        feedback.extend(0_i64.to_be_bytes());
        for number in [low, epoch, 0, 0] {
            feedback.extend(u32::try_from(number).unwrap().to_be_bytes());
        }
        replica.send(Some(b'd'), &feedback);
        replica
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).unwrap();
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.extend(body);
        self.0.write_all(&message).unwrap();
    }

    /// Reads messages up to one of this kind.
    fn wait_for(&mut self, kind: u8) {
        loop {
            let mut head = [0; 5];
            self.0.read_exact(&mut head).unwrap();
            let length = u32::from_be_bytes(head[1..].try_into().unwrap());
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            self.0.read_exact(&mut body).unwrap();
            assert_ne!(head[0], b'E', "{}", String::from_utf8_lossy(&body));
            if head[0] == kind {
                return;
            }
        }
    }
}

/// All kinds of holders that are no open sessions, on a server that has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_transactions_replicas_and_slots_are_named_with_what_to_do() {
    let _alone = alone().await;
    let journal = Journal::sites(Duration::ZERO).await;
    let (_folder, postgres) = private_server_with(&[
        ("max_prepared_transactions", "5"),
        ("wal_level", "logical"),
        ("wal_sender_timeout", "0"),
    ])
    .await;
    let url = postgres.url("work");
    let client = connect(&url).await;
    // The slots first: that of a reader waits for all transactions that are under way.
    for sql in [
        "SELECT pg_create_physical_replication_slot('far_away')",
        "SELECT pg_create_logical_replication_slot('reader', 'test_decoding')",
        "BEGIN; INSERT INTO domain (domain, registrable_domain) VALUES ('left.com', 'left.com'); PREPARE TRANSACTION 'left behind'",
    ] {
        client.batch_execute(sql).await.unwrap();
    }
    let row = client
        .query_one(
            "SELECT split_part(current_setting('unix_socket_directories'), ',', 1) || '/.s.PGSQL.5432', current_user::text, \
             pg_current_wal_flush_lsn()::text, pg_current_xact_id()::text",
            &[],
        )
        .await
        .unwrap();
    let (socket, user, position, xmin): (String, String, String, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let xmin: u64 = xmin.parse().unwrap();
    let connect = |slot: &str| Replica::connect(Path::new(&socket), &user, slot, &position, xmin);
    // What a slot keeps stays when its reader is gone.
    drop(connect("far_away"));
    let replica = connect("");

    let file = ConfigFile::new("held", &url, journal.address);
    let process = Process::start(&file).await;
    let expected = [
        ("prepared transaction (", "left behind", "ROLLBACK PREPARED"),
        ("replica ", "replica", "hot_standby_feedback"),
        ("replication slot (", "far_away", "pg_drop_replication_slot"),
    ];
    let mut next = 1;
    let mut told = Vec::new();
    wait_until_by("all are named", Duration::from_secs(45), async || {
        // There are transactions since, and claims.
        add_pages(&client, next, next + 4).await;
        next += 5;
        let (code, ready) = process.readiness().await;
        told = ready["pinned_by"].as_array().cloned().unwrap_or_default();
        code == 200
            && expected.iter().all(|(kind, name, remedy)| {
                told.iter()
                    .filter_map(|one| one.as_str())
                    .any(|one| one.starts_with(kind) && one.contains(name) && one.contains(remedy))
            })
    })
    .await;
    println!("{told:#?}");
    let path = file.path();
    let arguments = ["doctor", "--config", path.to_str().unwrap()];
    let doctor = command(&arguments).output().await.unwrap();
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    for name in [
        "prepared transaction (",
        "left behind",
        "all kept for replica ",
        "far_away",
        "those of the catalogue kept for replication slot (reader)",
    ] {
        assert!(doctor.contains(name), "{name}: {doctor}");
    }
    drop(replica);
    for sql in [
        "ROLLBACK PREPARED 'left behind'",
        "SELECT pg_drop_replication_slot('reader')",
    ] {
        client.batch_execute(sql).await.unwrap();
    }
    wait_until_by("the slot is free", FOUND, async || {
        client
            .batch_execute("SELECT pg_drop_replication_slot('far_away')")
            .await
            .is_ok()
    })
    .await;
    wait_until_by("nobody is named any more", FOUND, async || {
        add_pages(&client, next, next).await;
        next += 1;
        let (code, ready) = process.readiness().await;
        code == 200 && ready.get("pinned_by").is_none()
    })
    .await;
    wait_all_done(&client, Duration::from_secs(60)).await;
}
