//! The child that reads a document: what it may not do, what hostile files cost, and what it finds in honest ones.

#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gleaner::documents::child::{
    ChildError, Deadline, Event, Ocr, Outcome, Reader, find_pdfium, try_out,
};
use gleaner_parse::child::Trying;
use gleaner_parse::protocol::{Code, Limits, Password, Request};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use serde_json::Value;

pub(super) use super::files::file;
use super::files::{Sheet, form, looping_pages, looping_table, many_pages, pdf};
use crate::support::{larger_data, skip, wait_until};

pub(super) fn reader() -> Reader {
    Reader::by(env!("CARGO_BIN_EXE_gleaner"))
}

/// The library for PDFs, where `./test` or `./quickstart` put it.
pub(crate) fn pdfium() -> Option<PathBuf> {
    let named = std::env::var("GLEANER_TEST_PDFIUM").unwrap_or_default();
    let found = find_pdfium(&named, &PathBuf::from("/var/lib/gleaner"));
    if found.is_none() {
        skip("there is no libpdfium.so");
    }
    found
}

pub(super) fn request() -> Request {
    Request {
        pdfium: find_pdfium(
            &std::env::var("GLEANER_TEST_PDFIUM").unwrap_or_default(),
            &PathBuf::from("/var/lib/gleaner"),
        ),
        ..Request::default()
    }
}

/// What a reading told.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) outcome: Outcome,
    pub(super) pages: BTreeMap<u32, String>,
    failed: Vec<(u32, Code)>,
    mime: String,
}

impl Read {
    pub(super) fn code(&self) -> Option<Code> {
        match &self.outcome {
            Outcome::Failed(failed) => Some(failed.code),
            Outcome::Done(_) | Outcome::Stopped => None,
        }
    }

    pub(super) fn text(&self) -> String {
        let pages: Vec<&str> = self.pages.values().map(String::as_str).collect();
        pages.join("\u{c}")
    }
}

pub(super) async fn try_read(
    content: &[u8],
    request: Request,
    deadline: Deadline,
) -> Result<Read, ChildError> {
    let mut read = Read {
        outcome: Outcome::Stopped,
        pages: BTreeMap::new(),
        failed: Vec::new(),
        mime: String::new(),
    };
    let outcome = reader()
        .read(&file(content), request, deadline, |event| {
            match event {
                Event::Opened(opened) => read.mime = opened.mime,
                Event::Page(page) => {
                    let before = read.pages.insert(page.number, page.text);
                    assert_eq!(before, None, "page {} is told twice", page.number);
                }
                Event::PageFailed { number, code } => read.failed.push((number, code)),
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .await?;
    read.outcome = outcome;
    Ok(read)
}

async fn read(content: &[u8]) -> Read {
    let read = try_read(content, request(), Deadline::default()).await;
    read.unwrap()
}

/// Makes a program of these commands of a shell.
pub(super) fn script(program: &Path, commands: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;
    let mut file = fs::File::create(program).unwrap();
    file.write_all(format!("#!/bin/sh\nPATH=/bin:/usr/bin\n{commands}\n").as_bytes())
        .unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o755))
        .unwrap();
}

/// The processes that this test has started and that are still there, dead ones that nobody waited for among them.
fn children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let is_ours = |process: &i32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        fields.split_whitespace().nth(1) == Some(own.as_str())
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(is_ours).collect()
}

#[tokio::test]
async fn a_child_is_refused_all_that_it_does_not_need() {
    for trying in Trying::ALL {
        let tried = try_out(&reader(), trying).await.unwrap();
        let is_refused = tried.refused.is_some();
        if !tried.sandbox.is_complete() {
            skip(format!("the kernel lacks {:?}", tried.sandbox.missing));
            continue;
        }
        assert_eq!(is_refused, trying != Trying::Nothing, "{tried:?}");
        let why = tried.refused.unwrap_or_default();
        match trying {
            Trying::Nothing => {}
            Trying::Alloc => assert!(why.contains("memory"), "{why}"),
            _ => assert!(
                why.contains("not permitted") || why.contains("denied"),
                "{why}"
            ),
        }
    }
    assert!(!PathBuf::from("/tmp/gleaner-parse-was-here").exists());
}

