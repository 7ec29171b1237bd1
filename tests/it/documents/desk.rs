//! A running program with tenants, as their programs meet it.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::path::PathBuf;
use std::time::Duration;

use gleaner::config::Config;
use gleaner::documents::key::{self, Scope};
use gleaner::documents::processing::DocumentProcessing;
use gleaner::documents::tenant;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use crate::support::{TestApp, TestDatabase, wait_until};

/// The program, without any of its workflows.
pub(crate) struct Desk {
    pub(crate) app: TestApp,
    client: Client,
}

/// A tenant and its key.
pub(crate) struct Tenant {
    pub(crate) id: i64,
    pub(crate) uid: String,
    pub(crate) key: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default(),
        }
    }

    pub(crate) fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    pub(crate) fn document(&self) -> &str {
        self.body["document_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no document: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A form with files: field, name and bytes of each.
pub(crate) fn form(files: &[(&str, &str, &[u8])]) -> (&'static str, Vec<u8>) {
    let mut body = Vec::new();
    for (field, name, bytes) in files {
        let head = format!(
            "--f00\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: application/pdf\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--f00--\r\n");
    ("multipart/form-data; boundary=f00", body)
}

/// Text of so many bytes, different for each seed.
pub(crate) fn text(seed: u64, bytes: usize) -> Vec<u8> {
    format!("{seed} ").repeat(bytes).into_bytes()[..bytes].to_vec()
}

impl Desk {
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(TestDatabase::new().await, change).await
    }

    pub(crate) async fn start_on(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        gleaner::tls::install();
        let app = TestApp::start_on(database, |config| {
            config.workflows.keep_only(&[]);
            config.database.pool_size = 8;
            change(config);
        })
        .await;
        let client = Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self { app, client }
    }

    /// The same with document-processing, which waits to be resumed.
    pub(crate) async fn paused() -> Self {
        let database = TestDatabase::new().await;
        let pause =
            "INSERT INTO workflow_control (workflow, paused) VALUES ('document-processing', true)";
        database.run(pause).await;
        let enable = |config: &mut Config| {
            config.workflows.of_mut::<DocumentProcessing>().enabled = true;
        };
        Self::start_on(database, enable).await
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        &self.app.database
    }

    pub(crate) async fn tenant(&self, name: &str, quota: usize) -> Tenant {
        let mut conn = self.database().connect().await;
        let quota = i64::try_from(quota).unwrap();
        let made = tenant::create(&mut conn, name, quota)
            .await
            .unwrap()
            .unwrap();
        Tenant {
            id: made.id,
            uid: made.uid,
            key: self.key(made.id, Scope::Write).await,
        }
    }

    pub(crate) async fn key(&self, tenant: i64, scope: Scope) -> String {
        let mut conn = self.database().connect().await;
        let secret = key::generate().unwrap();
        key::store(&mut conn, tenant, &secret, "", scope, None)
            .await
            .unwrap();
        secret.expose().to_owned()
    }

    pub(crate) fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        let request = self.client.request(method, self.app.http(path));
        request.bearer_auth(key)
    }

    pub(crate) fn stranger(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.app.http(path))
    }

    pub(crate) async fn send(&self, method: Method, path: &str, key: &str) -> Answer {
        Answer::of(self.request(method, path, key)).await
    }

    pub(crate) fn uploading(
        &self,
        tenant: &Tenant,
        query: &str,
        files: &[(&str, &str, &[u8])],
    ) -> RequestBuilder {
        let (kind, body) = form(files);
        let path = format!("/api/documents/upload{query}");
        self.request(Method::POST, &path, &tenant.key)
            .header("content-type", kind)
            .body(body)
    }

    pub(crate) async fn upload(&self, tenant: &Tenant, name: &str, bytes: &[u8]) -> Answer {
        Answer::of(self.uploading(tenant, "", &[("file", name, bytes)])).await
    }

    /// Bytes used and set aside.
    pub(crate) async fn account(&self, tenant: &Tenant) -> (i64, i64) {
        let client = self.database().client().await;
        let row = client
            .query_one(
                "SELECT used_bytes, reserved_bytes FROM tenant WHERE id = $1",
                &[&tenant.id],
            )
            .await
            .unwrap();
        (row.get(0), row.get(1))
    }

    /// Waits until nothing is set aside and no draft is left, and tells the bytes used.
    pub(crate) async fn settled(&self, tenant: &Tenant) -> i64 {
        wait_until("nothing is set aside, and no draft is left", async || {
            self.account(tenant).await.1 == 0 && self.drafts() == 0
        })
        .await;
        let left = "SELECT (SELECT count(*) FROM reservation) + (SELECT count(*) FROM upload WHERE document_id IS NULL)";
        assert_eq!(self.database().count(left).await, 0);
        let drift = "SELECT count(*) FROM tenant WHERE used_bytes <> (SELECT coalesce(sum(bytes), 0) FROM blob \
                     WHERE tenant_id = tenant.id AND refs > 0)";
        assert_eq!(self.database().count(drift).await, 0);
        self.account(tenant).await.0
    }

    /// Files that are on their way in.
    pub(crate) fn drafts(&self) -> usize {
        std::fs::read_dir(self.database().folder().join(".drafts")).map_or(0, Iterator::count)
    }

    /// Files that are kept.
    pub(crate) fn kept(&self) -> Vec<PathBuf> {
        let below = |path: PathBuf| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        below(self.database().folder())
            .into_iter()
            .filter(|path| !path.ends_with(".drafts"))
            .flat_map(below)
            .flat_map(below)
            .collect()
    }
}
