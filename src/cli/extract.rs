//! `gleaner extract`: the extractors by themselves. Needs no database, no configuration and no network.
//!
//! Here are its flags and its files; the rest is [`gleaner_extract::command`], and for whole documents `document`.

mod document;

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use gleaner_extract::command::{self, Context, InputError, Request, Stream};
use gleaner_extract::pattern::{MAX_PATTERN_BYTES, Pattern};

use crate::console::{FAILURE, Global, Misuse, OK};
use crate::telemetry::chain;

/// Arguments of `gleaner extract`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --jsonl every line is one request, and every answer one line, in the order of the requests:
  {\"id\": 1, \"file\": \"page.html\", \"url\": \"https://example.com/\"}   ->   {\"id\": 1, \"output\": {…}}
  {\"id\": 2, \"text\": \"https://EXAMPLE.com/?utm_source=x\"}           ->   {\"id\": 2, \"output\": {…}}
  {\"id\": 3, \"file\": \"nowhere.html\"}                              ->   {\"id\": 3, \"error\": \"…\"}
The document is \"file\" (relative to the folder of the JSONL file; gzip is recognised), \"text\" or \"html\". Options stand in
the line under the names of the flags, with underscores (\"default_region\"); for pattern, \"pattern\" is the pattern itself.

Exit code 0 when all lines were answered, be it with errors; 1 when the one document is refused or the input breaks off;
2 when the command makes no sense.")]
pub(super) struct Arguments {
    /// What to extract.
    #[arg(value_enum)]
    kind: Kind,
    /// The document, or with --jsonl the requests; - (the default) for standard input.
    file: Option<PathBuf>,
    /// The document itself, instead of a file.
    #[arg(long, conflicts_with_all = ["file", "jsonl"])]
    text: Option<String>,
    /// Read requests, one per line, and write answers, one per line.
    #[arg(long)]
    jsonl: bool,
    /// Threads for --jsonl; the default is one per core.
    #[arg(long, value_name = "N", requires = "jsonl")]
    jobs: Option<NonZeroUsize>,
    /// pattern: the pattern of requests that bring none, a JSON file.
    #[arg(long, value_name = "FILE")]
    pattern: Option<PathBuf>,
    /// document: the environment variable that holds the password.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "jsonl")]
    password_env: Option<String>,
    #[command(flatten)]
    options: Options,
}

/// What can be extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A URL in the one spelling in which it is stored.
    Url,
    /// Host, registrable domain and public suffix of a URL.
    Domain,
    /// What a robots.txt allows.
    Robots,
    /// The entries of a sitemap or feed.
    Sitemap,
    /// E-mail addresses, telephone numbers, social profiles, name, address.
    Contacts,
    /// The price in a text.
    Price,
    /// What a product page offers, and for how much.
    Offer,
    /// What a pattern selects on a page.
    Pattern,
    /// Title, texts, links and type of a page.
    Page,
    /// The text of a PDF, an office document, a book, a mail, page by page, read in a process of its own.
    Document,
}

impl Kind {
    /// The extractor; none for what is read in a process of its own.
    fn extractor(self) -> Option<command::Kind> {
        Some(match self {
            Self::Url => command::Kind::Url,
            Self::Domain => command::Kind::Domain,
            Self::Robots => command::Kind::Robots,
            Self::Sitemap => command::Kind::Sitemap,
            Self::Contacts => command::Kind::Contacts,
            Self::Price => command::Kind::Price,
            Self::Offer => command::Kind::Offer,
            Self::Pattern => command::Kind::Pattern,
            Self::Page => command::Kind::Page,
            Self::Document => return None,
        })
    }
}

/// What the caller knows beyond the document, where a line does not say it itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
struct Options {
    /// Address of the document (robots: the address to be judged).
    #[arg(long)]
    url: Option<String>,
    /// robots: who asks; the groups for * without it.
    #[arg(long, value_name = "NAME")]
    user_agent: Option<String>,
    /// contacts: country (ISO 3166-1) of telephone numbers without a country code.
    #[arg(long, value_name = "CODE")]
    default_region: Option<String>,
    /// price: language of the text (BCP 47).
    #[arg(long, value_name = "TAG")]
    language: Option<String>,
    /// price: currency (ISO 4217) where the text names none or an ambiguous sign.
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// price: what stands before the decimals, "." or ",", where the text leaves it open.
    #[arg(long, value_name = "SIGN")]
    decimal_separator: Option<String>,
    /// domain: platforms' suffixes count too (github.io).
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    private: Option<bool>,
    /// sitemap: the addresses alone.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    urls_only: Option<bool>,
}

impl From<Options> for command::Options {
    fn from(flags: Options) -> Self {
        Self {
            url: flags.url,
            user_agent: flags.user_agent,
            default_region: flags.default_region,
            language: flags.language,
            currency: flags.currency,
            decimal_separator: flags.decimal_separator,
            private: flags.private,
            urls_only: flags.urls_only,
        }
    }
}

pub(super) fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let Some(kind) = arguments.kind.extractor() else {
        return document::run(global, &arguments);
    };
    if arguments.password_env.is_some() {
        return Err(Misuse("--password-env is for documents".to_owned()).into());
    }
    let tracking = global.load()?.extract.tracking();
    let pattern = arguments.pattern.as_deref().map(pattern_in).transpose()?;
    let file = arguments.file.unwrap_or_else(|| PathBuf::from("-"));
    let is_stdin = file == Path::new("-");
    let folder = if arguments.jsonl && !is_stdin {
        file.parent().map(Path::to_owned).unwrap_or_default()
    } else {
        PathBuf::new()
    };
    let context = Context {
        open: Box::new(move |name| match name {
            "-" => Ok(Box::new(std::io::stdin())),
            name => Ok(Box::new(open(&folder.join(name))?)),
        }),
        tracking,
        pattern,
    };
    let options = arguments.options.into();
    if !arguments.jsonl {
        let request = Request {
            file: Some(file.to_string_lossy()).filter(|_| arguments.text.is_none()),
            text: arguments.text.map(Cow::Owned),
            ..Request::default()
        };
        return one(kind, &request.with(&options), &context);
    }
    let unreadable = |error| Misuse(format!("cannot read {}: {error}", file.display()));
    let input: Box<dyn Read + Send> = if is_stdin {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(&file).map_err(unreadable)?)
    };
    let requests = Stream::new(input).map_err(unreadable)?;
    let jobs = arguments
        .jobs
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    requests.answer(kind, options, context, jobs, &mut std::io::stdout())?;
    Ok(OK)
}

/// Opens a file that a request names.
fn open(path: &Path) -> Result<File, InputError> {
    let unreadable = |source| InputError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // Looked at first: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(InputError::NotAFile {
            path: path.to_owned(),
        });
    }
    File::open(path).map_err(unreadable)
}

