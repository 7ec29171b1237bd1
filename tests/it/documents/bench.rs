//! Tenants, files and documents in a database, and document-processing on them with a reader that does as the file says.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use gleaner::db::{self, connect};
use gleaner::documents::blob::{Blobs, Key, Local};
use gleaner::documents::child::{ChildError, Deadline, Event, Failed, Outcome};
use gleaner::documents::processing::reads::Reads;
use gleaner::documents::processing::{DocumentProcessing, Processing};
use gleaner::fault::{Short, Shortage};
use gleaner::live::Live;
use gleaner::pipeline::Pipeline;
use gleaner::store::lease::LeaseHeart;
use gleaner::store::node;
use gleaner_actors::{Member, Settings, Tree, TreeSettings};
use gleaner_parse::protocol::{Chunk, Code, Done, Opened, Page, Request, Source};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;

use crate::support::app::test_config;
use crate::support::{TestDatabase, wait_until};

/// All of it.
pub(crate) struct Bench {
    pub(crate) database: TestDatabase,
    pub(crate) blobs: Arc<Local>,
    pub(crate) script: Arc<Script>,
    pub(crate) pool: db::Pool,
    pub(crate) options: Processing,
    _folder: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gleaner-documents-")
            .tempdir()
            .unwrap();
        let database = TestDatabase::new().await;
        let config = test_config(&database);
        Self {
            blobs: Arc::new(Local::new(folder.path().join("files"))),
            script: Arc::default(),
            pool: database.pool(),
            options: config.workflows.options::<DocumentProcessing>().clone(),
            database,
            _folder: folder,
        }
    }

    /// A tenant of this name, with so many documents in hand at most: its key.
    pub(crate) async fn tenant(&self, name: &str, max_running: i16) -> i64 {
        self.database
            .scalar(&format!(
                "INSERT INTO tenant (name, max_running) VALUES ('{name}', {max_running}) RETURNING id"
            ))
            .await
    }

    /// A file of a tenant's: its key.
    pub(crate) async fn file(&self, tenant: i64, text: &str) -> Key {
        let uid: String = self
            .database
            .scalar(&format!("SELECT uid::text FROM tenant WHERE id = {tenant}"))
            .await;
        let sha256 = Sha256::digest(text.as_bytes()).into();
        let draft = self.blobs.drafts().await.unwrap();
        let draft = draft.join(format!("{:032x}", rand::random::<u128>()));
        std::fs::write(&draft, text).unwrap();
        let key = Key {
            tenant: uid,
            sha256,
        };
        self.blobs.keep(&key, &draft).await.unwrap();
        key
    }

    /// A document with this file, queued: its key. As the intake makes one.
    pub(crate) async fn add(&self, tenant: i64, name: &str, text: &str, lane: i16) -> i64 {
        self.file(tenant, text).await;
        self.row(tenant, name, text, lane).await
    }

    /// The same without the file.
    pub(crate) async fn row(&self, tenant: i64, name: &str, text: &str, lane: i16) -> i64 {
        let sha256 = hex(text);
        let bytes = text.len();
        let client = self.database.client().await;
        client
            .batch_execute(&format!(
                "BEGIN;
                 UPDATE tenant SET used_bytes = used_bytes + {bytes} WHERE id = {tenant}
                     AND NOT EXISTS (SELECT 1 FROM blob WHERE tenant_id = {tenant} AND sha256 = '\\x{sha256}' AND refs > 0);
                 INSERT INTO blob (tenant_id, sha256, bytes, refs) VALUES ({tenant}, '\\x{sha256}', {bytes}, 1)
                     ON CONFLICT (tenant_id, sha256) DO UPDATE SET refs = blob.refs + 1;
                 INSERT INTO documents (tenant_id, filename, original_filename, file_size, sha256, lane, process_status, process_priority)
                     VALUES ({tenant}, '{name}', '{name}', {bytes}, '\\x{sha256}', {lane}, 'Queued', {lane} * -3);
                 COMMIT"
            ))
            .await
            .unwrap();
        self.database.scalar("SELECT max(id) FROM documents").await
    }

    /// The workflow.
    pub(crate) fn workflow(&self, reads: Arc<dyn Reads>) -> DocumentProcessing {
        let options = Live::new(self.options.clone());
        let nowhere = PathBuf::from("/nowhere");
        let blobs: Arc<dyn Blobs> = Arc::<Local>::clone(&self.blobs);
        DocumentProcessing::with(blobs, reads, options, nowhere)
    }

    /// The engine at work, as one process.
    pub(crate) async fn start(&self, concurrency: usize) -> Tree {
        let script: Arc<dyn Reads> = Arc::<Script>::clone(&self.script);
        self.start_with(script, concurrency).await
    }

    /// The same with another reader.
    pub(crate) async fn start_with(&self, reads: Arc<dyn Reads>, concurrency: usize) -> Tree {
        let settings = Settings {
            interval: Duration::from_millis(100),
            batch_size: concurrency,
            concurrency,
            timeout: Duration::from_secs(600),
            settle_age: Duration::from_millis(5),
            max_attempts: 5,
            backoff: gleaner_actors::Backoff {
                base: Duration::from_millis(10),
                max: Duration::from_millis(20),
            },
            ..Settings::default()
        };
        let node = node::register(&mut self.pool.get().await.unwrap())
            .await
            .unwrap();
        let config = self.database.config();
        let connector = connect::Connector::new(&config.url, &config).unwrap();
        let port = Pipeline::new(
            self.workflow(reads),
            self.pool.clone(),
            node,
            Live::new(settings.clone()),
        );
        let member = Member::workflow("document-processing", Arc::new(port), settings);
        let heart = LeaseHeart::new(connector, node);
        Tree::start(TreeSettings::default(), heart, vec![member], Arc::new(()))
            .await
            .unwrap()
    }

    /// Waits until no document waits or is worked.
    pub(crate) async fn settled(&self) {
        wait_until("all documents are done", async || {
            let left = "SELECT count(*) FROM documents WHERE process_status IN ('Queued', 'Processing') OR process_lease IS NOT NULL";
            self.database.count(left).await == 0
        })
        .await;
    }

    /// These columns of a document, as text.
    pub(crate) async fn of(&self, document: i64, columns: &str) -> String {
        let sql = format!("SELECT {columns} FROM documents WHERE id = {document}");
        self.database.rows(&sql).await.concat()
    }

    /// How many documents are being read, as far as the reader knows.
    pub(crate) async fn wait_reading(&self, number: usize) {
        wait_until(&format!("{number} are being read"), async || {
            self.script.reading.load(Ordering::SeqCst) == number
        })
        .await;
    }
}

