//! `gleaner import`: rows from a CSV file. Streams files of any size, stores nothing twice, and names every line it refuses.

mod records;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use diesel_async::AsyncPgConnection;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::records::Records;
use self::values::{Entry, Kind, Layout};
use crate::console::table::{cut, plain};
use crate::console::{FAILURE, Global, Misuse, OK, complain, print};
use crate::db;
use crate::db::connect::Connector;
use crate::db::halves::Halves;
use crate::db::migrations;
use crate::leads::import;
use crate::leads::import::Chunk;
use gleaner_extract::url::TrackingParameters;

/// Arguments of `gleaner import`.
#[derive(Debug, Args)]
#[command(after_help = "\
The first line may name the columns; which one counts is told by its heading, any other is ignored:
  places    place_id, and name, formatted_address, business_type, latitude, longitude, rating,
            user_ratings_total, price_level, search_query, search_location, notes
  domains   domain, domains, website, url
  sitemaps  sitemap_url, sitemap, sitemaps, sitemap_urls, url
  pages     url, urls, page, pages, link
Without such a heading every line is one value. Columns are separated by comma, semicolon or tab.

Exit code 0 when every line was good, 1 when some were refused; the good ones are stored all the same.")]
pub(crate) struct Arguments {
    /// What the file holds.
    #[arg(value_enum)]
    kind: Kind,
    /// The file, UTF-8; - for standard input.
    file: PathBuf,
    /// Have the rows worked: stored as Selected, and known ones that are still New become Selected.
    #[arg(long)]
    queue: bool,
    /// Say what would be stored, and store nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write every refused line to this file, as CSV: line, value, reason.
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
}

/// Rows per statement.
const CHUNK_ROWS: usize = 5_000;

/// Refused lines that are shown.
const SHOWN: usize = 20;

/// What became of a file.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    kind: &'static str,
    file: String,
    dry_run: bool,
    /// Lines with something in them, but the header.
    rows: u64,
    stored: u64,
    /// Within the file, and against what was stored before.
    duplicates: u64,
    invalid: u64,
    queued: u64,
    ignored_columns: Vec<String>,
    /// The first of the refused lines.
    errors: Vec<Refused>,
}

/// A line that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Refused {
    line: u64,
    value: String,
    reason: String,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let (input, size) = open(&arguments.file)?;
    let mut import = Import::new(&arguments, input, config.extract.tracking())?;
    let connector = Connector::new(config.database.direct(), &config.database)?;
    let mut connection = connector.connect_patient().await?;
    migrations::require_current(&mut connection).await?;
    if arguments.dry_run {
        import::begin_preview(&mut connection).await?;
    }

    let bar = progress(global, size);
    let done = import.all(&mut connection, &bar).await;
    bar.finish_and_clear();
    done?;
    let summary = import.finish()?;
    if global.json {
        print(&serde_json::to_string_pretty(&summary)?);
    } else {
        show(&summary, arguments.errors.as_deref());
    }
    Ok(if summary.invalid == 0 { OK } else { FAILURE })
}

type Input = Box<dyn BufRead + Send>;

/// The file, and its size where it has one.
fn open(path: &Path) -> anyhow::Result<(Input, Option<u64>)> {
    const BUFFER: usize = 256 * 1024;
    if path == Path::new("-") {
        let input = BufReader::with_capacity(BUFFER, std::io::stdin());
        return Ok((Box::new(input), None));
    }
    let unreadable =
        |error: std::io::Error| Misuse(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Misuse(format!("{} is a folder", path.display())).into());
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(BufReader::with_capacity(BUFFER, file)), size))
}

/// What a file is that is certainly no CSV in UTF-8, by its first bytes.
fn not_csv(start: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 5] = [
        (b"\xff\xfe", "it is UTF-16: save it as \"CSV UTF-8\""),
        (b"\xfe\xff", "it is UTF-16: save it as \"CSV UTF-8\""),
        (
            b"PK\x03\x04",
            "it is a spreadsheet or an archive: save it as \"CSV UTF-8\"",
        ),
        (
            b"\x1f\x8b",
            "it is compressed: pipe it through zcat, and name - as the file",
        ),
        (b"%PDF", "it is a PDF"),
    ];
    let found = KINDS.iter().find(|(magic, _)| start.starts_with(magic));
    found.map(|(_, what)| *what)
}

