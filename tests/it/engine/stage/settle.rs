//! What becomes of a row in hand, and who may say so.

use std::time::Duration;

use gleaner::store::stage::Records;
use gleaner_actors::port::{LeaseId, Verdict};

use super::{HISTORY, LONG, STATES, complete, failed, failure, ids, settlement};
use crate::support::TestDatabase;
use crate::support::toy::{self, open_lease, stage};

/// A database with so many rows in hand under a lease, at attempt 1.
async fn in_hand(rows: usize, ttl: Duration) -> (TestDatabase, LeaseId) {
    let database = toy::database().await;
    database
        .run(&format!(
            "INSERT INTO work (toy_status) SELECT 'Queued' FROM generate_series(1, {rows})"
        ))
        .await;
    let mut conn = database.connect().await;
    let lease = open_lease(&mut conn, ttl).await;
    let claimed = stage().claim(&mut conn, lease, rows).await.unwrap();
    assert_eq!(claimed.len(), rows);
    (database, lease)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_has_its_status() {
    let (database, lease) = in_hand(6, LONG).await;
    let mut conn = database.connect().await;
    let minute = Duration::from_secs(60);
    let records = Records::of(&[
        settlement(1, 1, Verdict::Complete(String::new())),
        settlement(
            2,
            1,
            Verdict::Filter {
                reason: "no website".to_owned(),
                output: None,
            },
        ),
        settlement(
            3,
            1,
            Verdict::Retry {
                after: minute,
                failure: failure("503"),
                output: None,
            },
        ),
        settlement(
            4,
            1,
            Verdict::Snooze {
                after: minute,
                reason: "host busy".to_owned(),
            },
        ),
        settlement(5, 1, failed("404")),
        settlement(6, 1, Verdict::Release),
    ]);
    let mut settled = stage().settle(&mut conn, lease, &records).await.unwrap();
    settled.sort_unstable();
    assert_eq!(settled, [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        database.rows(STATES).await,
        [
            "1 Completed 1",
            "2 Filtered 1 no website",
            "3 Queued 1 http: 503",
            "4 Queued 0 host busy",
            "5 Error 1 http: 404",
            "6 Queued 0",
        ]
    );
    assert_eq!(
        database.rows(HISTORY).await,
        [
            "1 1 completed",
            "2 1 filtered no website",
            "3 1 retried http http: 503",
            "4 1 snoozed host busy",
            "5 1 failed http http: 404",
            "6 1 released",
        ]
    );
    assert_eq!(
        database
            .count("SELECT count(*) FROM attempt WHERE elapsed_ms = 7")
            .await,
        6
    );
    // A retry and a snooze are due later, what is handed back is due at once.
    assert_eq!(
        database
            .rows("SELECT id, toy_due_at > now() + interval '50 seconds' AND toy_due_at <= now() + interval '60 seconds' \
                   FROM work WHERE toy_status = 'Queued' ORDER BY id")
            .await,
        ["3|t", "4|t", "6|f"]
    );
    assert_eq!(
        ids(&stage().claim(&mut conn, lease, 10).await.unwrap()),
        [6]
    );
    // When its time has come, the row comes with its second attempt.
    database
        .run("UPDATE work SET toy_due_at = now() WHERE id = 3")
        .await;
    let claimed = stage().claim(&mut conn, lease, 10).await.unwrap();
    assert_eq!((claimed[0].id, claimed[0].attempt), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_lease_or_attempt_settles_nothing() {
    let (database, lease) = in_hand(1, LONG).await;
    let mut conn = database.connect().await;
    let other = open_lease(&mut conn, LONG).await;
    for (lease, attempt) in [(other, 1), (LeaseId(4_711), 1), (lease, 0), (lease, 2)] {
        let settled = stage()
            .settle(&mut conn, lease, &complete(1, attempt))
            .await
            .unwrap();
        assert!(settled.is_empty(), "{lease:?} {attempt}");
    }
    assert_eq!(database.rows(STATES).await, ["1 Processing 1 held"]);
    assert_eq!(database.rows(HISTORY).await, Vec::<String>::new());
    // The holder itself settles once.
    for expected in [1, 0] {
        let settled = stage()
            .settle(&mut conn, lease, &complete(1, 1))
            .await
            .unwrap();
        assert_eq!(settled.len(), expected);
    }
    assert_eq!(database.rows(HISTORY).await, ["1 1 completed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_lease_settles_nothing_although_nobody_took_the_row() {
    let (database, lease) = in_hand(1, LONG).await;
    let mut conn = database.connect().await;
    database.run("UPDATE lease SET expires_at = now()").await;
    let settled = stage()
        .settle(&mut conn, lease, &complete(1, 1))
        .await
        .unwrap();
    assert!(settled.is_empty());
    assert_eq!(database.rows(STATES).await, ["1 Processing 1 held"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_any_kind_can_be_kept() {
    let texts = [
        String::new(),
        "\0".to_owned(),
        "a\0b".to_owned(),
        "é".repeat(1_000_000),
        "'; DROP TABLE work; --".to_owned(),
        "{\"a\",NULL}\\".to_owned(),
        "\u{feff}\u{202e}\u{10ffff}".to_owned(),
    ];
    let (database, lease) = in_hand(texts.len(), LONG).await;
    let mut conn = database.connect().await;
    let batch: Vec<_> = (1..)
        .zip(&texts)
        .map(|(id, text)| settlement(id, 1, failed(text)))
        .collect();
    let settled = stage()
        .settle(&mut conn, lease, &Records::of(&batch))
        .await
        .unwrap();
    assert_eq!(settled.len(), texts.len());
    let kept: Vec<String> = database
        .rows("SELECT toy_error FROM work ORDER BY id")
        .await;
    assert_eq!(kept[0], "http: ");
    assert_eq!(kept[1], "http: \u{fffd}");
    assert_eq!(kept[2], "http: a\u{fffd}b");
    assert!(kept[3].starts_with("http: éé") && kept[3].len() < 2_100);
    assert_eq!(kept[4], format!("http: {}", texts[4]));
    assert_eq!(kept[5], format!("http: {}", texts[5]));
    assert_eq!(kept[6], format!("http: {}", texts[6]));
    assert_eq!(
        database
            .count("SELECT count(*) FROM attempt JOIN work ON work.id = item_id WHERE message = toy_error")
            .await,
        i64::try_from(texts.len()).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_hands_back_what_it_holds_but_what_it_is_told_to_keep() {
    let (database, lease) = in_hand(4, LONG).await;
    let mut conn = database.connect().await;
    let freed = stage().release(&mut conn, lease, &[2, 4]).await.unwrap();
    assert_eq!((freed.freed, freed.quarantined), (2, 0));
    assert_eq!(
        database.rows(STATES).await,
        [
            "1 Queued 0",
            "2 Processing 1 held",
            "3 Queued 0",
            "4 Processing 1 held",
        ]
    );
    assert_eq!(
        database.rows(HISTORY).await,
        ["1 1 released", "3 1 released"]
    );
    assert_eq!(
        ids(&stage().claim(&mut conn, lease, 10).await.unwrap()),
        [1, 3]
    );
}
