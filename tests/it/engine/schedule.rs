//! Schedules: once across all nodes, once for all that was missed.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use gleaner::store::schedule;
use gleaner::store::schedule::Cron;

use crate::support::TestDatabase;

fn cron(expression: &str) -> Cron {
    Cron::try_from(expression.to_owned()).unwrap()
}

const STATE: &str = "SELECT extract(hour FROM next_at AT TIME ZONE 'UTC'), next_at > now(), fired_at IS NOT NULL, coalesce(fired_by::text, '')
    FROM schedule WHERE name = 'nightly'";

#[tokio::test(flavor = "multi_thread")]
async fn a_cron_fires_once_across_nodes_and_once_for_all_that_was_missed() {
    let database = TestDatabase::new().await;
    let (mut one, mut other) = (database.connect().await, database.connect().await);
    let nightly = cron("0 2 * * *");
    // A new name waits for its time.
    assert!(
        !schedule::is_mine_by_cron(&mut one, "nightly", &nightly, 1)
            .await
            .unwrap()
    );
    assert_eq!(database.rows(STATE).await, ["2|t|f|"]);
    // Nobody ran for three nights.
    database
        .run("UPDATE schedule SET next_at = next_at - interval '3 days'")
        .await;
    let (first, second) = tokio::join!(
        schedule::is_mine_by_cron(&mut one, "nightly", &nightly, 1),
        schedule::is_mine_by_cron(&mut other, "nightly", &nightly, 2),
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first != second, "{first} {second}");
    let winner = if first { 1 } else { 2 };
    assert_eq!(database.rows(STATE).await, [format!("2|t|t|{winner}")]);
    for (conn, node) in [(&mut one, 1), (&mut other, 2)] {
        assert!(
            !schedule::is_mine_by_cron(conn, "nightly", &nightly, node)
                .await
                .unwrap()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_expression_holds_at_once_and_fires_nothing() {
    let database = TestDatabase::new().await;
    let mut conn = database.connect().await;
    for expression in ["0 2 * * *", "0 5 * * *"] {
        assert!(
            !schedule::is_mine_by_cron(&mut conn, "nightly", &cron(expression), 1)
                .await
                .unwrap()
        );
    }
    assert_eq!(database.rows(STATE).await, ["5|t|f|"]);
}
