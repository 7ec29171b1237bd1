//! What is nobody's goes, and nothing else; accounts are put right.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use gleaner::documents::blob::{Blobs as _, Key};
use gleaner::documents::sweep::accounts::{Account, reconcile};
use gleaner::documents::sweep::{GRACE, Swept, orphans, sweep};

use super::bench::Bench;

/// Where a file lies.
async fn path(bench: &Bench, key: &Key) -> PathBuf {
    let drafts = bench.blobs.drafts().await.unwrap();
    drafts.parent().unwrap().join(key.to_string())
}

/// Makes a file look as if it had been written two hours ago.
fn age(path: &std::path::Path) {
    let then = SystemTime::now() - Duration::from_secs(7_200);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(then)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_reservations_that_were_given_up_are_given_back() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let drafts = bench.blobs.drafts().await.unwrap().to_owned();
    let upload = "00000000-0000-4000-8000-00000000000";
    bench
        .database
        .run(&format!(
            "UPDATE tenant SET reserved_bytes = 1111;
             INSERT INTO upload (id, tenant_id, length, filename, expires_at) VALUES
                 ('{upload}1', {tenant}, 1000, 'x', now() - interval '1 second'), ('{upload}2', {tenant}, 100, 'x', now() + interval '1 hour');
             INSERT INTO reservation (tenant_id, bytes, expires_at) VALUES
                 ({tenant}, 10, now() - interval '1 second'), ({tenant}, 1, now() + interval '1 hour')"
        ))
        .await;
    for name in ["1", "2"] {
        let draft = drafts.join(format!("{upload}{name}"));
        fs::write(&draft, "x").unwrap();
        age(&draft);
    }
    fs::write(drafts.join("young"), "x").unwrap();
    fs::write(drafts.join("old"), "x").unwrap();
    age(&drafts.join("old"));
    let mut conn = bench.database.connect().await;
    let would = sweep(&mut conn, &*bench.blobs, true).await.unwrap();
    let expected = Swept {
        uploads: 1,
        reservations: 1,
        drafts: 1,
        ..Swept::default()
    };
    assert_eq!(would, expected);
    let reserved = "SELECT reserved_bytes FROM tenant";
    assert_eq!(bench.database.count(reserved).await, 1_111);
    assert_eq!(
        sweep(&mut conn, &*bench.blobs, false).await.unwrap(),
        expected
    );
    assert_eq!(bench.database.count(reserved).await, 101);
    let mut left: Vec<String> = fs::read_dir(&drafts)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, [format!("{upload}2"), "young".to_owned()]);
    let again = sweep(&mut conn, &*bench.blobs, false).await.unwrap();
    assert_eq!(again, Swept::default());
    assert_eq!(
        reconcile(&mut conn, true).await.unwrap(),
        [] as [Account; 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_file_goes_after_a_while_and_never_one_that_is_uploaded_again() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    for (name, text) in [
        ("gone", "page gone"),
        ("again", "page again"),
        ("kept", "page kept"),
    ] {
        bench.add(tenant, name, text, 0).await;
    }
    let mut files = Vec::new();
    for text in ["page gone", "page again", "page kept"] {
        let key = bench.file(tenant, text).await;
        let path = path(&bench, &key).await;
        age(&path);
        files.push(path);
    }
    bench
        .database
        .run(
            "UPDATE documents SET process_status = 'Cancelled', deleted_at = now() WHERE filename <> 'kept';
             UPDATE blob SET refs = 0 FROM documents WHERE documents.sha256 = blob.sha256 AND deleted_at IS NOT NULL;
             UPDATE tenant SET used_bytes = (SELECT sum(bytes) FROM blob WHERE refs > 0)",
        )
        .await;
    let mut conn = bench.database.connect().await;
    // Not at once.
    assert_eq!(
        sweep(&mut conn, &*bench.blobs, false).await.unwrap().files,
        0
    );
    bench
        .database
        .run("UPDATE blob SET released_at = now() - interval '2 hours' WHERE refs = 0")
        .await;
    assert_eq!(
        sweep(&mut conn, &*bench.blobs, true).await.unwrap().files,
        2
    );
    // One is being uploaded again: the file is kept, and its row is to follow.
    bench.file(tenant, "page again").await;
    assert_eq!(
        sweep(&mut conn, &*bench.blobs, false).await.unwrap().files,
        1
    );
    let there: Vec<bool> = files.iter().map(|file| file.exists()).collect();
    assert_eq!(there, [false, true, true]);
    // The row stays for as long as the deleted document names it, and a new upload takes it up again.
    let rows = "SELECT count(*) FROM blob";
    assert_eq!(bench.database.count(rows).await, 3);
    bench.add(tenant, "gone", "page gone", 0).await;
    let state = "SELECT refs, purged_at IS NULL, released_at IS NULL FROM blob ORDER BY refs, purged_at NULLS FIRST";
    assert_eq!(
        bench.database.rows(state).await,
        ["0|t|f", "1|t|t", "1|t|t"]
    );
    assert!(files[0].exists());
    assert_eq!(
        reconcile(&mut conn, true).await.unwrap(),
        [] as [Account; 0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_without_a_row_go_but_young_ones() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    bench.add(tenant, "kept", "page kept", 0).await;
    let mut files = Vec::new();
    for text in ["page kept", "old", "young"] {
        let key = bench.file(tenant, text).await;
        let path = path(&bench, &key).await;
        if text != "young" {
            age(&path);
        }
        files.push(path);
    }
    // Of a tenant who is no more.
    let stray = Key {
        tenant: "00000000-0000-4000-8000-0000000000ff".to_owned(),
        sha256: [7; 32],
    };
    let draft = bench.blobs.drafts().await.unwrap().join("x");
    fs::write(&draft, "x").unwrap();
    bench.blobs.keep(&stray, &draft).await.unwrap();
    let stray = path(&bench, &stray).await;
    age(&stray);
    files.push(stray);
    let mut conn = bench.database.connect().await;
    let soon = || Instant::now() + Duration::from_secs(60);
    for is_trial in [true, false] {
        let found = orphans(&mut conn, &*bench.blobs, GRACE, soon(), is_trial)
            .await
            .unwrap();
        assert_eq!(found, 2);
    }
    assert_eq!(
        sweep(&mut conn, &*bench.blobs, false).await.unwrap().files,
        1
    );
    let there: Vec<bool> = files.iter().map(|file| file.exists()).collect();
    assert_eq!(there, [true, false, true, false]);
    let found = orphans(&mut conn, &*bench.blobs, GRACE, soon(), false)
        .await
        .unwrap();
    assert_eq!(found, 0);
    assert_eq!(bench.database.count("SELECT count(*) FROM blob").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_are_off_are_put_right_to_the_byte() {
    let bench = Bench::new().await;
    let (right, wrong) = (
        bench.tenant("right", 2).await,
        bench.tenant("wrong", 2).await,
    );
    for tenant in [right, wrong] {
        bench.add(tenant, "a", "page same", 0).await;
        bench.add(tenant, "b", "page same", 0).await;
        bench.add(tenant, "c", "page other", 0).await;
    }
    bench
        .database
        .run(&format!(
            "INSERT INTO reservation (tenant_id, bytes, expires_at) VALUES ({wrong}, 5, now() + interval '1 hour');
             UPDATE tenant SET used_bytes = 12345, reserved_bytes = 99 WHERE id = {wrong};
             UPDATE blob SET refs = 7 WHERE tenant_id = {wrong} AND refs = 2"
        ))
        .await;
    let mut conn = bench.database.connect().await;
    for is_trial in [true, false] {
        let off = reconcile(&mut conn, is_trial).await.unwrap();
        let told: Vec<_> = off
            .iter()
            .map(|one| {
                (
                    one.name.as_str(),
                    one.used_was,
                    one.used,
                    one.reserved_was,
                    one.reserved,
                    one.files,
                )
            })
            .collect();
        assert_eq!(told, [("wrong", 12_345, 19, 99, 5, 1)]);
    }
    assert_eq!(
        reconcile(&mut conn, true).await.unwrap(),
        [] as [Account; 0]
    );
    let refs = format!("SELECT refs FROM blob WHERE tenant_id = {wrong} ORDER BY refs");
    assert_eq!(bench.database.rows(&refs).await, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_keys_are_forgotten_and_deleted_documents_go_for_good() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let document = bench.add(tenant, "a", "page a", 0).await;
    bench
        .database
        .run(&format!(
            "INSERT INTO idempotency (tenant_id, key, document_id, created_at) VALUES
                 ({tenant}, 'old', {document}, now() - interval '8 days'), ({tenant}, 'new', {document}, now())"
        ))
        .await;
    let mut conn = bench.database.connect().await;
    assert_eq!(sweep(&mut conn, &*bench.blobs, true).await.unwrap().keys, 1);
    assert_eq!(
        sweep(&mut conn, &*bench.blobs, false).await.unwrap().keys,
        1
    );
    assert_eq!(
        bench.database.rows("SELECT key FROM idempotency").await,
        ["new"]
    );

    let kind = &gleaner::documents::retention::KINDS[0];
    let week = Duration::from_secs(7 * 24 * 3_600);
    for (deleted, gone) in [("NULL", 0), ("now()", 0), ("now() - interval '8 days'", 1)] {
        bench
            .database
            .run(&format!(
                "UPDATE documents SET deleted_at = {deleted}, process_status = 'Cancelled'"
            ))
            .await;
        for is_trial in [true, false] {
            let step =
                gleaner::store::prune::step(&mut conn, kind, week, Default::default(), is_trial)
                    .await
                    .unwrap();
            assert_eq!(step.gone, gone, "{deleted}");
        }
    }
    assert_eq!(
        bench.database.count("SELECT count(*) FROM documents").await,
        0
    );
}