#[test]
fn started_by_hand_it_says_whom_it_is_for() {
    for arguments in [
        &["parse"][..],
        &["parse", "--try", "harm"],
        &["parse", "a.pdf"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_gleaner"))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("gleaner parse"), "{said}");
    }
}

#[tokio::test]
async fn it_dies_when_its_parent_is_gone() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gleaner"))
        .arg("parse")
        .stdin(file(b"text"))
        .stdout(std::os::fd::OwnedFd::from(theirs))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Not a word: it waits for its request, and gets the end of the stream.
    drop(ours);
    wait_until("the child is gone", async || {
        child.try_wait().unwrap().is_some()
    })
    .await;
}

#[tokio::test]
async fn pages_come_in_order_and_those_without_text_are_named() {
    if pdfium().is_none() {
        return;
    }
    let read = read(&pdf(&[
        Sheet::Text("First page (one)\nof three"),
        Sheet::Picture,
        Sheet::Text("Third page"),
    ]))
    .await;
    assert_eq!(read.mime, "application/pdf");
    let Outcome::Done(done) = &read.outcome else {
        panic!("{read:?}");
    };
    assert_eq!((done.pages, &done.pages_without_text), (3, &vec![2]));
    assert!(
        read.pages[&1].contains("First page (one)\nof three"),
        "{read:?}"
    );
    assert!(read.pages[&3].contains("Third page"), "{read:?}");
}

#[tokio::test]
async fn forms_and_notes_are_read_with_the_page() {
    if pdfium().is_none() {
        return;
    }
    let text = read(&form()).await.text();
    for word in ["Printed words", "Typed", "Chosen", "Noted"] {
        assert!(text.contains(word), "{word} in {text:?}");
    }
}

#[tokio::test]
async fn pictures_alone_are_no_success() {
    if pdfium().is_none() {
        return;
    }
    let read = read(&pdf(&[Sheet::Picture, Sheet::Picture])).await;
    let Outcome::Failed(failed) = &read.outcome else {
        panic!("{read:?}");
    };
    assert_eq!(
        (failed.code, &failed.pages),
        (Code::NoTextLayer, &vec![1, 2])
    );
}

#[tokio::test]
async fn a_picture_is_shown_to_whoever_recognises_text() {
    if pdfium().is_none() {
        return;
    }
    let content = pdf(&[Sheet::Text("typed words"), Sheet::Picture]);
    let folder = tempfile::tempdir().unwrap();
    for (name, commands, expected) in [
        // It says what form the picture has, and how many bytes.
        (
            "says",
            "head -c 4 | tail -c 3; echo \" picture\"",
            Ok("PNG picture"),
        ),
        ("blank", "cat >/dev/null", Ok("")),
        ("fails", "exit 3", Err(Code::ParserCrashed)),
    ] {
        let program = folder.path().join(name);
        script(&program, commands);
        let reader = reader().with_ocr(Some(Ocr::by(&program, "eng")));
        let (mut page, mut failed) = (None, None);
        let outcome = reader
            .read(&file(&content), request(), Deadline::default(), |event| {
                match event {
                    Event::Page(told) if told.number == 2 => page = Some(told.text),
                    Event::PageFailed { number: 2, code } => failed = Some(code),
                    _ => {}
                }
                ControlFlow::Continue(())
            })
            .await
            .unwrap();
        assert!(matches!(outcome, Outcome::Done(_)), "{name}: {outcome:?}");
        assert_eq!(page.as_deref(), expected.ok(), "{name}");
        assert_eq!(failed, expected.err(), "{name}");
    }
}