/// A bar on a terminal, nothing elsewhere.
fn progress(global: &Global, size: Option<u64>) -> ProgressBar {
    if global.json || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match size {
        Some(size) => (
            ProgressBar::new(size),
            "{bar:30} {bytes}/{total_bytes}  {msg}  {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes}  {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_bad_template) => bar,
    }
}

/// A row of the next statement.
struct Pending {
    /// The line it stands on.
    line: u64,
    /// The beginning of that line, for messages.
    value: String,
    entry: Entry,
}

/// An import on its way.
struct Import<'a> {
    arguments: &'a Arguments,
    records: Records<Input>,
    tracking: Arc<TrackingParameters>,
    layout: Layout,
    summary: Summary,
    errors: Option<csv::Writer<File>>,
    /// The rows of the next statement, by key.
    pending: BTreeMap<String, Pending>,
    /// Rows read for it, with those that stand in it twice.
    pending_rows: u64,
    /// The last line that is dealt with for good.
    settled_line: u64,
}

impl<'a> Import<'a> {
    fn new(
        arguments: &'a Arguments,
        input: Input,
        tracking: Arc<TrackingParameters>,
    ) -> anyhow::Result<Self> {
        let mut records = Records::new(input);
        let file = arguments.file.display().to_string();
        let start = records.first_bytes().context("cannot read the file")?;
        if let Some(what) = not_csv(start) {
            return Err(Misuse(format!("{file} is no CSV file: {what}")).into());
        }
        let first = records.peek().context("cannot read the file")?;
        let layout = Layout::of(arguments.kind, first.unwrap_or_default());
        if layout.has_header {
            records.set_delimiter(b',');
            records.next().context("cannot read the file")?;
        }
        records.set_delimiter(layout.delimiter);
        let errors = match &arguments.errors {
            None => None,
            Some(path) => {
                let refused =
                    |error: csv::Error| Misuse(format!("cannot write {}: {error}", path.display()));
                let mut writer = csv::Writer::from_path(path).map_err(refused)?;
                writer
                    .write_record(["line", "value", "reason"])
                    .map_err(refused)?;
                Some(writer)
            }
        };
        Ok(Self {
            arguments,
            records,
            tracking,
            summary: Summary {
                kind: arguments.kind.name(),
                file,
                dry_run: arguments.dry_run,
                ignored_columns: layout.ignored.clone(),
                ..Summary::default()
            },
            layout,
            errors,
            pending: BTreeMap::new(),
            pending_rows: 0,
            settled_line: 0,
        })
    }

    async fn all(
        &mut self,
        connection: &mut AsyncPgConnection,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        while let Some(record) = self.records.next().context("cannot read the file")? {
            let entry = match &record.fields {
                Ok(fields) => match self
                    .layout
                    .entry(self.arguments.kind, fields, &self.tracking)
                {
                    None => continue,
                    Some(entry) => entry,
                },
                Err(error) => Err(error.to_string()),
            };
            self.summary.rows += 1;
            match entry {
                Ok(entry) => {
                    self.pending_rows += 1;
                    // The first of two lines with one key is kept.
                    let key = entry.key().to_owned();
                    self.pending.entry(key).or_insert_with(|| Pending {
                        line: record.line,
                        value: told(&record.raw),
                        entry,
                    });
                }
                Err(reason) => self.refuse(record.line, told(&record.raw), reason)?,
            }
            if self.pending.len() >= CHUNK_ROWS {
                self.store(connection).await?;
                self.settled_line = record.line;
                bar.set_position(self.records.bytes());
                bar.set_message(format!(
                    "{} stored, {} duplicates, {} refused",
                    self.summary.stored, self.summary.duplicates, self.summary.invalid
                ));
            }
        }
        self.store(connection).await
    }

    fn refuse(&mut self, line: u64, value: String, reason: String) -> anyhow::Result<()> {
        self.summary.invalid += 1;
        let hint = if self.summary.rows == 1 && !self.layout.has_header {
            let names = self.arguments.kind.headings().join(", ");
            format!(" (if this is the header: its column must be called one of {names})")
        } else {
            String::new()
        };
        let refused = Refused {
            line,
            value,
            reason: plain(&(reason + &hint)),
        };
        if let Some(writer) = &mut self.errors {
            writer
                .write_record([&refused.line.to_string(), &refused.value, &refused.reason])
                .context("cannot write the file of refused lines")?;
        }
        if self.summary.errors.len() < SHOWN {
            self.summary.errors.push(refused);
        }
        Ok(())
    }

