//! How well and how fast documents are read, in children as in service, for which no database is needed; and how they are served (`served`).
//!
//! What is measured is a folder of the user's, and in it `labels.jsonl`: a line for each file with the words that are known to stand
//! in it, `{"file": "a.pdf", "tokens": {"word": 2}}`. Recall is of words as often as they are known, whatever their order.

mod served;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use gleaner_parse::protocol::Request;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub use self::served::{Served, Service, Timed, served};

use super::{BenchError, number, rounded};
use crate::documents::child::{Deadline, Event, Outcome, Reader};

/// How often the smallest of documents is read, to see what a child costs by itself.
const OVERHEAD_RUNS: u32 = 50;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Documents {
    /// The folder with them; none to see what a child costs alone.
    pub folder: Option<PathBuf>,
    /// pdfium's library.
    pub pdfium: Option<PathBuf>,
}

/// What came out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DocumentTimes {
    pub documents: u64,
    /// Of them, read to the end.
    pub read: u64,
    pub pages: u64,
    /// Pages by processor time of the children, start and end of theirs included.
    pub pages_per_processor_second: f64,
    /// The same by the clock, one document at a time.
    pub pages_per_second: f64,
    /// The most that a child had in memory.
    pub peak_bytes: u64,
    /// Processor time of a child that reads one word, in milliseconds.
    pub child_overhead_ms: f64,
    /// Documents whose words are known.
    pub labelled: u64,
    /// Of their words, found: all together.
    pub recall: f64,
    /// Documents of which 95 in 100 words are found, by all that are labelled.
    pub share_at_95: f64,
    /// The others, and those that were not read.
    pub low: Vec<Low>,
}

/// A document that was not read well.
#[derive(Clone, Debug, Serialize)]
pub struct Low {
    pub file: String,
    pub recall: Option<f64>,
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Label {
    file: String,
    /// None where they are not known.
    tokens: Option<HashMap<String, u64>>,
}

/// Sees what a child costs, and reads all files of a folder, one after the other.
///
/// # Errors
/// [`BenchError::Process`] if a file or a child is not to be had; [`BenchError::Stuck`] with the reason if there is nothing to read.
pub async fn documents(wanted: &Documents) -> Result<DocumentTimes, BenchError> {
    let reader = Reader::default();
    let mut times = DocumentTimes {
        child_overhead_ms: rounded(overhead(&reader).await?),
        ..DocumentTimes::default()
    };
    if let Some(folder) = &wanted.folder {
        read_all(&reader, folder, wanted.pdfium.as_deref(), &mut times).await?;
    }
    Ok(times)
}

async fn read_all(
    reader: &Reader,
    folder: &Path,
    pdfium: Option<&Path>,
    times: &mut DocumentTimes,
) -> Result<(), BenchError> {
    let labels = labels(folder)?;
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && path.extension().is_none_or(|end| end != "jsonl"))
        .collect();
    files.sort_unstable();
    if files.is_empty() {
        let folder = folder.display();
        return Err(BenchError::Stuck(format!("there are no files in {folder}")));
    }
    let (mut found, mut known, mut good) = (0, 0, 0);
    let (began, spent) = (Instant::now(), processor_seconds()?);
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (text, pages, error) = text_of(reader, pdfium, path).await?;
        times.documents += 1;
        times.read += u64::from(error.is_none());
        times.pages += pages;
        let tokens = labels
            .get(name.as_ref())
            .filter(|tokens| !tokens.is_empty());
        let recall = tokens.map(|tokens| {
            let words = words(&text);
            let count: u64 = tokens.values().sum();
            let hits: u64 = tokens
                .iter()
                .map(|(word, count)| words.get(word).copied().unwrap_or(0).min(*count))
                .sum();
            found += hits;
            known += count;
            times.labelled += 1;
            number(hits) / number(count.max(1))
        });
        let is_good = recall.is_none_or(|recall| recall >= 0.95);
        good += u64::from(recall.is_some() && is_good);
        if !is_good || error.is_some() {
            times.low.push(Low {
                file: name.into_owned(),
                recall: recall.map(rounded),
                error,
            });
        }
    }
    let pages = number(times.pages);
    times.pages_per_processor_second = rounded(pages / (processor_seconds()? - spent).max(1e-3));
    times.pages_per_second = rounded(pages / began.elapsed().as_secs_f64().max(1e-3));
    times.recall = rounded_finely(number(found) / number(known.max(1)));
    times.share_at_95 = rounded(number(good) / number(times.labelled.max(1)));
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(std::io::Error::from)?;
    times.peak_bytes = u64::try_from(peak.max_rss()).unwrap_or(0) << 10;
    Ok(())
}