#[tokio::test]
async fn all_kinds_are_read_behind_closed_doors() {
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("parse/tests/data");
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(samples)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    for (name, content) in [
        ("a.txt", "Plain words."),
        ("a.md", "# Head\n\nWords."),
        ("a.csv", "a,b\n1,2\n"),
        ("a.json", "{\"a\": \"words\"}"),
        ("a.html", "<!doctype html><title>T</title><p>Words."),
        ("a.rtf", "{\\rtf1 Words.}"),
        (
            "a.eml",
            "From: a@example.com\r\nTo: b@example.com\r\nSubject: S\r\n\r\nWords.\r\n",
        ),
    ] {
        files.push((name.to_owned(), content.as_bytes().to_vec()));
    }
    let strict = gleaner_parse::protocol::Sandbox::Required;
    for (name, content) in files {
        let request = Request {
            name: Some(name.clone()),
            sandbox: strict,
            ..request()
        };
        let read = try_read(&content, request, Deadline::default()).await;
        let read = read.unwrap();
        if read.code() == Some(Code::NoSandbox) {
            skip("the kernel cannot confine a child");
            return;
        }
        assert!(matches!(read.outcome, Outcome::Done(_)), "{name}: {read:?}");
    }
}

#[tokio::test]
async fn hostile_files_end_with_their_code() {
    if pdfium().is_none() {
        return;
    }
    let honest = pdf(&[Sheet::Text("words")]);
    let cut = &honest[..honest.len() / 3];
    for (what, content, codes) in [
        ("loop of pages", looping_pages(), &[Code::Corrupt][..]),
        (
            "loop of tables",
            looping_table(),
            &[Code::Corrupt, Code::NoTextLayer],
        ),
        ("pages", many_pages(20_001), &[Code::TooManyPages]),
        (
            "nothing but a head",
            b"%PDF-1.7\n".to_vec(),
            &[Code::Corrupt],
        ),
        ("a third", cut.to_vec(), &[Code::Corrupt, Code::NoTextLayer]),
    ] {
        let began = Instant::now();
        let read = read(&content).await;
        let code = read.code();
        assert!(
            code.is_some_and(|code| codes.contains(&code)),
            "{what}: {read:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
    }
}

#[tokio::test]
async fn a_bomb_costs_its_page_and_the_child_s_memory_only() {
    if pdfium().is_none() {
        return;
    }
    let content = pdf(&[Sheet::Text("before"), Sheet::Bomb, Sheet::Text("behind")]);
    assert!(content.len() < 20_000, "{}", content.len());
    let before = own_memory();
    let bounded = |memory_bytes, page_seconds| Request {
        limits: Limits {
            memory_bytes,
            page_seconds,
            ..Limits::default()
        },
        ..request()
    };
    for (request, codes) in [
        (bounded(256 << 20, 60), &[Code::Memory][..]),
        (bounded(2 << 30, 1), &[Code::Timeout, Code::Memory]),
    ] {
        let read = try_read(&content, request, Deadline::default())
            .await
            .unwrap();
        let Outcome::Done(done) = &read.outcome else {
            panic!("{read:?}");
        };
        assert_eq!(done.pages_failed, [2]);
        assert!(codes.contains(&read.failed[0].1), "{read:?}");
        assert!(read.pages[&1].contains("before") && read.pages[&3].contains("behind"));
    }
    let alone = try_read(
        &pdf(&[Sheet::Bomb]),
        bounded(256 << 20, 60),
        Deadline::default(),
    )
    .await;
    assert_eq!(alone.unwrap().code(), Some(Code::Memory));
    let grown = own_memory().saturating_sub(before);
    assert!(grown < 64 << 20, "the parent grew by {grown} bytes");
}

/// What this process takes, in bytes.
fn own_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap() << 10
}

