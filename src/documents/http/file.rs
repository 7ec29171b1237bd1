//! `GET /api/documents/{id}/file`: the file as it was sent.
//!
//! It is somebody's, who may have put anything into it: it is handed out to be saved, never to be shown by a browser under our name.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State as Held;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tracing::warn;

use super::State;
use super::asked::{Named, is_current};
use super::caller::Reader;
use super::forms::ReadsFile;
use super::trouble::Trouble;
use crate::documents::blob::Key;
use crate::documents::read;
use crate::documents::read::Stored;
use crate::http::places::{Long, Place};

/// Bytes read at a time.
const STEP: usize = 64 * 1024;
/// What has more bytes is large.
const LARGE: u64 = 8 << 20;

/// What RFC 8187 lets stand as it is, of what is not a letter or digit.
const IN_HEADERS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The file as it was sent, as an attachment.
#[utoipa::path(
    get, path = "/api/documents/{id}/file", operation_id = "documentFile",
    params(("id" = String, Path, description = "The document."), ("If-None-Match" = Option<String>, Header, description = "A tag of an earlier answer."),
        ("Range" = Option<String>, Header, description = "One range of bytes; several are as none."),
        ("If-Range" = Option<String>, Header, description = "Its tag."),
    ),
    responses(
        (status = 200, description = "All of it, of the type that it was found to be.", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, description = "A part of it.", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 304, description = "As If-None-Match has it."), ReadsFile,
    ),
    security(("tenant" = []), ("session" = [])),
)]
pub(super) async fn file(
    Held(state): Held<State>,
    Reader(tenant): Reader,
    Named(uid): Named,
    place: Option<Extension<Arc<Place>>>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    let stored = ask!(&state, |conn| read::stored(conn, tenant, &uid))?;
    let stored = stored.ok_or_else(Trouble::not_found)?;
    let (key, tag) = name(&stored)?;
    if is_current(&headers, &tag) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let opened = open(&state, &key).await?;
    let length = opened.metadata().await.map_err(|error| gone(&error))?.len();
    let (status, part) = match wanted(&headers, &tag, length) {
        Wanted::All => (StatusCode::OK, 0..length),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::None => {
            let mut refused = Trouble::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range",
                "the file has no such part",
            )
            .into_response();
            if let Ok(range) = HeaderValue::from_str(&format!("bytes */{length}")) {
                refused.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            return Ok(refused);
        }
    };
    // A large file may take longer than other answers, while there is room for such.
    let long = place
        .filter(|_| part.end - part.start > LARGE)
        .and_then(|Extension(place)| place.long(&state.uploads));
    let mut response = send(opened, part.clone(), long)
        .await
        .map_err(|error| gone(&error))?;
    *response.status_mut() = status;
    let mut set = vec![
        (header::CONTENT_TYPE, stored.mime_type.clone()),
        (header::CONTENT_LENGTH, (part.end - part.start).to_string()),
        (header::CONTENT_DISPOSITION, disposition(&stored.filename)),
        (header::ETAG, tag),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; sandbox".to_owned(),
        ),
    ];
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        set.push((header::CONTENT_RANGE, range));
    }
    for (name, value) in set {
        let value = HeaderValue::from_str(&value)
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

fn name(stored: &Stored) -> Result<(Key, String), Trouble> {
    let sha256 = stored.sha256.as_slice().try_into();
    let sha256 =
        sha256.map_err(|_length| gone(&io::Error::other("it has no name in the storage")))?;
    let key = Key {
        tenant: stored.tenant.clone(),
        sha256,
    };
    let tag: String = sha256
        .iter()
        .map(|byte: &u8| format!("{byte:02x}"))
        .collect();
    Ok((key, format!("\"{tag}\"")))
}

async fn open(state: &State, key: &Key) -> Result<tokio::fs::File, Trouble> {
    match state.blobs.open(key).await {
        Ok(file) => Ok(tokio::fs::File::from_std(file)),
        Err(error) => Err(gone(&error)),
    }
}

/// The storage does not have it, or is not there.
fn gone(error: &io::Error) -> Trouble {
    warn!(%error, "a stored file cannot be handed out");
    if error.kind() == io::ErrorKind::NotFound {
        Trouble::new(
            StatusCode::NOT_FOUND,
            "file_missing",
            "the stored file is gone",
        )
    } else {
        Trouble::unavailable("the storage does not answer")
    }
}

async fn send(
    mut file: tokio::fs::File,
    part: Range<u64>,
    long: Option<Long>,
) -> io::Result<Response> {
    if part.start > 0 {
        file.seek(io::SeekFrom::Start(part.start)).await?;
    }
    let left = part.end - part.start;
    let steps = stream::try_unfold((file, left, long), |(mut file, left, long)| async move {
        if left == 0 {
            return Ok::<_, io::Error>(None);
        }
        let step = usize::try_from(left).unwrap_or(STEP).min(STEP);
        let mut bytes = vec![0; step];
        let read = file.read(&mut bytes).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(read);
        let left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(Some((Bytes::from(bytes), (file, left, long))))
    });
    Ok(Body::from_stream(steps).into_response())
}

/// What of the file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    /// What it does not have.
    None,
}

/// One range of bytes is served; several, and other units, are as if none had been asked for.
fn wanted(headers: &HeaderMap, tag: &str, length: u64) -> Wanted {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if text(header::IF_RANGE).is_some_and(|condition| condition != tag) {
        return Wanted::All;
    }
    let range = text(header::RANGE).and_then(|range| range.strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Wanted::All;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(0) => Wanted::None,
            Some(_) if length == 0 => Wanted::None,
            Some(last) => Wanted::Part(length.saturating_sub(last)..length),
            None => Wanted::All,
        },
        (first, last) => match (number(first), number(last), last.is_empty()) {
            (Some(first), _, _) if first >= length => Wanted::None,
            (Some(first), _, true) => Wanted::Part(first..length),
            (Some(first), Some(last), false) if last >= first => {
                Wanted::Part(first..last.saturating_add(1).min(length))
            }
            _ => Wanted::All,
        },
    }
}

/// How the file is to be saved (RFC 6266): its name in full, and a plain one for clients that know no other.
fn disposition(filename: &str) -> String {
    let is_plain = |sign: &char| sign.is_ascii_alphanumeric() || " ._-()".contains(*sign);
    let plain: String = filename
        .chars()
        .map(|sign| if is_plain(&sign) { sign } else { '_' })
        .collect();
    let full = utf8_percent_encode(filename, IN_HEADERS);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{full}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served() {
        let asked = |range: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().expect("a header"));
            wanted(&headers, "\"a\"", 10)
        };
        for (range, expected) in [
            ("bytes=0-", Wanted::Part(0..10)),
            ("bytes=2-4", Wanted::Part(2..5)),
            ("bytes=9-99999999999", Wanted::Part(9..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::None),
            ("bytes=-0", Wanted::None),
            ("bytes=4-2", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("bytes=-", Wanted::All),
        ] {
            assert_eq!(asked(range), expected, "{range}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"b\""));
        assert_eq!(wanted(&headers, "\"a\"", 10), Wanted::All);
    }

    #[test]
    fn names_are_quoted_for_headers() {
        assert_eq!(
            disposition("Rechnung für \"A\"\r\nX: y.pdf"),
            "attachment; filename=\"Rechnung f_r _A___X_ y.pdf\"; filename*=UTF-8''Rechnung%20f%C3%BCr%20%22A%22%0D%0AX%3A%20y.pdf"
        );
    }
}