pub(crate) fn hex(text: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads as the lines of a file say: `opened N`, `page TEXT`, `seen TEXT` (a page that was recognised), `failed N`, `hold` (until let on), `for-ever`, `refuse CODE`,
/// `short` (once), `attach NAME TEXT`, `liar` (a page out of order), `silent` (done without a piece). Then it is done.
pub(crate) struct Script {
    pub(crate) gate: Semaphore,
    pub(crate) reading: AtomicUsize,
    pub(crate) most: AtomicUsize,
    /// Names of what was read, in the order in which it began.
    pub(crate) began: Mutex<Vec<String>>,
    shortages: AtomicUsize,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            gate: Semaphore::new(0),
            reading: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            began: Mutex::default(),
            shortages: AtomicUsize::new(1),
        }
    }
}

struct Reading<'a>(&'a AtomicUsize);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Script {
    pub(crate) fn began(&self) -> Vec<String> {
        self.began.lock().unwrap().clone()
    }

    async fn act(
        &self,
        mut file: File,
        request: Request,
        found: UnboundedSender<Event>,
    ) -> Result<Outcome, ChildError> {
        let now = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
        let _reading = Reading(&self.reading);
        self.most.fetch_max(now, Ordering::SeqCst);
        self.began
            .lock()
            .unwrap()
            .push(request.name.unwrap_or_default());
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut pages: Vec<Page> = Vec::new();
        let (mut number, mut start, mut failed) = (0, 0, Vec::new());
        let send = |event| drop(found.send(event));
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "opened" => send(Event::Opened(Opened {
                    mime: "text/x-script".to_owned(),
                    pages: rest.parse().ok(),
                    title: Some("A title".to_owned()),
                    has_macros: false,
                    parser: "script 1".to_owned(),
                })),
                "page" | "seen" => {
                    number += 1;
                    let page = Page {
                        number,
                        locator: None,
                        start,
                        text: rest.to_owned(),
                        source: if word == "seen" {
                            Source::Ocr
                        } else {
                            Source::Text
                        },
                    };
                    start += rest.chars().count() as u64 + 1;
                    pages.push(page.clone());
                    send(Event::Page(page));
                }
                "failed" => {
                    number += 1;
                    start += 1;
                    failed.push(number);
                    send(Event::PageFailed {
                        number,
                        code: Code::Timeout,
                    });
                }
                "hold" => self.gate.acquire().await.unwrap().forget(),
                "for-ever" => std::future::pending::<()>().await,
                "refuse" => {
                    let code = serde_json::from_value(rest.into()).unwrap();
                    return Ok(Outcome::Failed(Failed {
                        code,
                        message: format!("it is {code}"),
                        pages: vec![2],
                    }));
                }
                "short" => {
                    let left = |left: usize| left.checked_sub(1);
                    let short =
                        self.shortages
                            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
                    if short.is_ok() {
                        return Err(ChildError::Short(Short(Shortage::Threads)));
                    }
                }
                "attach" => {
                    let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                    send(Event::Attachment {
                        name: name.to_owned(),
                        bytes: text.replace('|', "\n").into_bytes(),
                    });
                }
                "liar" => send(Event::Page(Page {
                    number: 7,
                    locator: None,
                    start: 7,
                    text: "x".to_owned(),
                    source: Source::Text,
                })),
                _ => {}
            }
        }
        let pieces = pages.iter().filter(|page| !page.text.trim().is_empty());
        for (seq, page) in (0..).zip(pieces) {
            send(Event::Chunk(Chunk {
                seq,
                page_from: page.number,
                page_to: page.number,
                start: page.start,
                end: page.start + page.text.chars().count() as u64,
                locator: None,
            }));
        }
        let blank = pages.iter().filter(|page| page.text.trim().is_empty());
        Ok(Outcome::Done(Done {
            pages: number,
            pages_without_text: blank.map(|page| page.number).collect(),
            pages_failed: failed,
            language: Some("en".to_owned()),
            config: "english".to_owned(),
            tokens: 4,
            chars: start,
        }))
    }
}

impl Reads for Script {
    fn read<'a>(
        &'a self,
        file: File,
        request: Request,
        _deadline: Deadline,
        found: UnboundedSender<Event>,
    ) -> BoxFuture<'a, Result<Outcome, ChildError>> {
        Box::pin(self.act(file, request, found))
    }
}
