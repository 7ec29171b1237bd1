//! Tenants with documents, and clients that come with their keys.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use gleaner::config::Config;
use gleaner::documents::blob::{Blobs as _, Key, Local};
use gleaner::documents::config::Documents;
use gleaner::documents::key;
use gleaner::documents::key::Scope;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::app::TestApp;
use super::database::TestDatabase;

/// A tenant, and the key of a program of theirs.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    pub(crate) id: i64,
    pub(crate) uid: String,
    pub(crate) key: String,
}

impl Tenant {
    pub(crate) async fn create(database: &TestDatabase, name: &str) -> Self {
        let mut conn = database.connect().await;
        let made = gleaner::documents::tenant::create(&mut conn, name, 500 << 20)
            .await
            .unwrap()
            .unwrap();
        let mut tenant = Self {
            id: made.id,
            uid: made.uid,
            key: String::new(),
        };
        tenant.key = tenant.key(database, Scope::Write).await;
        tenant
    }

    /// Another key.
    pub(crate) async fn key(&self, database: &TestDatabase, scope: Scope) -> String {
        let mut conn = database.connect().await;
        let secret = key::generate().unwrap();
        key::store(&mut conn, self.id, &secret, "", scope, None)
            .await
            .unwrap();
        secret.expose().to_owned()
    }
}

/// A document that is ready, as if it had been read.
#[derive(Clone, Debug)]
pub(crate) struct Ready<'a> {
    pub(crate) filename: &'a str,
    pub(crate) config: &'a str,
    pub(crate) pages: &'a [&'a str],
    /// Pieces, by where they stand in the whole text; one for each page unless given.
    pub(crate) pieces: &'a [(usize, usize)],
}

impl<'a> Ready<'a> {
    pub(crate) fn new(filename: &'a str, pages: &'a [&'a str]) -> Self {
        Self {
            filename,
            config: "english",
            pages,
            pieces: &[],
        }
    }

    /// The bytes of the file that it is said to come from: its text.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.pages.join("\u{c}").into_bytes()
    }

    /// Puts it into the database, and tells its uid.
    pub(crate) async fn insert(&self, database: &TestDatabase, tenant: &Tenant) -> String {
        let client = database.client().await;
        let bytes = self.bytes();
        let sha256 = Sha256::digest(&bytes).to_vec();
        let length = i64::try_from(bytes.len()).unwrap();
        client
            .execute(
                "WITH kept AS (INSERT INTO blob (tenant_id, sha256, bytes, refs) VALUES ($1, $2, $3, 1) \
                 ON CONFLICT (tenant_id, sha256) DO UPDATE SET refs = blob.refs + 1 RETURNING refs) \
                 UPDATE tenant SET used_bytes = used_bytes + $3 FROM kept WHERE id = $1 AND kept.refs = 1",
                &[&tenant.id, &sha256, &length],
            )
            .await
            .unwrap();
        let whole: Vec<char> = self.pages.join("\u{c}").chars().collect();
        let row = client
            .query_one(
                "INSERT INTO documents (tenant_id, filename, original_filename, mime_type, file_size, sha256, process_status, \
                     processing_progress, page_count, pages_done, total_chars, parser) \
                 VALUES ($1, $2, $2, 'text/plain', $3, $4, 'Completed', 100, $5, $5, $6, 'test') RETURNING id, uid::text",
                &[
                    &tenant.id,
                    &self.filename,
                    &length,
                    &sha256,
                    &i32::try_from(self.pages.len()).unwrap(),
                    &i64::try_from(whole.len()).unwrap(),
                ],
            )
            .await
            .unwrap();
        let (id, uid): (i64, String) = (row.get(0), row.get(1));
        let mut starts = Vec::new();
        let mut at = 0;
        for (number, page) in (1..).zip(self.pages) {
            let chars = page.chars().count();
            starts.push((at, at + chars));
            client
                .execute(
                    "INSERT INTO document_page (document_id, number, tenant_id, start_char, chars, text) VALUES ($1, $2, $3, $4, $5, $6)",
                    &[
                        &id,
                        &number,
                        &tenant.id,
                        &i64::try_from(at).unwrap(),
                        &i32::try_from(chars).unwrap(),
                        page,
                    ],
                )
                .await
                .unwrap();
            at += chars + 1;
        }
        let pieces = if self.pieces.is_empty() {
            &starts
        } else {
            self.pieces
        };
        let page_of = |place: usize| {
            let before = starts.iter().take_while(|(_, end)| *end < place).count();
            i32::try_from(before.min(starts.len() - 1) + 1).unwrap()
        };
        for (seq, (start, end)) in (0_i32..).zip(pieces.iter().filter(|(start, end)| start < end)) {
            let body: String = whole[*start..*end].iter().collect();
            client
                .execute(
                    "INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, config, words, tsv) \
                     SELECT $1, $2, $3, $4, $5, $6, $7, $8, \
                         (SELECT coalesce(sum(cardinality(positions)), 0)::integer FROM unnest(tsv)), tsv \
                     FROM to_tsvector($8::text::regconfig, $9) AS tsv",
                    &[
                        &tenant.id,
                        &id,
                        &seq,
                        &page_of(start + 1),
                        &page_of(*end),
                        &i64::try_from(*start).unwrap(),
                        &i64::try_from(*end).unwrap(),
                        &self.config,
                        &body,
                    ],
                )
                .await
                .unwrap();
        }
        client
            .execute(
                "UPDATE documents SET total_chunks = (SELECT count(*) FROM chunk WHERE document_id = $1) WHERE id = $1",
                &[&id],
            )
            .await
            .unwrap();
        uid
    }
}