    /// Stores what is pending. A line that the table refuses costs itself alone.
    async fn store(&mut self, connection: &mut AsyncPgConnection) -> anyhow::Result<()> {
        let pending: Vec<Pending> = std::mem::take(&mut self.pending).into_values().collect();
        let (mut stored, mut refused) = (0, Vec::new());
        let mut halves = Halves::of(&pending).however_many();
        while let Some(part) = halves.next_part() {
            let entries = part.iter().map(|own| own.entry.clone());
            let chunk = chunk(self.arguments.kind, entries);
            let queue = self.arguments.queue;
            let done = if self.arguments.dry_run {
                import::preview(connection, &chunk, queue).await
            } else {
                import::store(connection, &chunk, queue).await
            };
            match done {
                Ok(done) => {
                    stored += done.stored.unsigned_abs();
                    self.summary.stored += done.stored.unsigned_abs();
                    self.summary.queued += done.queued.unsigned_abs();
                }
                Err(error) => {
                    let found = halves
                        .refused(part, error)
                        .with_context(|| self.stopped())?;
                    refused.extend(found);
                }
            }
        }
        let lost = u64::try_from(refused.len()).unwrap_or(u64::MAX);
        self.summary.duplicates += self
            .pending_rows
            .saturating_sub(stored)
            .saturating_sub(lost);
        self.pending_rows = 0;
        // As they stand in the file.
        refused.sort_by_key(|(own, _)| own.line);
        for (own, error) in refused {
            let reason = format!("the database refuses it: {}", db::described(&error));
            self.refuse(own.line, own.value.clone(), reason)?;
        }
        Ok(())
    }

    fn stopped(&self) -> String {
        format!(
            "stopped after line {} with {} rows stored; import the file again to go on, nothing is stored twice",
            self.settled_line, self.summary.stored
        )
    }

    fn finish(mut self) -> anyhow::Result<Summary> {
        if let Some(writer) = &mut self.errors {
            writer
                .flush()
                .context("cannot write the file of refused lines")?;
        }
        Ok(self.summary)
    }
}

/// The beginning of a line, for messages.
fn told(raw: &str) -> String {
    plain(&cut(raw.trim(), 500))
}

/// Entries of one kind as a chunk. The kind decides what [`Layout::entry`] makes, so nothing is left out.
fn chunk(kind: Kind, entries: impl Iterator<Item = Entry>) -> Chunk {
    let (mut places, mut domains, mut sitemaps, mut pages) = (vec![], vec![], vec![], vec![]);
    for entry in entries {
        match entry {
            Entry::Place(place) => places.push(place),
            Entry::Domain(domain) => domains.push(domain),
            Entry::Sitemap(address) => sitemaps.push(address),
            Entry::Page(page) => pages.push(page),
        }
    }
    match kind {
        Kind::Places => Chunk::Places(places),
        Kind::Domains => Chunk::Domains(domains),
        Kind::Sitemaps => Chunk::Sitemaps(sitemaps),
        Kind::Pages => Chunk::Pages(pages),
    }
}

fn show(summary: &Summary, errors: Option<&Path>) {
    for refused in &summary.errors {
        let value = cut(&refused.value, 80);
        complain(&format!(
            "line {}: {} ({value})",
            refused.line, refused.reason
        ));
    }
    let hidden = summary.invalid - u64::try_from(summary.errors.len()).unwrap_or(0);
    match errors {
        Some(path) if summary.invalid > 0 => {
            complain(&format!("all refused lines are in {}", path.display()));
        }
        _ if hidden > 0 => complain(&format!("and {hidden} more; --errors FILE keeps them all")),
        _ => {}
    }
    if !summary.ignored_columns.is_empty() {
        let names = plain(&summary.ignored_columns.join(", "));
        print(&format!("columns not used: {}", cut(&names, 200)));
    }
    print(&format!(
        "{} rows: {} {}, {} duplicates, {} refused, {} {}",
        summary.rows,
        summary.stored,
        if summary.dry_run {
            "would be stored"
        } else {
            "stored"
        },
        summary.duplicates,
        summary.invalid,
        summary.queued,
        if summary.dry_run {
            "would be queued"
        } else {
            "queued"
        },
    ));
}
