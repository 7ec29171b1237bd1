//! Quotas and queues under many at a time.

use diesel_async::AsyncConnection as _;
use futures_util::future::join_all;
use gleaner::documents::quota::{self, Refusal};
use gleaner::documents::scope;
use reqwest::Method;
use serde_json::json;

use super::desk::{Answer, Desk, text};
use crate::support::TestDatabase;

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_hundred_that_race_for_fifty_slots_fifty_win() {
    let database = TestDatabase::new().await;
    database
        .run("INSERT INTO tenant (name, quota_bytes, max_queued) VALUES ('a', 500 * 1024 * 1024, 10000), ('b', 0, 1)")
        .await;
    let racing = (0..8).map(|_| async {
        let (mut conn, mut won) = (database.connect().await, 0);
        for _ in 0..100 {
            let reserved = conn
                .transaction::<_, Refusal, _>(async |conn| {
                    scope::enter(conn, 1).await?;
                    quota::reserve(conn, 1, 10 * 1024 * 1024).await
                })
                .await;
            match reserved {
                Ok(_) => won += 1,
                Err(Refusal::Quota { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        won
    });
    let won: i32 = join_all(racing).await.into_iter().sum();
    assert_eq!(won, 50);
    let sums = "SELECT reserved_bytes, used_bytes, (SELECT sum(bytes) FROM reservation), (SELECT count(*) FROM reservation) \
                FROM tenant WHERE id = 1";
    assert_eq!(database.rows(sums).await, ["524288000|0|524288000|50"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_documents_wait_as_may() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 1 << 20).await;
    desk.database()
        .run("UPDATE tenant SET max_queued = 3")
        .await;
    let bodies: Vec<Vec<u8>> = (0..10).map(|seed| text(seed, 100)).collect();
    let answers = join_all(
        bodies
            .iter()
            .map(|bytes| desk.upload(&tenant, "x.txt", bytes)),
    )
    .await;
    let taken = answers.iter().filter(|answer| answer.status == 201).count();
    // Those on their way count, too.
    assert!((1..=3).contains(&taken), "{taken}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.code(), (429, "too_many_queued"), "{answer:?}");
        assert_eq!(answer.header("retry-after"), "30");
    }
    let mut last = None;
    for bytes in &bodies {
        last = Some(desk.upload(&tenant, "x.txt", bytes).await);
    }
    assert_eq!(last.expect("ten").code(), (429, "too_many_queued"));
    assert_eq!(
        desk.database()
            .count("SELECT count(*) FROM documents")
            .await,
        3
    );
    assert_eq!(desk.settled(&tenant).await, 300);
    // One is done.
    desk.database()
        .run("UPDATE documents SET process_status = 'Completed', total_chars = 1 WHERE id = (SELECT min(id) FROM documents)")
        .await;
    assert_eq!(
        desk.upload(&tenant, "x.txt", b"there is room again")
            .await
            .status,
        201
    );
}

/// Also of those that were there before: whoever has as many waiting as may has them tried again as some are done.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_again_waits_with_the_others() {
    let desk = Desk::paused().await;
    let tenant = desk.tenant("a", 1 << 20).await;
    let mut paths = Vec::new();
    for seed in 0..4 {
        let answer = desk.upload(&tenant, "x.txt", &text(seed, 100)).await;
        paths.push(format!("/api/documents/{}", answer.document()));
    }
    let again = async |path: &str, what: &str| {
        let request = desk.request(Method::POST, &format!("{path}/{what}"), &tenant.key);
        Answer::of(request.json(&json!({ "password": "x" }))).await
    };
    let database = desk.database();
    database
        .run(
            "UPDATE tenant SET max_queued = 2;
             UPDATE documents SET process_status = 'Error', error_code = 'password_required', retryable = true WHERE id IN (1, 2);
             UPDATE documents SET process_status = 'Completed', total_chars = 1 WHERE id = 3",
        )
        .await;
    // The fourth waits, so one more may.
    assert_eq!(again(&paths[0], "retry").await.status, 200);
    for (path, what) in [
        (&paths[1], "retry"),
        (&paths[1], "password"),
        (&paths[2], "reprocess"),
    ] {
        let refused = again(path, what).await;
        assert_eq!(refused.code(), (429, "too_many_queued"), "{what}");
        assert_eq!(refused.header("retry-after"), "30");
    }
    let statuses = "SELECT string_agg(status, ' ' ORDER BY id) FROM documents";
    assert_eq!(
        database.rows(statuses).await,
        ["queued failed ready queued"]
    );
    assert!(
        gleaner::documents::password::of(2).is_none(),
        "a refused one is kept"
    );
    assert_eq!(again(&paths[3], "cancel").await.status, 200);
    assert_eq!(again(&paths[2], "reprocess").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_deletions_at_once_leave_an_exact_account() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 1 << 20).await;
    let bodies: Vec<Vec<u8>> = (0..4).map(|seed| text(seed, 10_000)).collect();
    let working = (0..24).map(|turn| {
        let (desk, tenant, bytes) = (&desk, &tenant, &bodies[turn % 4]);
        async move {
            let answer = desk.upload(tenant, "x.txt", bytes).await;
            if !matches!(answer.status, 200 | 201) {
                panic!("{answer:?}");
            }
            if turn % 3 == 0 {
                let path = format!("/api/documents/{}", answer.document());
                let gone = desk.send(Method::DELETE, &path, &tenant.key).await;
                assert!(matches!(gone.status, 200 | 404), "{gone:?}");
            }
        }
    });
    join_all(working).await;
    let used = desk.settled(&tenant).await;
    let live = "SELECT count(DISTINCT sha256) FROM documents WHERE deleted_at IS NULL";
    assert_eq!(used, desk.database().count(live).await * 10_000);
    let refs = "SELECT count(*) FROM blob WHERE refs <> (SELECT count(*) FROM documents \
                WHERE documents.sha256 = blob.sha256 AND deleted_at IS NULL)";
    assert_eq!(desk.database().count(refs).await, 0);
    let revoked = "UPDATE api_key SET revoked_at = now()";
    desk.database().run(revoked).await;
    let refused = Answer::of(desk.uploading(&tenant, "", &[("file", "x.txt", b"late")])).await;
    assert_eq!(refused.code(), (401, "unauthorized"));
}
