//! What tenants do with their documents, and what is left of it.

use std::time::Duration;

use gleaner::documents::config::Documents;
use gleaner::documents::password;
use gleaner_parse::protocol::Password;
use reqwest::Method;
use serde_json::json;

use super::bench::Bench;
use super::desk::{Answer, Desk, Tenant, text};
use crate::support::wait_until;

/// A document, and its path.
async fn uploaded(desk: &Desk, tenant: &Tenant, seed: u64) -> String {
    let answer = desk.upload(tenant, "paper.txt", &text(seed, 1_000)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("/api/documents/{}", answer.document())
}

async fn post(desk: &Desk, tenant: &Tenant, path: &str, what: &str) -> Answer {
    desk.send(Method::POST, &format!("{path}/{what}"), &tenant.key)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_gone_and_its_bytes_are_free() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let path = uploaded(&desk, &tenant, 1).await;
    let twin = ("file", "twin.txt", &*text(1, 1_000));
    let twin = Answer::of(desk.uploading(&tenant, "?duplicate=allow", &[twin])).await;
    let other = uploaded(&desk, &tenant, 2).await;
    // Of the first two the bytes are one file, and an attachment goes with what it was in.
    desk.database()
        .run(
            "UPDATE documents SET parent_id = 1, depth = 1 WHERE id = 3;
             INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, config, words, tsv)
             VALUES (1, 1, 0, 1, 1, 0, 9, 'simple', 1, 'a'), (1, 2, 0, 1, 1, 0, 9, 'simple', 1, 'a')",
        )
        .await;
    assert_eq!(desk.settled(&tenant).await, 2_000);
    let deleted = desk.send(Method::DELETE, &path, &tenant.key).await;
    assert_eq!(
        (deleted.status, &deleted.body["success"]),
        (200, &json!(true)),
        "{deleted:?}"
    );
    assert_eq!(deleted.body["deleted"], 2);
    assert_eq!(desk.settled(&tenant).await, 1_000);
    let rows = "SELECT id, process_status, deleted_at IS NULL FROM documents ORDER BY id";
    assert_eq!(
        desk.database().rows(rows).await,
        ["1|Cancelled|f", "2|Queued|t", "3|Cancelled|f"]
    );
    assert_eq!(desk.database().count("SELECT count(*) FROM chunk").await, 1);
    for path in [&path, &other] {
        assert_eq!(
            desk.send(Method::DELETE, path, &tenant.key).await.code(),
            (404, "not_found")
        );
    }
    // The last that refers to the bytes.
    let twin = format!("/api/documents/{}", twin.document());
    assert_eq!(
        desk.send(Method::DELETE, &twin, &tenant.key).await.status,
        200
    );
    assert_eq!(desk.settled(&tenant).await, 0);
    let released = "SELECT count(*) FROM blob WHERE refs = 0 AND released_at IS NOT NULL";
    assert_eq!(desk.database().count(released).await, 2);
    // What is deleted stands in nobody's way.
    let again = desk.upload(&tenant, "paper.txt", &text(1, 1_000)).await;
    assert_eq!(again.status, 201);
    assert_eq!(desk.settled(&tenant).await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stood_for_a_deleted_document_stands_for_the_next() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let send = async || {
        let file: (&str, &str, &[u8]) = ("file", "x.txt", b"hello");
        Answer::of(
            desk.uploading(&tenant, "", &[file])
                .header("idempotency-key", "k"),
        )
        .await
    };
    let first = send().await;
    assert_eq!(send().await.status, 200);
    let path = format!("/api/documents/{}", first.document());
    assert_eq!(
        desk.send(Method::DELETE, &path, &tenant.key).await.status,
        200
    );
    let second = send().await;
    assert_eq!(second.status, 201);
    assert_ne!(second.document(), first.document());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_peoples_documents_are_none() {
    let desk = Desk::start(|_| {}).await;
    let (a, b) = (
        desk.tenant("a", 10_000).await,
        desk.tenant("b", 10_000).await,
    );
    let path = uploaded(&desk, &a, 1).await;
    let unknown = "/api/documents/00000000-0000-4000-8000-000000000000";
    for (method, what, body) in [
        (Method::DELETE, "", None),
        (Method::PUT, "/rename", Some(json!({"new_filename": "x"}))),
        (Method::POST, "/cancel", None),
        (Method::POST, "/retry", None),
        (Method::POST, "/reprocess", None),
        (Method::POST, "/password", Some(json!({"password": "x"}))),
    ] {
        let mut told = Vec::new();
        for path in [&path, unknown, "/api/documents/1", "/api/documents/x'y"] {
            let mut request = desk.request(method.clone(), &format!("{path}{what}"), &b.key);
            if let Some(body) = &body {
                request = request.json(body);
            }
            told.push(Answer::of(request).await);
        }
        for answer in &told {
            assert_eq!(answer.code(), (404, "not_found"), "{what}");
            assert_eq!(answer.body, told[0].body);
        }
    }
    let row = "SELECT filename, status, deleted_at IS NULL FROM documents";
    assert_eq!(desk.database().rows(row).await, ["paper.txt|queued|t"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_renamed_and_keeps_its_ending() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let path = uploaded(&desk, &tenant, 1).await;
    let rename = async |body: serde_json::Value| {
        let request = desk.request(Method::PUT, &format!("{path}/rename"), &tenant.key);
        Answer::of(request.json(&body)).await
    };
    let renamed = rename(json!({"new_filename": "../letter"})).await;
    assert_eq!(
        (renamed.status, &renamed.body["filename"]),
        (200, &json!("letter.txt"))
    );
    assert_eq!(
        rename(json!({"new_filename": " "})).await.code(),
        (400, "invalid")
    );
    assert_eq!(rename(json!({"name": "x"})).await.code(), (400, "invalid"));
    let rows = "SELECT filename, original_filename FROM documents";
    assert_eq!(desk.database().rows(rows).await, ["letter.txt|paper.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_cancelled_tried_again_and_done_anew_where_that_makes_sense() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let path = uploaded(&desk, &tenant, 1).await;
    let failed = |retryable: bool| {
        format!(
            "UPDATE documents SET process_status = 'Error', error_code = 'timeout', error_message = 'too long', retryable = {retryable}"
        )
    };
    let ready = "UPDATE documents SET process_status = 'Completed', total_chars = 1".to_owned();
    for (state, what, expected, left) in [
        (None, "retry", (409, "wrong_status"), "queued"),
        (None, "reprocess", (409, "wrong_status"), "queued"),
        (None, "cancel", (200, ""), "cancelled"),
        (None, "cancel", (200, ""), "cancelled"),
        (None, "retry", (200, ""), "queued"),
        (
            Some(failed(true)),
            "cancel",
            (409, "wrong_status"),
            "failed",
        ),
        (None, "retry", (200, ""), "queued"),
        (
            Some(failed(false)),
            "retry",
            (409, "not_retryable"),
            "failed",
        ),
        (None, "reprocess", (200, ""), "queued"),
        (Some(ready), "cancel", (409, "wrong_status"), "ready"),
        (None, "retry", (409, "wrong_status"), "ready"),
        (None, "reprocess", (200, ""), "queued"),
    ] {
        if let Some(sql) = &state {
            desk.database().run(sql).await;
        }
        let answer = post(&desk, &tenant, &path, what).await;
        assert_eq!(answer.code(), expected, "{state:?} {what}: {answer:?}");
        let rows = "SELECT status FROM documents";
        assert_eq!(desk.database().rows(rows).await, [left], "{state:?} {what}");
        if answer.status == 200 {
            assert_eq!(answer.body["status"], left);
        }
    }
    // Nothing is left of why it failed.
    let rows = "SELECT error_code, error_message, retryable FROM documents";
    assert_eq!(desk.database().rows(rows).await, ["||"]);
}

/// Its row is locked while what was read of it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_a_document_that_is_being_written_waits_for_it() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let path = uploaded(&desk, &tenant, 1).await;
    let writer = desk.database().client().await;
    let lock = "BEGIN; SELECT FROM documents FOR UPDATE";
    writer.batch_execute(lock).await.expect("locked");
    // Longer than other statements wait for a lock.
    let waited = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' \
                  AND clock_timestamp() - query_start > interval '2.5 seconds'";
    let release = async {
        wait_until("it has waited for a while", async || {
            desk.database().count(waited).await > 0
        })
        .await;
        writer.batch_execute("COMMIT").await.expect("unlocked");
    };
    let (answer, ()) = tokio::join!(post(&desk, &tenant, &path, "cancel"), release);
    assert_eq!(answer.code(), (200, ""), "{answer:?}");

    // Not for ever, and it is told as what it is.
    writer.batch_execute(lock).await.expect("locked");
    let answer = post(&desk, &tenant, &path, "retry").await;
    assert_eq!(answer.code(), (503, "unavailable"), "{answer:?}");
    let told = answer.body["error"].as_str().unwrap_or_default();
    assert!(told.contains("written by somebody else"), "{answer:?}");
    writer.batch_execute("COMMIT").await.expect("unlocked");
    let rows = "SELECT status FROM documents";
    assert_eq!(desk.database().rows(rows).await, ["cancelled"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_queues_what_waits_for_one_and_is_stored_nowhere() {
    let desk = Desk::paused().await;
    let tenant = desk.tenant("a", 10_000).await;
    let path = uploaded(&desk, &tenant, 1).await;
    let unlock = async |password: &str| {
        let request = desk.request(Method::POST, &format!("{path}/password"), &tenant.key);
        Answer::of(request.json(&json!({ "password": password }))).await
    };
    assert_eq!(unlock("s3cret-word").await.code(), (409, "wrong_status"));
    desk.database()
        .run("UPDATE documents SET process_status = 'Error', error_code = 'password_required', retryable = false")
        .await;
    assert_eq!(unlock(&"x".repeat(2_000)).await.code(), (400, "invalid"));
    assert_eq!(unlock("s3cret-word").await.status, 200);
    let given = password::of(1).expect("it is remembered");
    assert_eq!(given.0, "s3cret-word");
    let row = "SELECT documents::text FROM documents WHERE status = 'queued'";
    let rows = desk.database().rows(row).await;
    assert!(
        rows.len() == 1 && !rows[0].contains("s3cret-word"),
        "{rows:?}"
    );
}

/// A process that was not given the password leaves the document to the one that was.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_the_password_leaves_the_document_to_who_does() {
    let bench = Bench::new().await;
    // Passwords are known to the process, and other tests may be in it.
    let apart = "ALTER TABLE documents ALTER COLUMN id RESTART WITH 4711";
    bench.database.run(apart).await;
    let tenant = bench.tenant("a", 1).await;
    let document = bench.add(tenant, "a.txt", "page It is open now.", 0).await;
    let unlock = "UPDATE documents SET unlocked_until = now() + interval '1 hour'";
    bench.database.run(unlock).await;
    let tree = bench.start(1).await;
    let put_back = "SELECT count(*) FROM documents WHERE process_status = 'Queued' AND process_error LIKE '%knows its password%'";
    wait_until("it is put back", async || {
        bench.database.count(put_back).await == 1
    })
    .await;
    assert_eq!(bench.of(document, "process_attempts").await, "0");
    password::remember(document, Password("open".to_owned()));
    wait_until("it is read where the password is known", async || {
        bench.of(document, "status").await == "ready"
    })
    .await;
    tree.drain(Duration::from_secs(5)).await;
}

/// It could only forget it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_reads_no_documents_takes_no_password() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let path = uploaded(&desk, &tenant, 1).await;
    let failed = "UPDATE documents SET process_status = 'Error', error_code = 'password_required', retryable = true";
    desk.database().run(failed).await;
    let request = desk.request(Method::POST, &format!("{path}/password"), &tenant.key);
    let refused = Answer::of(request.json(&json!({ "password": "open" }))).await;
    assert_eq!(refused.code(), (503, "unavailable"), "{refused:?}");
    let rows = "SELECT status FROM documents";
    assert_eq!(desk.database().rows(rows).await, ["failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_know_three_words_are_told_no_other() {
    let desk = Desk::start(|config| config.section_mut::<Documents>().compat_statuses = true).await;
    let tenant = desk.tenant("a", 10_000).await;
    let answer = desk.upload(&tenant, "x.txt", b"hello").await;
    assert_eq!(answer.body["status"], "processing");
    let path = format!("/api/documents/{}", answer.document());
    assert_eq!(
        post(&desk, &tenant, &path, "cancel").await.body["status"],
        "failed"
    );
}