#[tokio::test]
async fn a_byte_turned_over_never_hangs_or_passes_for_success_without_text() {
    if pdfium().is_none() {
        return;
    }
    let honest = pdf(&[Sheet::Text("some words to find"), Sheet::Text("and more")]);
    for at in (0..honest.len()).step_by(honest.len() / 24) {
        let mut content = honest.clone();
        content[at] ^= 0x5a;
        let began = Instant::now();
        let read = read(&content).await;
        assert!(began.elapsed() < Duration::from_secs(20), "byte {at}");
        if matches!(read.outcome, Outcome::Done(_)) {
            assert!(
                read.pages.values().any(|text| !text.trim().is_empty()),
                "byte {at}: {read:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_child_that_breaks_down_costs_its_page() {
    if pdfium().is_none() {
        return;
    }
    let content = pdf(&[Sheet::Text("before"), Sheet::Bomb, Sheet::Text("behind")]);
    let request = Request {
        limits: Limits {
            memory_bytes: 2 << 30,
            page_seconds: 600,
            ..Limits::default()
        },
        ..request()
    };
    let reading = try_read(&content, request, Deadline::default());
    // Whoever is at the second page is shot.
    let shooting = async {
        wait_until("a child works", async || !children().is_empty()).await;
        let child = children()[0];
        wait_until("it is at the bomb", async || {
            let statm = fs::read_to_string(format!("/proc/{child}/statm")).unwrap_or_default();
            let pages: u64 = statm
                .split(' ')
                .next()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            pages > (200 << 20) / 4_096
        })
        .await;
        // What a failed check in pdfium does to itself; for others Rust has handlers, which take the first for a mistake.
        kill(Pid::from_raw(child), Signal::SIGTRAP).unwrap();
    };
    let (read, ()) = tokio::join!(reading, shooting);
    let read = read.unwrap();
    assert_eq!(read.failed.len(), 1, "{read:?}");
    assert_eq!(read.failed[0].0, 2, "{read:?}");
    assert!(matches!(read.outcome, Outcome::Done(_)), "{read:?}");
}

#[tokio::test]
async fn a_reading_that_is_dropped_or_late_leaves_no_process() {
    if pdfium().is_none() {
        return;
    }
    let endless = Request {
        limits: Limits {
            memory_bytes: 2 << 30,
            page_seconds: 600,
            ..Limits::default()
        },
        ..request()
    };
    let content = pdf(&[Sheet::Bomb]);
    let mut reading = Box::pin(try_read(&content, endless.clone(), Deadline::default()));
    tokio::select! {
        read = &mut reading => panic!("{read:?}"),
        () = wait_until("a child works", async || !children().is_empty()) => {}
    }
    let began = Instant::now();
    drop(reading);
    wait_until("it is gone", async || children().is_empty()).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");

    let short = Deadline {
        max: Duration::from_millis(300),
        ..Deadline::default()
    };
    let late = try_read(&content, endless.clone(), short).await.unwrap();
    assert_eq!(late.code(), Some(Code::Timeout), "{late:?}");
    assert!(children().is_empty());

    let stopped = reader()
        .read(&file(&content), endless, Deadline::default(), |_| {
            ControlFlow::Break(())
        })
        .await
        .unwrap();
    assert_eq!(stopped, Outcome::Stopped);
    assert!(children().is_empty());
}

#[test]
fn the_command_answers_with_pages_or_with_the_code() {
    let Some(library) = pdfium() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    // Below a data directory, as it is found.
    let data = folder.path().join("data/pdfium");
    fs::create_dir_all(&data).unwrap();
    std::os::unix::fs::symlink(library, data.join("libpdfium.so")).unwrap();
    for (name, content, code, words, error) in [
        (
            "a.pdf",
            pdf(&[Sheet::Text("some words")]),
            0,
            "some words",
            None,
        ),
        (
            "b.pdf",
            pdf(&[Sheet::Picture]),
            1,
            "",
            Some("no_text_layer"),
        ),
        ("c.txt", b"other words".to_vec(), 0, "other words", None),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_gleaner"))
            .args(["extract", "document", "--json"])
            .arg(&path)
            .env(
                "GLEANER_EMBEDDED__DATA_DIR",
                folder.path().join("data").as_os_str(),
            )
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["pages"][0]["number"], 1, "{answer}");
        assert_eq!(answer["pages"][0]["text"], words, "{answer}");
        assert_eq!(answer["error"]["code"].as_str(), error, "{answer}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_program_is_not_the_document_s_fault() {
    for program in ["/nowhere/gleaner", "/bin/false", "/bin/true"] {
        let reader = Reader::by(program);
        let document = file(b"text");
        let read = reader.read(&document, request(), Deadline::default(), |_| {
            ControlFlow::Continue(())
        });
        let error = read.await.unwrap_err();
        assert!(
            matches!(error, ChildError::Start(_) | ChildError::Useless(_)),
            "{program}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_child_costs_little_beside_what_it_reads() {
    const RUNS: u32 = 20;
    let request = Request {
        name: Some("a.txt".to_owned()),
        ..request()
    };
    let spent = || {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        milliseconds(usage.user_time()) + milliseconds(usage.system_time())
    };
    let before = spent();
    for _ in 0..RUNS {
        drop(
            try_read(b"A few words.", request.clone(), Deadline::default())
                .await
                .unwrap(),
        );
    }
    let each = (spent() - before) / f64::from(RUNS);
    println!("a child costs {each:.2} ms of processor time");
    assert!(each < 100.0, "{each} ms");
}

fn milliseconds(time: TimeVal) -> f64 {
    let micros = i32::try_from(time.tv_usec()).unwrap();
    let seconds = i32::try_from(time.tv_sec()).unwrap();
    f64::from(seconds) * 1e3 + f64::from(micros) / 1e3
}

fn words(text: &str) -> BTreeMap<String, u64> {
    let mut words = BTreeMap::new();
    for word in text
        .split(|char: char| !char.is_alphanumeric() && char != '_')
        .filter(|word| !word.is_empty())
    {
        *words.entry(word.to_lowercase()).or_default() += 1;
    }
    words
}

/// What was found of the words of the labelled documents.
#[derive(Debug, Default)]
pub(super) struct Recall {
    pub(super) found: u64,
    pub(super) wanted: u64,
    documents: u32,
    /// Documents of which less than 95 % was found.
    pub(super) low: Vec<(String, (u64, u64), Option<Code>)>,
}

/// Reads the labelled documents, where they are.
pub(super) async fn labelled(request: Request) -> Option<Recall> {
    let folder = larger_data("pdfs")?;
    let labels = fs::read_to_string(folder.join("labels.jsonl")).unwrap();
    let mut recall = Recall::default();
    for line in labels.lines() {
        let label: Value = serde_json::from_str(line).unwrap();
        let name = label["file"].as_str().unwrap();
        let content = fs::read(folder.join(name)).unwrap();
        let read = try_read(&content, request.clone(), Deadline::default());
        let read = read.await.unwrap();
        let Some(tokens) = label["tokens"]
            .as_object()
            .filter(|tokens| !tokens.is_empty())
        else {
            continue;
        };
        let words = words(&read.text());
        let mut document = (0_u64, 0_u64);
        for (word, count) in tokens {
            let count = count.as_u64().unwrap();
            document.0 += words.get(word).copied().unwrap_or(0).min(count);
            document.1 += count;
        }
        recall.found += document.0;
        recall.wanted += document.1;
        recall.documents += 1;
        if document.0 * 100 < document.1 * 95 {
            recall.low.push((name.to_owned(), document, read.code()));
        }
    }
    Some(recall)
}

#[tokio::test]
async fn encrypted_documents_ask_for_their_password() {
    let (Some(folder), Some(_)) = (larger_data("pdfs"), pdfium()) else {
        return;
    };
    let content = fs::read(folder.join("plumber__password-example.pdf")).unwrap();
    let with = |password: Option<&str>| Request {
        password: password.map(|password| Password(password.to_owned())),
        ..request()
    };
    for (password, expected) in [
        (None, Some(Code::PasswordRequired)),
        (Some("wrong"), Some(Code::WrongPassword)),
        (Some("te\0st"), Some(Code::WrongPassword)),
        (Some("test"), None),
    ] {
        let read = try_read(&content, with(password), Deadline::default())
            .await
            .unwrap();
        assert_eq!(read.code(), expected, "{password:?}: {read:?}");
    }
}

#[test]
fn the_bomb_is_small() {
    assert!(pdf(&[Sheet::Bomb]).len() < 10_000);
}
