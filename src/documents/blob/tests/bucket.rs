//! A bucket, in memory and over HTTP: a store of our own that speaks as much S3 as is asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use tokio::task::JoinSet;

use super::*;
use crate::documents::config::Bucket;

fn bucket(prefix: &str) -> Bucket {
    Bucket {
        name: "papers".to_owned(),
        prefix: prefix.to_owned(),
    }
}

#[tokio::test]
async fn a_bucket_keeps_files() -> io::Result<()> {
    for prefix in ["", "gleaner/documents"] {
        let folder = tempfile::tempdir()?;
        let own = Local::new(folder.path().to_owned());
        let store = Arc::new(InMemory::new());
        fulfil(&S3::over(Ok(store), &bucket(prefix), own)).await?;
    }
    Ok(())
}

/// What the store has, and what it was asked.
#[derive(Default)]
struct Store {
    objects: Mutex<BTreeMap<String, (Bytes, SystemTime)>>,
    /// By the upload and the number of the part.
    parts: Mutex<BTreeMap<(String, u32), Bytes>>,
    asked: Mutex<Vec<String>>,
    /// So many requests are refused for the moment.
    refusals: AtomicUsize,
    /// The next answer with a file breaks off in the midst of it.
    breaks: AtomicUsize,
}

fn take_one(number: &AtomicUsize) -> bool {
    let taken = number.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    taken.is_ok()
}

fn trouble(status: StatusCode, code: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code></Error>")).into_response()
}

fn tagged(tag: &str) -> Response {
    [(header::ETAG, format!("\"{tag}\""))].into_response()
}

/// Whether a request is signed with the key that tests have, and brings the body that was signed.
fn is_signed(headers: &HeaderMap, body: &Bytes) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let sum = ring::digest::digest(&ring::digest::SHA256, body);
    let sum: String = sum
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let is_whole = match text("x-amz-content-sha256") {
        Some("UNSIGNED-PAYLOAD") | None => false,
        Some(told) => told == sum,
    };
    let signature = text("authorization").unwrap_or_default();
    is_whole
        && signature.starts_with("AWS4-HMAC-SHA256 Credential=AKEY/")
        && signature.contains("/eu-test-1/s3/")
}