/// Recall is told to four places: most of it is in the third.
fn rounded_finely(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// The words of each file, as they are known.
fn labels(folder: &Path) -> Result<HashMap<String, HashMap<String, u64>>, BenchError> {
    let text = match fs::read_to_string(folder.join("labels.jsonl")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let mut labels = HashMap::new();
    for line in text.lines() {
        let label: Label = serde_json::from_str(line).map_err(std::io::Error::from)?;
        labels.insert(label.file, label.tokens.unwrap_or_default());
    }
    Ok(labels)
}

/// The text of a file, how many pages it has, and why it could not be read.
async fn text_of(
    reader: &Reader,
    pdfium: Option<&Path>,
    path: &Path,
) -> Result<(String, u64, Option<String>), BenchError> {
    let request = Request {
        name: path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned()),
        pdfium: pdfium.map(Path::to_owned),
        ..Request::default()
    };
    let (mut text, mut pages) = (String::new(), 0);
    let file = File::open(path)?;
    let outcome = reader
        .read(&file, request, Deadline::default(), |event| {
            if let Event::Page(page) = event {
                pages += 1;
                text.push('\n');
                text.push_str(&page.text);
            }
            ControlFlow::Continue(())
        })
        .await
        .map_err(std::io::Error::other)?;
    let error = match outcome {
        Outcome::Failed(failed) => Some(failed.code.to_string()),
        Outcome::Done(_) | Outcome::Stopped => None,
    };
    Ok((text, pages, error))
}

/// Processor time of a child that reads one word, in milliseconds.
async fn overhead(reader: &Reader) -> Result<f64, BenchError> {
    let path = std::env::temp_dir().join(format!("gleaner-bench-{:016x}", rand::random::<u64>()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    // It is read by its descriptor.
    fs::remove_file(&path)?;
    file.write_all(b"word\n")?;
    let spent = processor_seconds()?;
    for _ in 0..OVERHEAD_RUNS {
        let request = Request {
            name: Some("word.txt".to_owned()),
            ..Request::default()
        };
        let read = reader.read(&file, request, Deadline::default(), |_| {
            ControlFlow::Continue(())
        });
        drop(read.await.map_err(std::io::Error::other)?);
    }
    Ok((processor_seconds()? - spent) * 1e3 / f64::from(OVERHEAD_RUNS))
}

/// Of all children that have been waited for.
fn processor_seconds() -> Result<f64, BenchError> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(std::io::Error::from)?;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn seconds(time: TimeVal) -> f64 {
    let whole = number(u64::try_from(time.tv_sec()).unwrap_or(0));
    whole + number(u64::try_from(time.tv_usec()).unwrap_or(0)) / 1e6
}

fn words(text: &str) -> HashMap<String, u64> {
    let mut words = HashMap::new();
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    for word in text.split(|char| !is_part(char)) {
        if !word.is_empty() {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_whatever_their_case() {
        let words = words("One, two: ONE\ntwo_three");
        let count = |word: &str| words.get(word).copied();
        assert_eq!(count("one"), Some(2));
        assert_eq!(count("two"), Some(1));
        assert_eq!(count("two_three"), Some(1));
    }
}
