//! Whole processes, several at once on one database: who fires, when, and what a reload changes.

use std::time::Duration;

use gleaner::app::App;
use gleaner::config::Config;
use tokio::time::Instant;

use super::schedule;
use crate::support::app::test_config;
use crate::support::{TestApp, TestDatabase, wait_until, wait_until_by};

const WITNESS: &str = "CREATE TABLE witness (name text, due_at timestamptz, seen_at timestamptz)";
const WITNESSED: &str = "INSERT INTO witness VALUES (current_setting('gleaner.schedule'), \
                         current_setting('gleaner.due_at')::timestamptz, clock_timestamp())";

/// A process that does nothing but fire.
fn config(database: &TestDatabase, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = test_config(database);
    config.workflows.keep_only(&[]);
    change(&mut config);
    config.validate().unwrap();
    config
}

async fn start(config: Config) -> App {
    Box::pin(App::start(config, None)).await.unwrap()
}

/// Three processes see every second come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_second_is_fired_for_once_over_all_processes_and_within_a_second() {
    let database = TestDatabase::new().await;
    database.run(WITNESS).await;
    let change = |config: &mut Config| {
        for (name, cron) in [("each-second", "* * * * * *"), ("odd", "1-59/2 * * * * *")] {
            let keys =
                format!("cron = \"{cron}\"\nmissed = {{ each = 60 }}\nsql = \"{WITNESSED}\"");
            config.schedules.set(name, schedule(&keys));
        }
    };
    let mut apps = Vec::new();
    for _ in 0..3 {
        apps.push(start(config(&database, change)).await);
    }
    let patience = Duration::from_secs(60);
    wait_until_by("a dozen seconds were fired for", patience, async || {
        database
            .count("SELECT count(*) FROM schedule_firing WHERE schedule = 'schedules.each-second'")
            .await
            >= 12
    })
    .await;
    for app in &apps {
        app.drain(Duration::from_secs(1)).await;
    }
    // Each second between the first and the last, each once, and each firing has its row.
    assert_eq!(
        database
            .rows(
                "SELECT name, count(*) = count(DISTINCT due_at),
                     extract(epoch FROM max(due_at) - min(due_at))::int / (CASE name WHEN 'odd' THEN 2 ELSE 1 END) + 1 = count(*),
                     count(*) = (SELECT count(*) FROM schedule_firing WHERE schedule = 'schedules.' || name AND outcome = 'completed')
                 FROM witness GROUP BY name ORDER BY name"
            )
            .await,
        ["each-second|t|t|t", "odd|t|t|t"]
    );
    let late: f64 = database
        .scalar("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM seen_at - due_at)::float8) FROM witness")
        .await;
    assert!(
        (0.0..1.0).contains(&late),
        "half of them were {late} s late"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_schedule_does_not_fire_but_when_it_is_asked_to() {
    let database = TestDatabase::new().await;
    database.run(WITNESS).await;
    database
        .run("INSERT INTO schedule_control (schedule, paused) VALUES ('schedules.each-second', true)")
        .await;
    let keys = |cron: &str| schedule(&format!("cron = \"{cron}\"\nsql = \"{WITNESSED}\""));
    let app = TestApp::start_on(database, |config| {
        config.workflows.keep_only(&[]);
        config.schedules.set("each-second", keys("* * * * * *"));
        config.schedules.set("clock", keys("* * * * * *"));
    })
    .await;
    let database = &app.database;
    let of = async |name: &str| {
        database
            .count(&format!(
                "SELECT count(*) FROM witness WHERE name = '{name}'"
            ))
            .await
    };
    // The other one tells that time passes in which this one would have fired.
    wait_until("three seconds have passed", async || of("clock").await >= 3).await;
    assert_eq!(of("each-second").await, 0);
    let asked = "UPDATE schedule_control SET run_requested_at = clock_timestamp() WHERE schedule = 'schedules.each-second'";
    database.run(asked).await;
    wait_until("it has fired", async || of("each-second").await == 1).await;
    let before = of("clock").await;
    wait_until("two more seconds", async || of("clock").await >= before + 2).await;
    assert_eq!(
        database
            .rows("SELECT cause, outcome, rows FROM schedule_firing WHERE schedule = 'schedules.each-second'")
            .await,
        ["asked|completed|1"]
    );
    // Resumed, it fires for what comes, and for nothing that passed.
    database
        .run("UPDATE schedule_control SET paused = false WHERE schedule = 'schedules.each-second'")
        .await;
    wait_until("it fires by itself", async || of("each-second").await >= 3).await;
    assert_eq!(
        database
            .rows("SELECT count(*), max(missed) FROM schedule_firing AS f JOIN schedule_control AS c USING (schedule) WHERE cause = 'due' AND schedule = 'schedules.each-second' AND due_at <= resumed_at")
            .await,
        ["0|"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_adds_changes_and_removes_and_what_comes_back_goes_on() {
    let database = TestDatabase::new().await;
    database.run(WITNESS).await;
    let each = |cron: &str| schedule(&format!("cron = \"{cron}\"\nsql = \"{WITNESSED}\""));
    let before = config(&database, |_| {});
    let app = start(before.clone()).await;
    let of = async |name: &str| {
        database
            .count(&format!(
                "SELECT count(*) FROM witness WHERE name = '{name}'"
            ))
            .await
    };
    let reload = async |change: &dyn Fn(&mut Config)| {
        let mut config = before.clone();
        change(&mut config);
        app.reload(Ok(config), None).await.unwrap();
    };
    reload(&|config| {
        config.schedules.set("a", each("* * * * * *"));
        config.schedules.set("b", each("0 0 1 1 *"));
    })
    .await;
    wait_until("what was added fires", async || of("a").await >= 2).await;
    assert_eq!(of("b").await, 0);
    // Of two, one is removed and the other changed.
    reload(&|config| config.schedules.set("b", each("* * * * * *"))).await;
    wait_until("what was changed fires", async || of("b").await >= 2).await;
    let left = of("a").await;
    let more = of("b").await + 2;
    wait_until("two more", async || of("b").await >= more).await;
    assert!(of("a").await <= left + 1, "it was in hand, at most");
    // Back again, as it was: what passed was missed, and is fired for once.
    let gone = of("a").await;
    reload(&|config| config.schedules.set("a", each("* * * * * *"))).await;
    wait_until("it is back", async || of("a").await > gone).await;
    let missed = database
        .count("SELECT missed FROM schedule WHERE name = 'schedules.a'")
        .await;
    assert!(missed >= 1, "{missed}");
    assert_eq!(
        database
            .rows("SELECT count(*) - count(DISTINCT (name, due_at)) FROM witness")
            .await,
        ["0"]
    );
    app.drain(Duration::from_secs(1)).await;
}

/// Two processes with different schedules of one name: the one that read its configuration last fires, the other stands by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_schedules_of_a_name_the_one_read_last_counts() {
    let database = TestDatabase::new().await;
    database
        .run("CREATE TABLE witness (which text, seen_at timestamptz DEFAULT clock_timestamp())")
        .await;
    let with = |which: &str| {
        let keys =
            format!("cron = \"* * * * * *\"\nsql = \"INSERT INTO witness VALUES ('{which}')\"");
        config(&database, |config| {
            config.schedules.set("x", schedule(&keys));
        })
    };
    let one = start(with("one")).await;
    wait_until("the one fires", async || {
        database.count("SELECT count(*) FROM witness").await >= 1
    })
    .await;
    let other = start(with("other")).await;
    wait_until("the other fires", async || {
        database
            .count("SELECT count(*) FROM witness WHERE which = 'other'")
            .await
            >= 3
    })
    .await;
    assert_eq!(
        database
            .count("SELECT count(*) FROM witness WHERE which = 'one' AND seen_at > (SELECT min(seen_at) FROM witness WHERE which = 'other')")
            .await,
        0
    );
    one.drain(Duration::from_secs(1)).await;
    other.drain(Duration::from_secs(1)).await;
}

/// What is due while the former firing goes on waits for its end, and what came meanwhile is one firing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firings_of_a_schedule_never_overlap() {
    let database = TestDatabase::new().await;
    database
        .run("CREATE TABLE witness (began_at timestamptz, ended_at timestamptz)")
        .await;
    let keys = "cron = \"* * * * * *\"\nsql = \"WITH slept AS MATERIALIZED (SELECT clock_timestamp() AS began_at, pg_sleep(2.5)) \
                INSERT INTO witness SELECT began_at, clock_timestamp() FROM slept\"";
    let mut apps = Vec::new();
    for _ in 0..2 {
        let config = config(&database, |config| {
            config.schedules.set("slow", schedule(keys));
        });
        apps.push(start(config).await);
    }
    wait_until_by("three have ended", Duration::from_secs(60), async || {
        database.count("SELECT count(*) FROM witness").await >= 3
    })
    .await;
    for app in &apps {
        app.drain(Duration::from_secs(1)).await;
    }
    assert_eq!(
        database
            .count("SELECT count(*) FROM witness AS one JOIN witness AS other ON one.began_at < other.began_at AND other.began_at < one.ended_at")
            .await,
        0
    );
    let missed = database
        .count("SELECT missed FROM schedule WHERE name = 'schedules.slow'")
        .await;
    assert!(missed >= 2, "{missed}");
}

/// Without any schedule nothing is asked of the database for their sake, and with one that is due next year one look now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_due_costs_next_to_nothing() {
    let database = TestDatabase::new().await;
    let keys = "cron = \"* * * * * *\"\nsql = \"SELECT 1\"";
    let rare = "cron = \"0 0 29 2 *\"\nsql = \"SELECT 1\"";
    let app = start(config(&database, |config| {
        for name in 0..50 {
            config
                .schedules
                .set(&format!("rare-{name}"), schedule(rare));
        }
        config.schedules.set("clock", schedule(keys));
    }))
    .await;
    let fired = async || database.count("SELECT count(*) FROM schedule_firing").await;
    wait_until("it fires", async || fired().await >= 1).await;
    // 51 schedules, one of them due each second: the others have their part in the looks for that one, and none of their own.
    let scans = "SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'schedule'";
    let (before, start, at) = (database.count(scans).await, fired().await, Instant::now());
    wait_until("five more", async || fired().await >= start + 5).await;
    let looks = database.count(scans).await - before;
    println!("{looks} scans of schedule in {:?}", at.elapsed());
    assert!(looks < 5 * 60, "{looks}");
    app.drain(Duration::from_secs(1)).await;
}