impl Store {
    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response {
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let asked = format!(
            "{method} {}",
            query.keys().cloned().collect::<Vec<_>>().join(" ")
        );
        self.asked.lock().unwrap().push(asked.trim().to_owned());
        if !is_signed(headers, &body) {
            return trouble(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
        }
        if take_one(&self.refusals) {
            return trouble(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
        }
        let Some(name) = uri.path().strip_prefix("/papers") else {
            return trouble(StatusCode::NOT_FOUND, "NoSuchBucket");
        };
        let name = name.trim_start_matches('/').to_owned();
        let mut objects = self.objects.lock().unwrap();
        let mut parts = self.parts.lock().unwrap();
        let upload = query.get("uploadId").cloned();
        match (method.as_str(), upload) {
            ("PUT", Some(upload)) => {
                parts.insert((upload, query["partNumber"].parse().unwrap()), body);
                tagged("part")
            }
            ("PUT", None) => {
                objects.insert(name, (body, SystemTime::now()));
                tagged("whole")
            }
            ("POST", Some(upload)) => {
                let taken = std::mem::take(&mut *parts);
                let (own, others) = taken.into_iter().partition(|((of, _), _)| *of == upload);
                *parts = others;
                let own: BTreeMap<(String, u32), Bytes> = own;
                let whole: Vec<u8> = own.values().flatten().copied().collect();
                objects.insert(name, (whole.into(), SystemTime::now()));
                "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>"
                    .into_response()
            }
            ("POST", None) => {
                let upload = format!("upload-{:016x}", rand::random::<u64>());
                format!("<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
                    .into_response()
            }
            ("DELETE", Some(upload)) => {
                parts.retain(|(of, _), _| *of != upload);
                StatusCode::NO_CONTENT.into_response()
            }
            ("DELETE", None) => {
                objects.remove(&name);
                StatusCode::NO_CONTENT.into_response()
            }
            ("GET", None) if name.is_empty() => list(&objects, &query),
            ("GET" | "HEAD", None) => match objects.get(&name) {
                None => trouble(StatusCode::NOT_FOUND, "NoSuchKey"),
                Some((bytes, at)) => self.give(method, headers, bytes, *at),
            },
            _ => trouble(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
        }
    }

    fn give(
        &self,
        method: &Method,
        headers: &HeaderMap,
        bytes: &Bytes,
        at: SystemTime,
    ) -> Response {
        let range = headers.get(header::RANGE).map(|range| {
            let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
            let (from, to) = range.split_once('-').unwrap();
            let end = to.parse().map_or(bytes.len(), |last: usize| last + 1);
            from.parse::<usize>().unwrap()..end
        });
        let part = bytes.slice(range.clone().unwrap_or(0..bytes.len()));
        let body = if method == Method::HEAD {
            Body::empty()
        } else if !part.is_empty() && take_one(&self.breaks) {
            let begins = part.slice(..part.len() / 2);
            let pieces = [
                Ok(begins),
                Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            ];
            Body::from_stream(futures_util::stream::iter(pieces))
        } else {
            Body::from(part.clone())
        };
        let mut answer = Response::builder()
            .header(header::CONTENT_LENGTH, part.len())
            .header(header::ETAG, "\"whole\"")
            .header(header::LAST_MODIFIED, httpdate::fmt_http_date(at));
        if let Some(range) = range {
            let told = format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len());
            answer = answer
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, told);
        }
        answer.body(body).unwrap()
    }
}

/// Two at a time, so that there is more than one page.
fn list(
    objects: &BTreeMap<String, (Bytes, SystemTime)>,
    query: &BTreeMap<String, String>,
) -> Response {
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let after = query.get("continuation-token").cloned().unwrap_or_default();
    let rest = objects
        .iter()
        .filter(|(name, _)| name.starts_with(&prefix) && **name > after);
    let page: Vec<_> = rest.clone().take(2).collect();
    let told: String = page
        .iter()
        .map(|(name, (bytes, at))| {
            let at = chrono::DateTime::<chrono::Utc>::from(*at).to_rfc3339();
            format!("<Contents><Key>{name}</Key><Size>{}</Size><LastModified>{at}</LastModified></Contents>", bytes.len())
        })
        .collect();
    let next = match page.last() {
        Some((name, _)) if rest.count() > 2 => {
            format!("<NextContinuationToken>{name}</NextContinuationToken>")
        }
        _ => String::new(),
    };
    format!("<ListBucketResult>{told}{next}</ListBucketResult>").into_response()
}

async fn serve(
    State(store): State<Arc<Store>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    store.answer(&method, &uri, &headers, body)
}

/// A store that listens, for as long as the tasks are there, and what is told of it.
async fn started(tasks: &mut JoinSet<()>) -> io::Result<(Arc<Store>, AmazonS3Builder)> {
    let store = Arc::new(Store::default());
    let router = Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::clone(&store));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let builder = AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", listener.local_addr()?))
        .with_allow_http(true)
        .with_region("eu-test-1")
        .with_access_key_id("AKEY")
        .with_secret_access_key("a secret");
    tasks.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    Ok((store, builder))
}

#[tokio::test]
async fn a_store_that_speaks_s3_keeps_files() -> io::Result<()> {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir()?);
    let (store, builder) = started(&mut tasks).await?;
    let own = Local::new(folder.path().to_owned());
    let blobs = S3::built(builder, &bucket("gleaner"), own);
    assert_eq!(format!("{blobs:?}"), "S3(\"s3://papers/gleaner\")");
    // What others have beside it, and in it, is none of ours.
    for other in ["gleaner-not/a", "gleaner/readme.txt", "gleaner/a/b/c"] {
        let mut objects = store.objects.lock().unwrap();
        objects.insert(other.to_owned(), (Bytes::new(), SystemTime::now()));
    }
    fulfil(&blobs).await?;
    let left: Vec<String> = store.objects.lock().unwrap().keys().cloned().collect();
    assert_eq!(
        left,
        [
            "gleaner-not/a",
            "gleaner/.check",
            "gleaner/a/b/c",
            "gleaner/readme.txt"
        ]
    );
    let asked = std::mem::take(&mut *store.asked.lock().unwrap());
    let times = |what: &str| asked.iter().filter(|one| *one == what).count();
    // 20,000,003 bytes are three parts, twice.
    assert_eq!(times("PUT partNumber uploadId"), 6, "{asked:?}");
    assert_eq!(times("POST uploads"), 2, "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_asked_again() -> io::Result<()> {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir()?);
    let (store, builder) = started(&mut tasks).await?;
    let own = Local::new(folder.path().to_owned());
    let blobs = S3::built(builder, &bucket(""), own);
    let bytes = vec![5; 300_000];
    store.refusals.store(2, Ordering::SeqCst);
    keep(&blobs, &key(1), &bytes).await?;
    store.breaks.store(1, Ordering::SeqCst);
    assert!(read(&blobs, &key(1)).await? == bytes);
    assert_eq!(store.breaks.load(Ordering::SeqCst), 0);

    // For longer, and it is told; nothing is left behind, and the draft is still there.
    store.refusals.store(usize::MAX, Ordering::SeqCst);
    let draft = blobs.drafts().await?.join("large");
    File::create_new(&draft)?.set_len(9 << 20)?;
    let error = blobs.keep(&key(2), &draft).await.expect_err("refused");
    assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
    assert!(draft.exists());
    store.refusals.store(0, Ordering::SeqCst);
    assert!(!blobs.holds(&key(2)).await?);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_bucket_is_no_word_about_a_file() -> io::Result<()> {
    let (mut tasks, folder) = (JoinSet::new(), tempfile::tempdir()?);
    let (_store, builder) = started(&mut tasks).await?;
    let own = || Local::new(folder.path().to_owned());
    let gone = Bucket {
        name: "gone".to_owned(),
        prefix: String::new(),
    };
    let blobs = S3::built(builder.clone(), &gone, own());
    let error = blobs.open(&key(1)).await.expect_err("there is no bucket");
    assert_eq!(error.kind(), io::ErrorKind::Other, "{error}");
    assert!(blobs.check().await.is_err());

    let stranger = builder.clone().with_access_key_id("BKEY");
    let blobs = S3::built(stranger, &bucket(""), own());
    for error in [
        blobs.open(&key(1)).await.err(),
        blobs.holds(&key(1)).await.err(),
        blobs.check().await.err(),
    ] {
        let error = error.expect("no right to it");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        assert!(!error.to_string().contains("a secret"), "{error}");
    }

    // What the environment has that does not fit is told by whatever is asked.
    let unfit = builder.with_config("aws_conditional_put".parse().unwrap(), "sometimes");
    let blobs = S3::built(unfit, &bucket(""), own());
    let error = blobs.check().await.expect_err("that is none");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    Ok(())
}
