//! What tenants wait for: large PDFs, from the first byte of their upload until they are ready; and the API, while large files are read.
//! A `gleaner run` of its own serves all of it, with its defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::{Body, Client, Method, RequestBuilder};
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::language::random_word;
use super::super::scratch::{Scratch, ServerSettings};
use super::super::{BenchError, percentile, process, rounded};
use crate::documents::demo::pdf_of;
use crate::documents::processing::DocumentProcessing;
use crate::documents::{key, tenant};
use crate::workflow::Workflow as _;

/// Files that are read while users ask.
const LARGE: usize = 5;
/// What a user waits after an answer.
const PAUSE: Duration = Duration::from_secs(1);
/// Users ask for so long at least.
const ASKED_FOR: Duration = Duration::from_secs(10);
/// How often it is looked whether a document is ready, and for how long.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(600);
/// Of the tenant, in bytes.
const QUOTA: i64 = 1 << 40;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Service {
    /// PDFs that are read with nothing else to do, by their bytes.
    pub alone: Vec<usize>,
    /// Bytes of each that is read while users ask.
    pub large_bytes: usize,
    /// Users who ask at a time.
    pub users: u32,
    /// pdfium's library.
    pub pdfium: Option<PathBuf>,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Served {
    /// PDFs that were read one after the other.
    pub pdfs: Vec<Timed>,
    /// Users who then asked for statuses, lists and hits, each a second after its last answer.
    pub users: u32,
    /// Files that were read meanwhile, the bytes of each, and how long it took until the last was ready.
    pub large_files: usize,
    pub large_bytes: usize,
    pub large_seconds: f64,
    /// What they asked, and how many were not answered as they should be.
    pub api_requests: usize,
    pub api_failed: usize,
    /// Times of an answer, as its user sees it, in milliseconds.
    pub api_p50_ms: f64,
    pub api_p95_ms: f64,
    pub api_slowest_ms: f64,
    /// The most memory that the process took, without its children, in bytes.
    pub service_peak_bytes: u64,
    #[serde(flatten)]
    pub server: ServerSettings,
}

/// How long one PDF took.
#[derive(Clone, Debug, Serialize)]
pub struct Timed {
    pub bytes: usize,
    pub pages: u64,
    /// From the first byte of its upload until it is ready.
    pub seconds: f64,
}

/// Measures.
///
/// # Errors
/// Whatever the database answers; [`BenchError::Process`]; [`BenchError::Stuck`] if the process ends, or a document fails.
pub async fn served(
    scratch: &mut Scratch,
    program: &Path,
    what: &Service,
) -> Result<Served, BenchError> {
    let mut running = Running::start(scratch, program, what.pdfium.as_deref()).await?;
    let measured = measure(&mut running, what).await;
    let peak = running.child.id().map(process::peak);
    running.stop().await?;
    let (pdfs, large_seconds, asked) = measured?;
    let Asked { mut millis, failed } = asked;
    millis.sort_by(f64::total_cmp);
    Ok(Served {
        pdfs,
        users: what.users,
        large_files: LARGE,
        large_bytes: what.large_bytes,
        large_seconds,
        api_requests: millis.len(),
        api_failed: failed,
        api_p50_ms: rounded(percentile(&millis, 50)),
        api_p95_ms: rounded(percentile(&millis, 95)),
        api_slowest_ms: rounded(percentile(&millis, 100)),
        service_peak_bytes: peak.transpose()?.unwrap_or(0),
        server: scratch.server_settings().await?,
    })
}

async fn measure(
    running: &mut Running,
    what: &Service,
) -> Result<(Vec<Timed>, f64, Asked), BenchError> {
    let mut random = StdRng::seed_from_u64(3);
    let mut pdfs = Vec::new();
    for bytes in &what.alone {
        let file = pdf(&mut random, *bytes);
        let (bytes, start) = (file.len(), Instant::now());
        let document = running.asker.upload(file).await?;
        let pages = running.until_ready(&document).await?;
        let seconds = rounded(start.elapsed().as_secs_f64());
        pdfs.push(Timed {
            bytes,
            pages,
            seconds,
        });
    }
    let (mut documents, start) = (Vec::new(), Instant::now());
    for _ in 0..LARGE {
        let file = pdf(&mut random, what.large_bytes);
        documents.push(running.asker.upload(file).await?);
    }
    let done = CancellationToken::new();
    let mut asking = JoinSet::new();
    for user in 0..what.users {
        let (asker, documents, done) = (running.asker.clone(), documents.clone(), done.clone());
        asking.spawn(async move { asker.ask(user, &documents, &done).await });
    }
    for document in &documents {
        running.until_ready(document).await?;
    }
    let seconds = rounded(start.elapsed().as_secs_f64());
    process::stay_alive(
        &mut running.child,
        ASKED_FOR.saturating_sub(start.elapsed()),
    )
    .await?;
    done.cancel();
    let mut asked = Asked::default();
    for own in asking.join_all().await {
        asked.millis.extend(own.millis);
        asked.failed += own.failed;
    }
    Ok((pdfs, seconds, asked))
}

/// A PDF of at least so many bytes: pages of words, each set in its place, as typesetters do.
fn pdf(random: &mut StdRng, bytes: usize) -> Vec<u8> {
    const RESOURCES: &str = "/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >>";
    let (mut pages, mut written) = (Vec::new(), 0);
    while written < bytes {
        let mut page = "BT /F1 9 Tf\n".to_owned();
        for line in 0..62 {
            for column in 0..9 {
                let (x, y) = (40 + 58 * column, 800 - 12 * line);
                let word = random_word(random);
                page.push_str(&format!("1 0 0 1 {x} {y} Tm ({word}) Tj\n"));
            }
        }
        page.push_str("ET");
        written += page.len();
        pages.push(page);
    }
    pdf_of(&pages, RESOURCES)
}

/// The process that is measured.
struct Running {
    child: Child,
    asker: Asker,
    /// Where its files lie.
    storage: PathBuf,
}

impl Running {
    async fn start(
        scratch: &mut Scratch,
        program: &Path,
        pdfium: Option<&Path>,
    ) -> Result<Self, BenchError> {
        let secret = key::generate().map_err(std::io::Error::other)?;
        tenant::create_with_key(scratch.admin(), "bench", QUOTA, &secret).await?;
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let storage = format!("gleaner-bench-{:016x}", rand::random::<u64>());
        let storage = std::env::temp_dir().join(storage);
        let (listen, files) = (address.to_string(), storage.display().to_string());
        let library = pdfium.map(|path| path.display().to_string());
        let workflow = DocumentProcessing::NAME;
        let option = format!(
            "GLEANER_WORKFLOWS__{}__OPTIONS__PDFIUM",
            workflow.to_uppercase()
        );
        let child = process::start(
            scratch,
            program,
            &["--only", workflow],
            &[
                ("GLEANER_HTTP__LISTEN", listen.as_str()),
                ("GLEANER_DOCUMENTS__STORAGE", files.as_str()),
                (option.as_str(), library.as_deref().unwrap_or_default()),
            ],
        )?;
        let client = Client::builder().no_proxy().timeout(PATIENCE).build();
        let asker = Asker {
            client: client.map_err(std::io::Error::other)?,
            at: format!("http://{address}"),
            key: secret.expose().to_owned(),
        };
        let mut running = Self {
            child,
            asker,
            storage,
        };
        let start = Instant::now();
        while running.asker.get("/api/user/stats").await.is_err() {
            running.wait(start, "the process does not serve").await?;
        }
        Ok(running)
    }

    /// Waits a little, but not for ever.
    async fn wait(&mut self, since: Instant, for_what: &str) -> Result<(), BenchError> {
        if since.elapsed() > PATIENCE {
            return Err(BenchError::Stuck(for_what.to_owned()));
        }
        process::stay_alive(&mut self.child, LOOK_EVERY).await
    }

    /// Waits until a document is ready; how many pages it has.
    async fn until_ready(&mut self, document: &str) -> Result<u64, BenchError> {
        let start = Instant::now();
        loop {
            let path = format!("/api/documents/{document}/status");
            let told = self.asker.get(&path).await?;
            match told["status"].as_str() {
                Some("ready") => return Ok(told["page_count"].as_u64().unwrap_or(0)),
                Some("failed") => {
                    let error = &told["error"];
                    return Err(BenchError::Stuck(format!("a document failed: {error}")));
                }
                _ => {
                    let so_long = "a document is not read to its end";
                    self.wait(start, so_long).await?;
                }
            }
        }
    }

    async fn stop(mut self) -> Result<(), BenchError> {
        process::stop(&mut self.child).await?;
        std::fs::remove_dir_all(&self.storage)?;
        Ok(())
    }
}

/// Somebody who asks the process.
#[derive(Clone)]
struct Asker {
    client: Client,
    at: String,
    key: String,
}

/// What somebody asked.
#[derive(Default)]
struct Asked {
    millis: Vec<f64>,
    failed: usize,
}

impl Asker {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.at);
        self.client.request(method, url).bearer_auth(&self.key)
    }

    /// A good answer.
    async fn answer(&self, request: RequestBuilder) -> Result<Value, BenchError> {
        let answered = async { request.send().await?.error_for_status()?.json().await };
        Ok(answered.await.map_err(std::io::Error::other)?)
    }

    async fn get(&self, path: &str) -> Result<Value, BenchError> {
        self.answer(self.request(Method::GET, path)).await
    }

    /// Uploads a PDF: its document.
    async fn upload(&self, file: Vec<u8>) -> Result<String, BenchError> {
        let mut form = b"--f00\r\nContent-Disposition: form-data; name=\"file\"; filename=\"large.pdf\"\r\n\r\n".to_vec();
        form.extend(file);
        form.extend(b"\r\n--f00--\r\n");
        let request = self
            .request(Method::POST, "/api/documents/upload")
            .header("content-type", "multipart/form-data; boundary=f00")
            .body(Body::from(form));
        let told = self.answer(request).await?;
        let document = told["document_id"].as_str().map(str::to_owned);
        document.ok_or_else(|| BenchError::Stuck(format!("an upload was answered {told}")))
    }

    /// Asks until it is done: six times in ten how a document is, twice what there is, twice where words stand.
    async fn ask(&self, user: u32, documents: &[String], done: &CancellationToken) -> Asked {
        let mut random = StdRng::seed_from_u64(u64::from(user));
        let mut asked = Asked::default();
        // They did not all come at once.
        let mut pause = PAUSE.mul_f64(random.random());
        while done
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            pause = PAUSE;
            let path = match random.random_range(0..10) {
                0..6 => {
                    let document = &documents[random.random_range(0..documents.len())];
                    format!("/api/documents/{document}/status")
                }
                6..8 => "/api/documents?limit=20".to_owned(),
                _ => {
                    let (one, other) = (random_word(&mut random), random_word(&mut random));
                    format!("/api/search?q={one}+{other}")
                }
            };
            let start = Instant::now();
            asked.failed += usize::from(self.get(&path).await.is_err());
            asked.millis.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdf_is_as_large_as_was_asked_and_the_next_is_another() {
        let mut random = StdRng::seed_from_u64(1);
        let (one, other) = (pdf(&mut random, 100_000), pdf(&mut random, 100_000));
        assert!((100_000..150_000).contains(&one.len()), "{}", one.len());
        assert!(one.starts_with(b"%PDF-") && one.ends_with(b"%%EOF\n"));
        assert!(one != other);
    }
}
