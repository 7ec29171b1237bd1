//! What reads PDFs: encrypted ones and broken ones, and a second engine beside the first and in its place.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use gleaner::documents::child::{Deadline, Event, Outcome, Reader};
use gleaner_parse::SECOND_ENGINE;
use gleaner_parse::protocol::{Code, Password, Request};

use super::child::{file, labelled, pdfium, request, script, try_read};
use super::files::{Cipher, Sheet, broken_stream, broken_table, encrypted, pdf};

fn with(password: Option<&str>) -> Request {
    Request {
        password: password.map(|password| Password(password.to_owned())),
        ..request()
    }
}

/// The engines that are there: by pdfium, and by the one compiled in.
fn engines() -> Vec<(&'static str, Request)> {
    let mut engines = Vec::new();
    if pdfium().is_some() {
        engines.push(("pdfium", request()));
    }
    if let Some(name) = SECOND_ENGINE {
        let request = Request {
            pdfium: None,
            ..request()
        };
        engines.push((name, request));
    }
    engines
}

#[tokio::test]
async fn encrypted_files_open_with_their_password_and_no_other() {
    for (engine, request) in engines() {
        for cipher in Cipher::ALL {
            let content = encrypted("Kettles of brass", "open sesame", cipher);
            for (password, expected) in [
                (None, Some(Code::PasswordRequired)),
                (Some("wrong"), Some(Code::WrongPassword)),
                (Some(""), Some(Code::WrongPassword)),
                (Some("open\0sesame"), Some(Code::WrongPassword)),
                (Some("open sesame"), None),
            ] {
                let request = Request {
                    password: with(password).password,
                    ..request.clone()
                };
                let read = try_read(&content, request, Deadline::default())
                    .await
                    .unwrap();
                let case = format!("{engine}, {cipher:?}, {password:?}");
                assert_eq!(read.code(), expected, "{case}: {read:?}");
                let is_read = read.text().contains("Kettles of brass");
                assert_eq!(is_read, expected.is_none(), "{case}: {read:?}");
            }
        }
    }
}

#[tokio::test]
async fn encrypted_files_without_a_password_are_read_as_any_other() {
    for (engine, request) in engines() {
        for cipher in Cipher::ALL {
            let content = encrypted("Kettles of brass", "", cipher);
            for password in [None, Some("needless")] {
                let request = Request {
                    password: with(password).password,
                    ..request.clone()
                };
                let read = try_read(&content, request, Deadline::default())
                    .await
                    .unwrap();
                assert_eq!(
                    read.text(),
                    "Kettles of brass",
                    "{engine}, {cipher:?}, {password:?}: {read:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn broken_files_give_what_is_whole_of_them() {
    for (engine, request) in engines() {
        let read = async |content: &[u8]| {
            try_read(content, request.clone(), Deadline::default())
                .await
                .unwrap()
        };
        let table = read(&broken_table()).await;
        assert_eq!(
            table.text(),
            "Kettles of brass\u{c}Pots of copper",
            "{engine}: {table:?}"
        );
        let stream = read(&broken_stream()).await;
        assert_eq!(stream.pages[&1], "Kettles of brass", "{engine}: {stream:?}");
        assert!(matches!(stream.outcome, Outcome::Done(_)), "{stream:?}");
    }
}

#[tokio::test]
async fn without_pdfium_the_engine_compiled_in_reads_or_nothing_does() {
    let request = Request {
        pdfium: None,
        ..request()
    };
    let content = pdf(&[
        Sheet::Text("First page (one)\nof three"),
        Sheet::Picture,
        Sheet::Text("Third page"),
    ]);
    let read = try_read(&content, request, Deadline::default())
        .await
        .unwrap();
    if SECOND_ENGINE.is_none() {
        assert_eq!(read.code(), Some(Code::NoPdfEngine), "{read:?}");
        return;
    }
    let Outcome::Done(done) = &read.outcome else {
        panic!("{read:?}");
    };
    assert_eq!((done.pages, &done.pages_without_text), (3, &vec![2]));
    assert_eq!(read.pages[&1], "First page (one)\nof three");
    assert_eq!(read.pages[&3], "Third page");
}

/// A child that is scripted: its first takes a second look and breaks down over it, its next is told to take none.
const BREAKS_DOWN: &str = r#"
request=$(dd bs=65536 count=1 <&1 2>/dev/null | tr -d '\000')
say() {
    printf "\\000\\000\\000\\$(printf %03o ${#1})%s" "$1"
}
say '{"frame":"opened","mime":"application/pdf","pages":2,"title":null,"has_macros":false,"parser":"x"}'
say '{"frame":"page","number":1,"locator":null,"start":0,"text":"one","source":"text"}'
case $request in
    *'"second_look":true'*)
        say '{"frame":"asking"}'
        kill -SEGV $$
        ;;
esac
say '{"frame":"page","number":2,"locator":null,"start":4,"text":"two","source":"text"}'
say '{"frame":"done","pages":2,"pages_without_text":[],"pages_failed":[],"language":null,"config":"simple","tokens":2,"chars":7}'
"#;

#[tokio::test]
async fn a_second_look_that_breaks_down_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("child");
    script(&program, BREAKS_DOWN);
    let mut pages = BTreeMap::new();
    let mut failed = Vec::new();
    let outcome = Reader::by(program)
        .read(
            &file(b"%PDF-1.7"),
            request(),
            Deadline::default(),
            |event| {
                match event {
                    Event::Page(page) => drop(pages.insert(page.number, page.text)),
                    Event::PageFailed { number, code } => failed.push((number, code)),
                    _ => {}
                }
                ControlFlow::Continue(())
            },
        )
        .await
        .unwrap();
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(failed, []);
    assert_eq!(pages[&1], "one");
    assert_eq!(pages[&2], "two");
}

#[tokio::test]
async fn the_words_of_labelled_documents_are_found_and_a_second_engine_loses_none() {
    if pdfium().is_none() {
        return;
    }
    let Some(alone) = labelled(Request {
        second_look: false,
        ..request()
    })
    .await
    else {
        return;
    };
    println!("pdfium alone: {alone:?}");
    assert!(alone.found * 1_000 >= alone.wanted * 995, "{alone:?}");
    // One is a formula of 14 words, whose exponent pdfium puts on a line of its own.
    assert!(alone.low.len() <= 1, "{alone:?}");
    if SECOND_ENGINE.is_none() {
        return;
    }
    let both = labelled(request()).await.unwrap();
    println!("with a second look: {both:?}");
    assert!(both.found >= alone.found, "{both:?} {alone:?}");
    assert!(both.low.len() <= alone.low.len(), "{both:?} {alone:?}");
    let second = labelled(Request {
        pdfium: None,
        ..request()
    })
    .await
    .unwrap();
    println!("without pdfium: {second:?}");
    assert!(second.found * 100 >= second.wanted * 90, "{second:?}");
}