/// Reads the file given with `--pattern`.
fn pattern_in(path: &Path) -> Result<Pattern, Misuse> {
    let bad = |error: &dyn std::fmt::Display| Misuse(format!("{}: {error}", path.display()));
    let file = open(path).map_err(|error| Misuse(chain(&error)))?;
    let bytes = command::read(file, MAX_PATTERN_BYTES + 1).map_err(|error| bad(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| bad(&error))?;
    Pattern::parse(&text).map_err(|error| bad(&chain(&error)))
}

/// Answers the one request of a command without `--jsonl`.
fn one(kind: command::Kind, request: &Request<'_>, context: &Context) -> anyhow::Result<u8> {
    let answer = match command::answer(kind, request, context) {
        Ok(answer) => answer,
        Err(refusal) => {
            crate::console::complain(&chain(&refusal));
            return Ok(FAILURE);
        }
    };
    print(&answer)
}

/// Prints the answer.
fn print(answer: &impl serde::Serialize) -> anyhow::Result<u8> {
    let mut output = BufWriter::new(std::io::stdout());
    let written = serde_json::to_writer_pretty(&mut output, answer)
        .map_err(std::io::Error::from)
        .and_then(|()| output.write_all(b"\n"))
        .and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(OK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            open(folder.path()),
            Err(InputError::NotAFile { .. })
        ));
        assert!(matches!(
            open(&folder.path().join("none")),
            Err(InputError::Unreadable { .. })
        ));
    }
}