/// A program with documents: with a folder of its own for the files, which goes with it.
pub(crate) struct Service {
    pub(crate) app: TestApp,
    pub(crate) folder: TempDir,
}

impl Service {
    /// On this database, with nothing at work.
    pub(crate) async fn start(database: TestDatabase, change: impl FnOnce(&mut Config)) -> Self {
        gleaner::tls::install();
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().display().to_string();
        let app = Box::pin(TestApp::start_on(database, |config| {
            config.workflows.keep_only(&[]);
            config.section_mut::<Documents>().storage = storage;
            change(config);
        }))
        .await;
        Self { app, folder }
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        &self.app.database
    }

    /// Puts the file of a document into its place.
    pub(crate) async fn keep(&self, tenant: &Tenant, bytes: &[u8]) {
        let blobs = Local::new(self.folder.path().to_owned());
        let draft = blobs.drafts().await.unwrap().join("draft");
        std::fs::write(&draft, bytes).unwrap();
        let key = Key {
            tenant: tenant.uid.clone(),
            sha256: Sha256::digest(bytes).into(),
        };
        blobs.keep(&key, &draft).await.unwrap();
    }

    /// A request with this key.
    pub(crate) fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        let client = reqwest::Client::builder().build().unwrap();
        let request = client.request(method, self.app.http(path));
        if key.is_empty() {
            request
        } else {
            request.bearer_auth(key)
        }
    }

    /// What is answered to it.
    pub(crate) async fn get(&self, path: &str, key: &str) -> Response {
        self.request(Method::GET, path, key).send().await.unwrap()
    }

    /// The JSON of a good answer.
    pub(crate) async fn json(&self, path: &str, key: &str) -> Value {
        let response = self.get(path, key).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status.as_u16(), 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Status and JSON of a refusal.
    pub(crate) async fn refused(&self, path: &str, key: &str) -> (u16, Value) {
        let response = self.get(path, key).await;
        (
            response.status().as_u16(),
            response.json().await.unwrap_or_default(),
        )
    }
}

/// A lease that somebody holds, for documents that are to stand in hand.
pub(crate) async fn lease(database: &TestDatabase) -> i64 {
    database
        .scalar(
            "WITH holder AS (INSERT INTO node (host, pid, version) VALUES ('elsewhere', 1, '') RETURNING id) \
             INSERT INTO lease (node_id, workflow, expires_at) \
             SELECT id, 'document-processing', now() + interval '1 hour' FROM holder RETURNING id",
        )
        .await
}
