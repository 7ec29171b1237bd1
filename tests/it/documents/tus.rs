//! Resumable uploads (tus 1.0.0).

use gleaner::documents::config::Documents;
use reqwest::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::desk::{Answer, Desk, Tenant, text};
use crate::support::wait_until;

/// `x.txt` and `x.pdf` in base64.
const TXT: &str = "filename eC50eHQ=";
const PDF: &str = "filename eC5wZGY=";

async fn create(desk: &Desk, tenant: &Tenant, length: usize, metadata: &str) -> Answer {
    let request = desk
        .request(Method::POST, "/api/uploads", &tenant.key)
        .header("tus-resumable", "1.0.0")
        .header("upload-length", length)
        .header("upload-metadata", metadata);
    Answer::of(request).await
}

/// The path of a new one.
async fn created(desk: &Desk, tenant: &Tenant, length: usize) -> String {
    let answer = create(desk, tenant, length, TXT).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("tus-resumable"), "1.0.0");
    assert!(answer.header("upload-expires").ends_with("GMT"));
    answer.header("location").to_owned()
}

async fn append(desk: &Desk, tenant: &Tenant, path: &str, offset: usize, bytes: &[u8]) -> Answer {
    let request = desk
        .request(Method::PATCH, path, &tenant.key)
        .header("tus-resumable", "1.0.0")
        .header("content-type", "application/offset+octet-stream")
        .header("upload-offset", offset)
        .body(bytes.to_vec());
    Answer::of(request).await
}

async fn plain(desk: &Desk, tenant: &Tenant, method: Method, path: &str) -> Answer {
    let request = desk.request(method, path, &tenant.key);
    Answer::of(request.header("tus-resumable", "1.0.0")).await
}

