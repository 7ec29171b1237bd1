//! Uploads as forms: what is taken, what is sent away, and that nothing stays of the latter.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use gleaner::documents::config::Documents;
use gleaner::documents::key::Scope;
use reqwest::{Body, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::desk::{Answer, Desk, form, text};
use crate::support::{skip, wait_until};

const PROGRAM: &[u8] = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_becomes_a_document_that_is_queued() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000_000).await;
    let bytes = text(1, 3 << 20);
    let answer = desk.upload(&tenant, "Report.txt", &bytes).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.document();
    assert_eq!(
        answer.body,
        json!({
            "success": true, "document_id": id, "filename": "Report.txt", "status": "queued",
            "message": "document uploaded, and queued for processing", "status_url": format!("/api/documents/{id}/status"),
        })
    );
    assert_eq!(desk.settled(&tenant).await, 3 << 20);
    let rows = desk
        .database()
        .rows("SELECT uid, filename, original_filename, mime_type, file_size, status, process_status, lane, process_priority FROM documents")
        .await;
    assert_eq!(
        rows,
        [format!(
            "{id}|Report.txt|Report.txt|text/plain|{}|queued|Queued|1|-3",
            3 << 20
        )]
    );
    let kept = desk.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!(std::fs::read(&kept[0]).expect("a file"), bytes);
    assert!(kept[0].starts_with(desk.database().folder().join(&tenant.uid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_are_one_document_unless_two_are_asked_for() {
    let desk = Desk::start(|_| {}).await;
    let (a, b) = (
        desk.tenant("a", 10_000).await,
        desk.tenant("b", 10_000).await,
    );
    let first = desk.upload(&a, "x.txt", b"hello, world").await;
    let again = desk.upload(&a, "other name.txt", b"hello, world").await;
    assert_eq!(again.status, 200);
    assert_eq!(again.document(), first.document());
    assert_eq!(again.body["duplicate"], true);
    let file: (&str, &str, &[u8]) = ("file", "x.txt", b"hello, world");
    let second = Answer::of(desk.uploading(&a, "?duplicate=allow", &[file])).await;
    assert_eq!(second.status, 201);
    assert_ne!(second.document(), first.document());
    // Stored and charged once; and the other tenant has its own.
    assert_eq!(desk.settled(&a).await, 12);
    let theirs = desk.upload(&b, "x.txt", b"hello, world").await;
    assert_eq!(theirs.status, 201);
    assert_eq!(desk.settled(&b).await, 12);
    assert_eq!(desk.kept().len(), 2);
    let refs = desk
        .database()
        .rows("SELECT refs FROM blob ORDER BY tenant_id")
        .await;
    assert_eq!(refs, ["2", "1"]);
    let odd = Answer::of(desk.uploading(&a, "?duplicate=maybe", &[file])).await;
    assert_eq!(odd.code(), (400, "invalid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_makes_many_uploads_one() {
    let desk = Desk::start(|_| {}).await;
    let (a, b) = (
        desk.tenant("a", 1_000_000).await,
        desk.tenant("b", 1_000_000).await,
    );
    let bodies: Vec<Vec<u8>> = (0..10).map(|seed| text(seed, 40_000)).collect();
    let uploads = bodies.iter().map(|bytes| {
        let file: (&str, &str, &[u8]) = ("file", "x.txt", bytes);
        Answer::of(
            desk.uploading(&a, "", &[file])
                .header("idempotency-key", "order-17"),
        )
    });
    let answers = join_all(uploads).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 200, 201]);
    assert!(
        answers
            .iter()
            .all(|answer| answer.document() == answers[0].document())
    );
    assert_eq!(
        desk.database()
            .count("SELECT count(*) FROM documents")
            .await,
        1
    );
    assert_eq!(desk.settled(&a).await, 40_000);
    // It is the tenant's own.
    let file: (&str, &str, &[u8]) = ("file", "x.txt", b"another's");
    let theirs = desk
        .uploading(&b, "", &[file])
        .header("idempotency-key", "order-17");
    let theirs = Answer::of(theirs).await;
    assert_eq!(theirs.status, 201);
    assert_ne!(theirs.document(), answers[0].document());
    let bad = desk
        .uploading(&a, "", &[file])
        .header("idempotency-key", "x".repeat(300));
    assert_eq!(Answer::of(bad).await.code(), (400, "invalid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_data_and_no_path() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000_000).await;
    let long = "n".repeat(10_000) + ".txt";
    for (seed, (sent, stored)) in [
        ("../../../etc/x.txt", "x.txt"),
        ("/etc/cron.d/y.txt", "y.txt"),
        ("C:\\Windows\\z.txt", "z.txt"),
        ("safe\u{202e}txt.exe", "safetxt.exe"),
        ("e\u{301}.txt", "é.txt"),
        ("", "document"),
        (&long, &format!("{}.txt", "n".repeat(251))),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = text(u64::try_from(seed).expect("few"), 100);
        let answer = desk.upload(&tenant, sent, &bytes).await;
        assert_eq!(answer.status, 201, "{sent:?} {answer:?}");
        assert_eq!(answer.body["filename"], stored, "{sent:?}");
    }
    // All of them, and nothing else, in the tenant's own folder.
    let kept = desk.kept();
    assert_eq!(kept.len(), 7);
    for path in kept {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        assert!(
            name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_document_is_sent_away_and_leaves_nothing() {
    let desk =
        Desk::start(|config| config.section_mut::<Documents>().max_file_bytes = 100_000).await;
    let tenant = desk.tenant("a", 150_000).await;
    let large = text(1, 100_001);
    let huge = text(1, 2 << 20);
    let program = [PROGRAM, &[0; 50_000]].concat();
    let one: (&str, &str, &[u8]) = ("file", "a.txt", b"one");
    let two: (&str, &str, &[u8]) = ("file", "b.txt", b"two");
    for (what, files, expected) in [
        (
            "a program",
            vec![("file", "x.pdf", &*program)],
            (415, "unsupported_type"),
        ),
        (
            "a small one",
            vec![("file", "x.pdf", PROGRAM)],
            (415, "unsupported_type"),
        ),
        (
            "an empty file",
            vec![("file", "x.pdf", &b""[..])],
            (400, "empty_file"),
        ),
        ("no file", vec![], (400, "no_file")),
        ("two files", vec![one, two], (400, "invalid")),
        (
            "a large file",
            vec![("file", "x.txt", &*large)],
            (413, "too_large"),
        ),
        (
            "a huge file",
            vec![("file", "x.txt", &*huge)],
            (413, "too_large"),
        ),
    ] {
        let answer = Answer::of(desk.uploading(&tenant, "", &files)).await;
        assert_eq!(answer.code(), expected, "{what}: {answer:?}");
        assert_eq!(answer.body["success"], false);
        assert_eq!(desk.settled(&tenant).await, 0, "{what}");
    }
    for (kind, body) in [
        ("application/json", &b"{}"[..]),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nbroken off"),
    ] {
        let request = desk
            .request(Method::POST, "/api/documents/upload", &tenant.key)
            .header("content-type", kind)
            .body(body);
        assert_eq!(Answer::of(request).await.code(), (400, "invalid"), "{kind}");
    }
    assert_eq!(desk.settled(&tenant).await, 0);
    assert!(desk.kept().is_empty());
    assert_eq!(
        desk.database()
            .count("SELECT count(*) FROM documents")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_write_uploads() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let (kind, body) = form(&[("file", "x.txt", b"hello")]);
    let path = "/api/documents/upload";
    let stranger = desk
        .stranger(Method::POST, path)
        .header("content-type", kind);
    assert_eq!(
        Answer::of(stranger.body(body.clone())).await.code(),
        (401, "unauthorized")
    );
    let wrong = desk
        .request(Method::POST, path, "gld_0000")
        .header("content-type", kind);
    assert_eq!(
        Answer::of(wrong.body(body.clone())).await.code(),
        (401, "unauthorized")
    );
    let reader = desk.key(tenant.id, Scope::Read).await;
    let reading = desk
        .request(Method::POST, path, &reader)
        .header("content-type", kind);
    assert_eq!(
        Answer::of(reading.body(body)).await.code(),
        (403, "read_only")
    );
    assert_eq!(desk.settled(&tenant).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_edge_of_the_quota_as_many_are_taken_as_fit() {
    let desk = Desk::start(|_| {}).await;
    // Five fit, and one byte is left.
    let tenant = desk.tenant("a", 5 * 30_000 + 1).await;
    let bodies: Vec<Vec<u8>> = (0..20).map(|seed| text(seed, 30_000)).collect();
    let answers = join_all(
        bodies
            .iter()
            .map(|bytes| desk.upload(&tenant, "x.txt", bytes)),
    )
    .await;
    let taken = answers.iter().filter(|answer| answer.status == 201).count();
    // Those that came while others' bytes were still set aside were refused for now.
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.code(), (413, "quota_exceeded"), "{answer:?}");
    }
    assert!((1..=5).contains(&taken), "{taken}");
    for (seed, bytes) in bodies.iter().enumerate().take(20) {
        let used = desk.settled(&tenant).await;
        let answer = desk.upload(&tenant, "x.txt", bytes).await;
        let fits = used + 30_000 <= 150_001;
        let expected: &[u16] = if fits { &[201, 200] } else { &[413] };
        // Of a duplicate nothing is stored, but it has to be received to be known for one.
        assert!(
            expected.contains(&answer.status),
            "{seed} {used} {answer:?}"
        );
    }
    assert_eq!(desk.settled(&tenant).await, 150_000);
    // To the byte.
    assert_eq!(
        desk.upload(&tenant, "y.txt", b"zz").await.code(),
        (413, "quota_exceeded")
    );
    assert_eq!(desk.upload(&tenant, "y.txt", b"z").await.status, 201);
    assert_eq!(desk.settled(&tenant).await, 150_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_taken_as_it_comes() {
    let desk =
        Desk::start(|config| config.section_mut::<Documents>().max_file_bytes = 20 << 20).await;
    let tenant = desk.tenant("a", (20 << 20) + 5).await;
    let upload = async |bytes: usize| {
        let bytes = text(7, bytes);
        let (kind, body) = form(&[("file", "x.txt", &bytes)]);
        let pieces: Vec<_> = body
            .chunks(60_000)
            .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
            .collect();
        let request = desk
            .request(Method::POST, "/api/documents/upload", &tenant.key)
            .header("content-type", kind)
            .body(Body::wrap_stream(stream::iter(pieces)));
        Answer::of(request).await
    };
    assert_eq!(upload((20 << 20) + 1).await.code(), (413, "too_large"));
    assert_eq!(desk.settled(&tenant).await, 0);
    assert_eq!(upload(20 << 20).await.status, 201);
    assert_eq!(desk.settled(&tenant).await, 20 << 20);
    // Less than a step of what is set aside is left, and enough.
    assert_eq!(upload(6).await.code(), (413, "quota_exceeded"));
    assert_eq!(upload(5).await.status, 201);
    assert_eq!(desk.settled(&tenant).await, (20 << 20) + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_an_address_of_their_own_where_one_is_set() {
    let desk =
        Desk::start(|config| config.section_mut::<Documents>().listen = "127.0.0.1:0".to_owned())
            .await;
    let tenant = desk.tenant("a", 10_000).await;
    let address = desk.app.app().outside_addresses()[0];
    let client = reqwest::Client::new();
    let (kind, body) = form(&[("file", "x.txt", b"hello")]);
    let upload = client
        .post(format!("http://{address}/api/documents/upload"))
        .bearer_auth(&tenant.key)
        .header("content-type", kind)
        .body(body);
    assert_eq!(Answer::of(upload).await.status, 201);
    // Nothing of the operators' is there.
    let tenants = client.get(format!("http://{address}/api/v1/tenants"));
    assert_eq!(Answer::of(tenants).await.status, 404);
}

/// An upload of which so many bytes are announced and so many sent, on a connection of its own.
async fn begun(desk: &Desk, key: &str, announced: usize, sent: usize) -> TcpStream {
    let address = desk.app.app().http_address().expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = "--f00\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.txt\"\r\n\r\n";
    let request = format!(
        "POST /api/documents/upload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: multipart/form-data; boundary=f00\r\nContent-Length: {}\r\n\r\n{head}",
        head.len() + announced + "\r\n--f00--\r\n".len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.write_all(&text(9, sent)).await.expect("sent");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_gives_back_all_it_had_set_aside() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10 << 20).await;
    for sent in [0, 1, 100_000, 5 << 20] {
        let stream = begun(&desk, &tenant.key, 6 << 20, sent).await;
        wait_until("bytes are set aside", async || {
            desk.account(&tenant).await.1 == 6 << 20
        })
        .await;
        drop(stream);
        assert_eq!(desk.settled(&tenant).await, 0, "{sent}");
    }
    assert_eq!(
        desk.database()
            .count("SELECT count(*) FROM documents")
            .await,
        0
    );
    assert!(desk.kept().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_have_a_ceiling_and_take_no_places() {
    let desk = Desk::start(|config| {
        config.section_mut::<Documents>().max_uploads = 2;
        config.http.max_connections_per_peer = 4;
    })
    .await;
    let tenant = desk.tenant("a", 10 << 20).await;
    let mut held = Vec::new();
    for count in 1..=2_i64 {
        held.push(begun(&desk, &tenant.key, 1 << 20, 1_000).await);
        wait_until("bytes are set aside", async || {
            desk.account(&tenant).await.1 == count << 20
        })
        .await;
    }
    let refused = desk.upload(&tenant, "x.txt", b"one too many").await;
    assert_eq!(refused.code(), (503, "too_many_uploads"));
    assert_eq!(refused.header("retry-after"), "5");
    // Whoever is nobody gets no place among them, and all else is answered.
    let health = Answer::of(desk.stranger(Method::GET, "/health")).await;
    assert_eq!(health.status, 200);
    let mut first = held.pop().expect("two");
    first
        .write_all(&[text(9, (1 << 20) - 1_000), b"\r\n--f00--\r\n".to_vec()].concat())
        .await
        .expect("sent");
    let mut answer = vec![0; 12];
    first.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, b"HTTP/1.1 201");
    drop(held);
    assert_eq!(desk.settled(&tenant).await, 1 << 20);
    assert_eq!(
        desk.upload(&tenant, "x.txt", b"there is room again")
            .await
            .status,
        201
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_storage_or_database_nothing_is_kept_and_the_quota_is_exact() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let folder = desk.database().folder();
    // A file stands where the folder should be, which who looks how things stand may have made.
    drop(std::fs::remove_dir_all(&folder));
    std::fs::write(&folder, b"in the way").expect("written");
    assert_eq!(
        desk.upload(&tenant, "x.txt", b"hello").await.code(),
        (503, "unavailable")
    );
    assert_eq!(desk.account(&tenant).await, (0, 0));
    std::fs::remove_file(&folder).expect("removed");
    // The tables are not there.
    for table in ["reservation", "documents"] {
        desk.database()
            .run(&format!("ALTER TABLE {table} RENAME TO elsewhere"))
            .await;
        let answer = desk.upload(&tenant, "x.txt", b"hello").await;
        assert_eq!(answer.code(), (503, "unavailable"), "{table}");
        assert!(!answer.body.to_string().contains("relation"), "{answer:?}");
        desk.database()
            .run(&format!("ALTER TABLE elsewhere RENAME TO {table}"))
            .await;
        assert_eq!(desk.settled(&tenant).await, 0, "{table}");
    }
    assert_eq!(desk.upload(&tenant, "x.txt", b"hello").await.status, 201);
    assert_eq!(desk.settled(&tenant).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_kept_and_the_quota_is_exact() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10 << 20).await;
    let folder = desk.database().folder();
    std::fs::create_dir_all(&folder).expect("a folder");
    let mount = |arguments: &[&str]| {
        let folder = folder.clone();
        let ran = std::process::Command::new(arguments[0])
            .args(&arguments[1..])
            .arg(folder)
            .stderr(std::process::Stdio::null())
            .status();
        ran.is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=1m", "none"]) {
        return skip("no small disk can be mounted here");
    }
    let answer = desk.upload(&tenant, "x.txt", &text(1, 3 << 20)).await;
    let left = desk.account(&tenant).await;
    let drafts_gone = {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while desk.drafts() > 0 && tokio::time::Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        desk.drafts() == 0
    };
    let small = desk.upload(&tenant, "y.txt", b"it goes on").await;
    assert!(mount(&["umount"]), "the disk is unmounted");
    assert_eq!(answer.code(), (503, "unavailable"), "{answer:?}");
    assert_eq!(
        answer.body["error"],
        "the storage is full; nothing was kept"
    );
    assert_eq!(left, (0, 0));
    assert!(drafts_gone);
    assert_eq!(small.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_files_each_is_judged_by_itself() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 1_000).await;
    let (kind, body) = form(&[
        ("files[]", "a.txt", b"first"),
        ("files[]", "b.pdf", PROGRAM),
        ("files[]", "c.txt", b"first"),
        ("files[]", "d.txt", &text(1, 2_000)),
        ("files[]", "e.txt", b"last"),
    ]);
    let request = desk
        .request(Method::POST, "/api/documents/upload-batch", &tenant.key)
        .header("content-type", kind);
    let answer = Answer::of(request.body(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(
        (&answer.body["accepted"], &answer.body["refused"]),
        (&json!(3), &json!(2))
    );
    let results = answer.body["results"].as_array().expect("results");
    let told: Vec<_> = results
        .iter()
        .map(|one| {
            (
                one["filename"].as_str(),
                one["duplicate"].as_bool(),
                one["code"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("a.txt"), None, None),
            (Some("b.pdf"), None, Some("unsupported_type")),
            (Some("a.txt"), Some(true), None),
            (Some("d.txt"), None, Some("quota_exceeded")),
            (Some("e.txt"), None, None),
        ]
    );
    assert_eq!(desk.settled(&tenant).await, 9);
}
