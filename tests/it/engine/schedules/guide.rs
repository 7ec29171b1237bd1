//! `docs/schedules.md`: its examples are schedules, and do what it says of them.

use chrono::{DateTime, Utc};
use gleaner::store::schedule::Schedule;
use gleaner::store::schedule::definition::Defined;

use crate::support::TestDatabase;

/// The schedules of the first example that has this one.
fn example(name: &str) -> Vec<Defined> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schedules.md")).unwrap();
    let head = format!("[schedules.{name}]");
    let block = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .find(|block| block.contains(&head))
        .unwrap();
    let table: toml::Table = block.parse().unwrap();
    let schedules = table["schedules"].as_table().unwrap();
    let defined = schedules.iter().map(|(name, keys)| {
        let schedule: Schedule = keys.clone().try_into().unwrap();
        schedule.define(name).unwrap()
    });
    defined.collect()
}

fn times(own: &Defined, from: &str, count: usize) -> Vec<String> {
    let from: DateTime<Utc> = from.parse().unwrap();
    let times = std::iter::successors(own.timing.rule.next_after(from), |time| {
        own.timing.rule.next_after(*time)
    });
    times
        .take(count)
        .map(|time| time.format("%m-%d %H:%M").to_string())
        .collect()
}

/// The Beat schedule of a price tracker: every 15 minutes, every hour, every day, and at two in the morning.
#[tokio::test(flavor = "multi_thread")]
async fn the_beat_schedule_fires_right_over_both_changes() {
    let all = example("fetch-high-priority-products");
    let names: Vec<&str> = all.iter().map(|own| own.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "check-pattern-health",
            "fetch-high-priority-products",
            "fetch-low-priority-products",
            "fetch-normal-priority-products"
        ]
    );
    let named = |name: &str| all.iter().find(|own| own.name == name).unwrap();
    // Two o'clock in Berlin: in March it does not come and is made up for at three, in October it comes twice and counts once.
    let nightly = named("check-pattern-health");
    assert_eq!(
        times(nightly, "2027-03-26T12:00:00Z", 4),
        ["03-27 01:00", "03-28 01:00", "03-29 00:00", "03-30 00:00"]
    );
    assert_eq!(
        times(nightly, "2027-10-29T12:00:00Z", 4),
        ["10-30 00:00", "10-31 00:00", "11-01 01:00", "11-02 01:00"]
    );
    // The others go by time that passes, whatever clocks do.
    for (name, seconds) in [
        ("fetch-high-priority-products", 900),
        ("fetch-normal-priority-products", 3_600),
        ("fetch-low-priority-products", 86_400),
    ] {
        let rule = &named(name).timing.rule;
        for change in ["2027-03-28T00:50:00Z", "2027-10-31T00:50:00Z"] {
            let mut at: DateTime<Utc> = change.parse().unwrap();
            for _ in 0..10 {
                let next = rule.next_after(at).unwrap();
                assert_eq!((next - at).num_seconds(), seconds, "{name} after {at}");
                at = next;
            }
        }
    }
    // And the tables that the guide gives them can be queued.
    let database = TestDatabase::new().await;
    database
        .run(
            "CREATE TABLE app_product (id bigint PRIMARY KEY, priority text NOT NULL);
             SELECT gleaner_add_stage('app_product', 'fetch');
             INSERT INTO app_product SELECT n, (ARRAY['high', 'normal', 'low'])[1 + n % 3] FROM generate_series(1, 30) AS n;
             CREATE TABLE app_pattern (id bigint PRIMARY KEY, is_active boolean NOT NULL);
             SELECT gleaner_add_stage('app_pattern', 'health'); INSERT INTO app_pattern SELECT n, n % 2 = 0 FROM generate_series(1, 6) AS n",
        )
        .await;
    for (name, rows) in [
        ("fetch-high-priority-products", 10),
        ("fetch-normal-priority-products", 10),
        ("fetch-low-priority-products", 10),
        ("check-pattern-health", 3),
    ] {
        let own = named(name);
        let mut conn = super::due(&database, own, 1).await;
        let (fired, _) = super::fire(&mut conn, own).await;
        assert_eq!(fired.rows, Some(rows), "{name}: {fired:?}");
    }
}
