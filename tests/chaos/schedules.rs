//! `kill -9` in the middle of a schedule's statement, again and again: each time is fired for, and none twice.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::alone;
use crate::support::database::TestDatabase;
use crate::support::load::others_load;
use crate::support::process::{ConfigFile, Process};
use crate::support::wait::wait_until_by;

const KILLS: usize = 4;
/// Another process has taken the time over by then: the server looks for its client every second, the others try every few.
const TAKEN_OVER: Duration = Duration::from_secs(15);

/// Each firing writes its row first and then sleeps, so that a kill meets it with the row written and not committed.
const SCHEDULE: &str = r#"
[schedules.slow]
cron = "*/2 * * * * *"
missed = { each = 1000 }
sql = """
WITH slept AS MATERIALIZED (SELECT current_setting('gleaner.due_at')::timestamptz AS due_at, pg_sleep(0.8))
INSERT INTO witness (due_at) SELECT due_at FROM slept
"""
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_statement_loses_and_doubles_no_firing() {
    let _alone = alone().await;
    let busy = others_load();
    let database = TestDatabase::new().await;
    database
        .run("CREATE TABLE witness (due_at timestamptz, written_at timestamptz DEFAULT clock_timestamp())")
        .await;
    let client = database.client().await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let start = async |name: &str| {
        let config = ConfigFile::with(name, database.url(), nowhere, SCHEDULE);
        Process::start(&config).await
    };
    let within = TAKEN_OVER.mul_f64(busy);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                    AND query LIKE '%pg_sleep(0.8)%' AND pid <> pg_backend_pid()";
    let mut victim = start("first").await;
    for round in 0..KILLS {
        wait_until_by("a statement is under way", within, async || {
            let count: i64 = client.query_one(sleeping, &[]).await.unwrap().get(0);
            count > 0
        })
        .await;
        let due_at: String = client
            .query_one(
                "SELECT next_at::text FROM schedule WHERE name = 'schedules.slow'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        victim.kill().await;
        let killed_at = Instant::now();
        victim = start(&format!("after-{round}")).await;
        let fired = format!("SELECT count(*) FROM schedule_firing WHERE due_at = '{due_at}'");
        wait_until_by("the time is fired for", within, async || {
            let count: i64 = client.query_one(&fired, &[]).await.unwrap().get(0);
            count == 1
        })
        .await;
        println!(
            "kill {}: fired for after {:.1?}",
            round + 1,
            killed_at.elapsed()
        );
    }
    wait_until_by("it has caught up", Duration::from_secs(90), async || {
        let late: bool = client
            .query_one(
                "SELECT next_at > now() FROM schedule WHERE name = 'schedules.slow'",
                &[],
            )
            .await
            .unwrap()
            .get(0);
        late
    })
    .await;
    victim.kill().await;
    let rows = client
        .query_one(
            "SELECT (SELECT count(*) FROM witness), (SELECT count(DISTINCT due_at) FROM witness),
                 (SELECT extract(epoch FROM max(due_at) - min(due_at))::bigint / 2 + 1 FROM witness),
                 (SELECT count(*) FROM schedule_firing WHERE outcome = 'completed')",
            &[],
        )
        .await
        .unwrap();
    let counts: [i64; 4] = [rows.get(0), rows.get(1), rows.get(2), rows.get(3)];
    println!("rows, times, times from the first to the last, firings: {counts:?}");
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}
