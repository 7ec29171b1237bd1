//! A tenant as a client of its own: it uploads over HTTP, and knows no more than what it is answered.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use gleaner::documents::key::{self, Scope};
use gleaner::documents::tenant;
use reqwest::{Body, Client, Response, StatusCode};
use serde_json::Value;

use super::database::TestDatabase;

/// Longest wait for an answer: two gigabytes are received in less.
const LONGEST: Duration = Duration::from_secs(600);

/// The tenant's key, and what it asks with.
#[derive(Clone)]
pub(crate) struct Account {
    client: Client,
    key: String,
}

impl Account {
    /// Makes a tenant of this name, with so many bytes of quota.
    pub(crate) async fn create(database: &TestDatabase, name: &str, quota: i64) -> Self {
        let mut conn = database.connect().await;
        let made = tenant::create(&mut conn, name, quota)
            .await
            .unwrap()
            .unwrap();
        let secret = key::generate().unwrap();
        key::store(&mut conn, made.id, &secret, "", Scope::Write, None)
            .await
            .unwrap();
        let client = Client::builder().no_proxy().timeout(LONGEST);
        Self {
            client: client.build().unwrap(),
            key: secret.expose().to_owned(),
        }
    }

    /// Sends a file under a name that makes all its uploads one; status and answer, if there was one.
    pub(crate) async fn upload(&self, at: &str, name: &str, body: Body) -> Option<(u16, Value)> {
        let sent = self
            .client
            .post(format!("{at}/api/documents/upload"))
            .bearer_auth(&self.key)
            .header("idempotency-key", name)
            .header("content-type", "multipart/form-data; boundary=f00")
            .body(body)
            .send()
            .await
            .ok()?;
        let status = sent.status().as_u16();
        Some((status, sent.json().await.ok()?))
    }

    /// What is answered to a question that has an answer.
    pub(crate) async fn get(&self, at: &str, path: &str) -> Value {
        let answer = self.asked(at, path, "application/json").await;
        answer.json().await.unwrap()
    }

    /// The whole text of a document.
    pub(crate) async fn text(&self, at: &str, uid: &str) -> String {
        let path = format!("/api/documents/{uid}/text");
        let answer = self.asked(at, &path, "text/plain").await;
        answer.text().await.unwrap()
    }

    async fn asked(&self, at: &str, path: &str, kind: &str) -> Response {
        let asked = self.client.get(format!("{at}{path}"));
        let asked = asked.header("accept", kind).bearer_auth(&self.key);
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer
    }
}

/// A file in pieces, as a form.
pub(crate) fn form(name: &str, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Body {
    let whole = std::iter::once(head(name)).chain(pieces).chain([tail()]);
    Body::wrap_stream(stream::iter(whole.map(Ok::<_, std::io::Error>)))
}

/// What comes before the file.
pub(crate) fn head(name: &str) -> Bytes {
    let head = format!(
        "--f00\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
    );
    Bytes::from(head)
}

/// What comes after it.
pub(crate) fn tail() -> Bytes {
    Bytes::from_static(b"\r\n--f00--\r\n")
}