async fn offset(desk: &Desk, tenant: &Tenant, path: &str) -> String {
    let answer = plain(desk, tenant, Method::HEAD, path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.header("upload-offset").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_parts_becomes_a_document() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10 << 20).await;
    let bytes = text(3, 3_000_000);
    let path = created(&desk, &tenant, bytes.len()).await;
    assert_eq!(desk.account(&tenant).await, (0, 3_000_000));
    for (from, to) in [
        (0, 1_000),
        (1_000, 1_000),
        (1_000, 2_500_000),
        (2_500_000, 3_000_000),
    ] {
        assert_eq!(offset(&desk, &tenant, &path).await, from.to_string());
        let answer = append(&desk, &tenant, &path, from, &bytes[from..to]).await;
        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.header("upload-offset"), to.to_string());
    }
    let done = plain(&desk, &tenant, Method::HEAD, &path).await;
    assert_eq!(done.header("upload-offset"), "3000000");
    let rows = "SELECT uid, filename, mime_type, file_size, status FROM documents";
    let document = done.header("gleaner-document");
    assert_eq!(
        desk.database().rows(rows).await,
        [format!("{document}|x.txt|text/plain|3000000|queued")]
    );
    assert_eq!(desk.settled(&tenant).await, 3_000_000);
    assert_eq!(std::fs::read(&desk.kept()[0]).expect("a file"), bytes);
    // It is complete.
    let more = append(&desk, &tenant, &path, 3_000_000, b"x").await;
    assert_eq!(more.code(), (409, "complete"));
    // The same bytes again are the same document.
    let path = created(&desk, &tenant, bytes.len()).await;
    let again = append(&desk, &tenant, &path, 0, &bytes).await;
    assert_eq!(again.header("gleaner-document"), document);
    assert_eq!(desk.settled(&tenant).await, 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_protocol_forbids_is_refused() {
    let desk =
        Desk::start(|config| config.section_mut::<Documents>().max_file_bytes = 10_000).await;
    let (tenant, other) = (desk.tenant("a", 9_000).await, desk.tenant("b", 9_000).await);
    let options = Answer::of(desk.stranger(Method::OPTIONS, "/api/uploads")).await;
    assert_eq!(options.status, 204);
    assert_eq!(options.header("tus-version"), "1.0.0");
    assert_eq!(
        options.header("tus-extension"),
        "creation,expiration,termination"
    );
    assert_eq!(options.header("tus-max-size"), "10000");
    let old = desk
        .request(Method::POST, "/api/uploads", &tenant.key)
        .header("upload-length", 5);
    let old = Answer::of(old.header("tus-resumable", "0.2.2")).await;
    assert_eq!(old.code(), (412, "wrong_version"));
    assert_eq!(old.header("tus-version"), "1.0.0");
    let deferred = desk
        .request(Method::POST, "/api/uploads", &tenant.key)
        .header("tus-resumable", "1.0.0")
        .header("upload-defer-length", 1);
    assert_eq!(Answer::of(deferred).await.code(), (400, "invalid"));
    for (length, metadata, expected) in [
        (0, TXT, (400, "empty_file")),
        (10_001, TXT, (413, "too_large")),
        (9_001, TXT, (413, "quota_exceeded")),
        (5, "filename x.txt", (400, "invalid")),
    ] {
        let answer = create(&desk, &tenant, length, metadata).await;
        assert_eq!(answer.code(), expected, "{length} {metadata}");
    }
    assert_eq!(desk.settled(&tenant).await, 0);
    let path = created(&desk, &tenant, 100).await;
    let wrong = append(&desk, &tenant, &path, 1, b"x").await;
    assert_eq!(wrong.code(), (409, "wrong_offset"));
    let kind = desk
        .request(Method::PATCH, &path, &tenant.key)
        .header("tus-resumable", "1.0.0")
        .header("content-type", "text/plain")
        .header("upload-offset", 0)
        .body("x");
    assert_eq!(Answer::of(kind).await.code(), (415, "wrong_content_type"));
    // More than was announced: what fits is kept.
    let long = append(&desk, &tenant, &path, 0, &text(1, 200)).await;
    assert_eq!(long.code(), (400, "invalid"));
    assert_eq!(offset(&desk, &tenant, &path).await, "100");
    let whole = append(&desk, &tenant, &path, 100, b"").await;
    assert_eq!((whole.status, whole.header("upload-offset")), (204, "100"));
    assert_eq!(desk.settled(&tenant).await, 100);
    // Nobody else's.
    let path = created(&desk, &tenant, 50).await;
    for method in [Method::HEAD, Method::DELETE] {
        assert_eq!(plain(&desk, &other, method, &path).await.status, 404);
    }
    assert_eq!(
        append(&desk, &other, &path, 0, b"x").await.code(),
        (404, "not_found")
    );
    let nobody = append(
        &desk,
        &other,
        "/api/uploads/00000000-0000-4000-8000-000000000000",
        0,
        b"x",
    )
    .await;
    assert_eq!(nobody.code(), (404, "not_found"));
    assert_eq!(plain(&desk, &tenant, Method::HEAD, &path).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_given_up_or_expires_and_gives_all_back() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 10_000).await;
    let path = created(&desk, &tenant, 5_000).await;
    assert_eq!(
        append(&desk, &tenant, &path, 0, &text(1, 2_000))
            .await
            .status,
        204
    );
    assert_eq!(desk.drafts(), 1);
    assert_eq!(
        plain(&desk, &tenant, Method::DELETE, &path).await.status,
        204
    );
    assert_eq!(desk.settled(&tenant).await, 0);
    assert_eq!(
        plain(&desk, &tenant, Method::DELETE, &path).await.status,
        404
    );
    assert_eq!(append(&desk, &tenant, &path, 2_000, b"x").await.status, 404);
    let path = created(&desk, &tenant, 5_000).await;
    desk.database()
        .run("UPDATE upload SET expires_at = now()")
        .await;
    assert_eq!(
        append(&desk, &tenant, &path, 0, b"x").await.code(),
        (410, "expired")
    );
    assert_eq!(plain(&desk, &tenant, Method::HEAD, &path).await.status, 410);
    // Each part renews it.
    desk.database()
        .run("UPDATE upload SET expires_at = now() + interval '1 minute'")
        .await;
    assert_eq!(append(&desk, &tenant, &path, 0, b"x").await.status, 204);
    let renewed = "SELECT count(*) FROM upload WHERE expires_at > now() + interval '23 hours'";
    assert_eq!(desk.database().count(renewed).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_document_ends_the_upload() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 1 << 20).await;
    let program = [&b"MZ\x90\0\x03\0\0\0"[..], &[0; 100_000]].concat();
    for first in [100, 50_000] {
        let path = create(&desk, &tenant, program.len(), PDF)
            .await
            .header("location")
            .to_owned();
        let mut answer = append(&desk, &tenant, &path, 0, &program[..first]).await;
        if answer.status == 204 {
            // Less came than is looked at; when all is there, it is.
            answer = append(&desk, &tenant, &path, first, &program[first..]).await;
        }
        assert_eq!(answer.code(), (415, "unsupported_type"), "{first}");
        assert_eq!(desk.settled(&tenant).await, 0);
        assert_eq!(plain(&desk, &tenant, Method::HEAD, &path).await.status, 404);
    }
    assert!(desk.kept().is_empty());
}

/// A request that announces so many bytes and sends as many of these as there are.
async fn writing(
    desk: &Desk,
    tenant: &Tenant,
    path: &str,
    announced: usize,
    bytes: &[u8],
) -> TcpStream {
    let address = desk.app.app().http_address().expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
         Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: {announced}\r\n\r\n",
        tenant.key
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(bytes).await.expect("sent");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_writes_at_a_time_and_what_a_broken_one_brought_is_kept() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 1 << 20).await;
    let bytes = text(5, 500_000);
    let path = created(&desk, &tenant, bytes.len()).await;
    let stream = writing(&desk, &tenant, &path, bytes.len(), &bytes[..300_000]).await;
    wait_until("it writes", async || {
        desk.database()
            .count("SELECT count(*) FROM upload WHERE writer IS NOT NULL")
            .await
            == 1
    })
    .await;
    let second = append(&desk, &tenant, &path, 0, &bytes).await;
    assert_eq!(second.code(), (423, "locked"));
    // It breaks off.
    drop(stream);
    wait_until("it is let go", async || {
        desk.database()
            .count("SELECT count(*) FROM upload WHERE writer IS NULL")
            .await
            == 1
    })
    .await;
    let kept: usize = offset(&desk, &tenant, &path)
        .await
        .parse()
        .expect("a number");
    assert!(kept > 0 && kept <= 300_000, "{kept}");
    let rest = append(&desk, &tenant, &path, kept, &bytes[kept..]).await;
    assert_eq!(rest.status, 204, "{rest:?}");
    assert_eq!(desk.settled(&tenant).await, 500_000);
    assert_eq!(std::fs::read(&desk.kept()[0]).expect("a file"), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_takes_over_from_a_request_that_died() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 1 << 20).await;
    let bytes = text(6, 10_000);
    let path = created(&desk, &tenant, bytes.len()).await;
    assert_eq!(
        append(&desk, &tenant, &path, 0, &bytes[..4_000])
            .await
            .status,
        204
    );
    // As a process that was killed leaves it: more is in the file than was said to be safe.
    desk.database()
        .run("UPDATE upload SET received = 2000, writer = gen_random_uuid(), writer_until = now() - interval '1 second'")
        .await;
    let rest = append(&desk, &tenant, &path, 2_000, &bytes[2_000..]).await;
    assert_eq!(rest.status, 204, "{rest:?}");
    assert_eq!(std::fs::read(&desk.kept()[0]).expect("a file"), bytes);
    assert_eq!(desk.settled(&tenant).await, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_file_that_could_not_be_settled_is_by_the_next_request() {
    let desk = Desk::start(|_| {}).await;
    let tenant = desk.tenant("a", 1 << 20).await;
    let bytes = text(7, 10_000);
    let path = created(&desk, &tenant, bytes.len()).await;
    desk.database()
        .run("ALTER TABLE documents RENAME TO elsewhere")
        .await;
    let failed = append(&desk, &tenant, &path, 0, &bytes).await;
    assert_eq!(failed.code(), (503, "unavailable"));
    desk.database()
        .run("ALTER TABLE elsewhere RENAME TO documents")
        .await;
    assert_eq!(desk.account(&tenant).await, (0, 10_000));
    let settled = append(&desk, &tenant, &path, 10_000, b"").await;
    assert_eq!(settled.status, 204, "{settled:?}");
    assert!(!settled.header("gleaner-document").is_empty());
    assert_eq!(desk.settled(&tenant).await, 10_000);
}
