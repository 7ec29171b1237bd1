//! document-processing: what becomes of a document, whatever is in its file.

use std::sync::Arc;
use std::time::Duration;

use gleaner::documents::child::Reader;

use super::bench::Bench;
use crate::support::wait_until;

const ALL: &str = "status, process_status, error_code, retryable, processing_progress, step";

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_read_cut_and_ready() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let text = "opened 3\npage Brass kettles boil añ😀\nfailed\npage \npage Copper pots";
    let document = bench.add(tenant, "kettles.txt", text, 0).await;
    let tree = bench.start(2).await;
    bench.settled().await;
    let of = async |columns| bench.of(document, columns).await;
    assert_eq!(of(ALL).await, "ready|Completed|||100|");
    assert_eq!(
        of("page_count, pages_done, pages_without_text, error_pages, language, title, mime_type, parser, total_chunks, total_chars, total_tokens").await,
        "4|4|{3}|{2}|en|A title|text/x-script|script 1|2|36|4"
    );
    let pages = "SELECT number, start_char, chars, text FROM document_page ORDER BY number";
    assert_eq!(
        bench.database.rows(pages).await,
        [
            "1|0|22|Brass kettles boil añ😀",
            "2|23|0|",
            "3|24|0|",
            "4|25|11|Copper pots"
        ]
    );
    let chunks = "SELECT seq, page_from, start_char, end_char, config, words, tsv @@ to_tsquery('english', 'kettle | pot') FROM chunk ORDER BY seq";
    assert_eq!(
        bench.database.rows(chunks).await,
        ["0|1|0|22|english|4|t", "1|4|25|36|english|2|t"]
    );
    // What a piece says is what stands there in the text that the pages have together.
    let sliced = "WITH whole AS (SELECT string_agg(text, E'\\f' ORDER BY number) AS text FROM document_page)
        SELECT substr(whole.text, start_char::int + 1, (end_char - start_char)::int) FROM chunk, whole ORDER BY seq";
    assert_eq!(
        bench.database.rows(sliced).await,
        ["Brass kettles boil añ😀", "Copper pots"]
    );

    // Once more leaves the same.
    bench
        .database
        .run("UPDATE documents SET status = 'queued'")
        .await;
    bench.settled().await;
    assert_eq!(of(ALL).await, "ready|Completed|||100|");
    assert_eq!(bench.database.rows(pages).await.len(), 4);
    assert_eq!(bench.database.rows(chunks).await.len(), 2);
    tree.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_fails_with_a_code_its_pages_and_whether_to_try_again() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 10).await;
    for (name, text, expected, attempts) in [
        (
            "corrupt",
            "page x\nrefuse corrupt",
            "failed|corrupt|f|{2}",
            1,
        ),
        (
            "password",
            "refuse password_required",
            "failed|password_required|t|{2}",
            1,
        ),
        (
            "blank",
            "opened 2\npage  \npage ",
            "failed|no_text_layer|t|{1,2}",
            1,
        ),
        ("nothing", "opened 0", "failed|empty|f|{}", 1),
        // What reads them breaks down: once more, and never a third time.
        ("slow", "refuse timeout", "failed|timeout|f|{2}", 2),
        ("big", "refuse memory", "failed|memory|f|{2}", 2),
        (
            "crash",
            "refuse parser_crashed",
            "failed|parser_crashed|f|{2}",
            2,
        ),
        ("liar", "page a\nliar", "failed|parser_crashed|f|{}", 2),
    ] {
        let document = bench.add(tenant, name, text, 0).await;
        // Its second attempt need not be waited for.
        let again = "UPDATE documents SET process_due_at = now() WHERE process_status = 'Queued' AND process_due_at > now()";
        let tree = bench.start(2).await;
        wait_until("it is done", async || {
            bench.database.run(again).await;
            bench.of(document, "process_status").await == "Error"
        })
        .await;
        tree.drain(Duration::from_secs(5)).await;
        let found = bench
            .of(document, "status, error_code, retryable, error_pages")
            .await;
        assert_eq!(found, expected, "{name}");
        let began = bench.script.began();
        let times = began.iter().filter(|one| *one == name).count();
        assert_eq!(times, attempts, "{name}");
        assert_eq!(bench.of(document, "error_message IS NULL").await, "f");
    }
    assert_eq!(bench.database.count("SELECT count(*) FROM chunk").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_loses_the_text_that_it_had() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let document = bench.add(tenant, "x", "page Kettle", 0).await;
    let tree = bench.start(1).await;
    bench.settled().await;
    assert_eq!(bench.of(document, "status").await, "ready");
    let file = bench.file(tenant, "refuse corrupt").await;
    let hash: String = file
        .sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    bench
        .database
        .run(&format!(
            "INSERT INTO blob (tenant_id, sha256, bytes, refs) VALUES ({tenant}, '\\x{hash}', 1, 1);
             UPDATE documents SET sha256 = '\\x{hash}', status = 'queued'"
        ))
        .await;
    bench.settled().await;
    assert_eq!(
        bench
            .of(document, "status, error_code, total_chunks, total_chars")
            .await,
        "failed|corrupt|0|0"
    );
    let left = "SELECT (SELECT count(*) FROM chunk) + (SELECT count(*) FROM document_page)";
    assert_eq!(bench.database.count(left).await, 0);
    tree.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_without_text_cannot_exist() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let document = bench.row(tenant, "x", "page x", 0).await;
    let client = bench.database.client().await;
    let refused = client
        .batch_execute("UPDATE documents SET process_status = 'Completed'")
        .await
        .unwrap_err();
    let refused = refused.as_db_error().expect("the database's").message();
    assert!(refused.contains("it has no text"), "{refused}");
    client
        .batch_execute("UPDATE documents SET status = 'ready'")
        .await
        .unwrap();
    assert_eq!(
        bench.of(document, "status, process_status").await,
        "queued|Queued"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_machine_lacks_is_charged_to_no_document() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let document = bench.add(tenant, "x", "short\npage Kettle", 0).await;
    let tree = bench.start(1).await;
    bench.settled().await;
    assert_eq!(
        bench.of(document, "status, process_attempts").await,
        "ready|1"
    );
    assert_eq!(bench.script.began().len(), 2);
    let told = "SELECT outcome FROM attempt ORDER BY settled_at";
    assert_eq!(bench.database.rows(told).await, ["snoozed", "completed"]);
    tree.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_fails_its_document_and_nobody_else_s() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let gone = bench.row(tenant, "gone", "page nobody has this", 0).await;
    let other = bench.add(tenant, "other", "page Kettle", 0).await;
    let tree = bench.start(1).await;
    bench.settled().await;
    assert_eq!(
        bench.of(gone, "status, error_code, retryable").await,
        "failed|file_missing|f"
    );
    assert_eq!(bench.of(other, "status").await, "ready");
    tree.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_attached_becomes_documents_of_its_own_under_the_same_quota() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let mail = "page Look at these\nattach ../a.txt page Attached kettle\nattach b.txt \nattach a2.txt page Attached kettle\n\
                attach big.txt page A pot that does not fit";
    let document = bench.add(tenant, "mail.eml", mail, 0).await;
    // Room for the first, and for no more.
    bench
        .database
        .run("UPDATE tenant SET quota_bytes = used_bytes + 25")
        .await;
    let tree = bench.start(2).await;
    for _ in 0..2 {
        bench.settled().await;
        assert_eq!(bench.of(document, "status").await, "ready");
        let children = "SELECT filename, depth, status, parent_id IS NOT NULL FROM documents WHERE id > 1 ORDER BY id";
        assert_eq!(bench.database.rows(children).await, ["a.txt|1|ready|t"]);
        let skipped = bench.of(document, "doc_metadata").await;
        for expected in [
            r#"{"reason": "empty", "filename": "b.txt"}"#,
            r#"{"reason": "twice", "filename": "a2.txt"}"#,
            r#"{"reason": "quota_exceeded", "filename": "big.txt"}"#,
        ] {
            assert!(skipped.contains(expected), "{skipped}");
        }
        let account = "SELECT used_bytes = (SELECT sum(bytes) FROM blob WHERE refs > 0), (SELECT max(refs) FROM blob) FROM tenant";
        assert_eq!(bench.database.rows(account).await, ["t|1"]);
        bench
            .database
            .run("UPDATE documents SET status = 'queued' WHERE parent_id IS NULL")
            .await;
    }
    bench.settled().await;
    let drafts = std::fs::read_dir(
        gleaner::documents::blob::Blobs::drafts(&*bench.blobs)
            .await
            .unwrap(),
    );
    assert_eq!(drafts.unwrap().count(), 0);
    tree.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_child_reads_a_real_file() {
    let bench = Bench::new().await;
    let tenant = bench.tenant("a", 2).await;
    let text =
        "The kettle is made of brass.\n\nIt boils water in the morning and in the evening.\n";
    let document = bench.add(tenant, "kettle.txt", text, 0).await;
    let reader = Arc::new(Reader::by(env!("CARGO_BIN_EXE_gleaner")));
    let tree = bench.start_with(reader, 2).await;
    bench.settled().await;
    assert_eq!(
        bench
            .of(
                document,
                "status, error_code, error_message, mime_type, page_count"
            )
            .await,
        "ready|||text/plain|1"
    );
    let found = "SELECT count(*) FROM chunk WHERE tsv @@ to_tsquery('simple', 'brass')";
    assert_eq!(bench.database.count(found).await, 1);
    tree.drain(Duration::from_secs(5)).await;
}
