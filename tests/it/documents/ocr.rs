//! Text on pictures: of pages, and of documents that are pictures; by tesseract itself.

use std::ops::ControlFlow;

use gleaner::documents::child::{Deadline, Event, Ocr, Outcome};
use gleaner::documents::processing::DocumentProcessing;
use gleaner::documents::processing::options::Recognition;
use gleaner_parse::protocol::{Code, Page, Request, Source};
use image::ImageFormat;
use reqwest::Method;

use super::child::{file, pdfium, reader, request, script};
use super::desk::Desk;
use super::files::{Sheet, drawn_page, pages_of_tiff, pdf, picture_file};
use crate::support::{skip, wait_until};

const WORDS: &str = "THE WHITE KETTLE";

/// tesseract, where it is installed with English.
fn tesseract() -> Option<Ocr> {
    let found = Ocr::find("eng");
    if found.is_none() {
        skip("tesseract is not installed");
    }
    found
}

/// One that nobody is to ask.
fn nobody() -> Option<Ocr> {
    Some(Ocr::by("/nowhere/tesseract", "eng"))
}

async fn looked_at(content: &[u8], ocr: Option<Ocr>) -> (Outcome, Vec<Page>) {
    let mut pages = Vec::new();
    let outcome = reader()
        .with_ocr(ocr)
        .read(&file(content), request(), Deadline::default(), |event| {
            if let Event::Page(page) = event {
                pages.push(page);
            }
            ControlFlow::Continue(())
        })
        .await
        .expect("a child");
    (outcome, pages)
}

fn failure(outcome: &Outcome) -> (Code, &[u32], &str) {
    match outcome {
        Outcome::Failed(failed) => (failed.code, &failed.pages, &failed.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_page_without_text_is_looked_at_and_says_so() {
    let (Some(ocr), Some(_)) = (tesseract(), pdfium()) else {
        return;
    };
    let (outcome, pages) = looked_at(&drawn_page(WORDS), Some(ocr.clone())).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(
        (pages[0].text.as_str(), pages[0].source),
        (WORDS, Source::Ocr)
    );
    // What is written is not looked at.
    let (_, pages) = looked_at(&pdf(&[Sheet::Text("typed words")]), Some(ocr)).await;
    assert_eq!(pages[0].source, Source::Text);
    let (outcome, _) = looked_at(&drawn_page(WORDS), None).await;
    assert_eq!(failure(&outcome).0, Code::NoTextLayer);
}

#[tokio::test]
async fn pictures_of_all_kinds_are_documents() {
    let Some(ocr) = tesseract() else {
        return;
    };
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Tiff,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Bmp,
    ] {
        let (outcome, pages) = looked_at(&picture_file(WORDS, format), Some(ocr.clone())).await;
        assert!(
            matches!(outcome, Outcome::Done(_)),
            "{format:?}: {outcome:?}"
        );
        assert_eq!(pages.len(), 1);
        assert_eq!(
            (pages[0].text.as_str(), pages[0].source),
            (WORDS, Source::Ocr),
            "{format:?}"
        );
    }
}

#[tokio::test]
async fn every_picture_of_a_tiff_is_a_page() {
    let Some(ocr) = tesseract() else {
        return;
    };
    let lines = ["THE WHITE KETTLE", "NEW HALL LANE", "MAKE A TILE"];
    let (outcome, pages) = looked_at(&pages_of_tiff(&lines), Some(ocr)).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    let told: Vec<&str> = pages.iter().map(|page| page.text.as_str()).collect();
    assert_eq!(told, lines);
}

#[tokio::test]
async fn a_picture_without_text_or_without_anybody_to_look_is_no_success() {
    let picture = picture_file("", ImageFormat::Png);
    let (outcome, _) = looked_at(&picture, None).await;
    let (code, pages, message) = failure(&outcome);
    assert_eq!((code, pages), (Code::NoTextLayer, &[1][..]));
    assert!(
        message.contains("nothing here recognises text"),
        "{message}"
    );
    let Some(ocr) = tesseract() else {
        return;
    };
    let (outcome, _) = looked_at(&picture, Some(ocr)).await;
    let (code, pages, _) = failure(&outcome);
    assert_eq!((code, pages), (Code::NoTextLayer, &[1][..]));
}

/// Nobody is shown them: whoever tried would fail, since there is no such program.
#[tokio::test]
async fn what_is_no_picture_or_too_much_of_one_is_refused_before_anybody_looks() {
    let png = picture_file("A", ImageFormat::Png);
    let jpeg = picture_file("A", ImageFormat::Jpeg);
    let mut huge = png.clone();
    for side in [16..20, 20..24] {
        huge[side].copy_from_slice(&50_000_u32.to_be_bytes());
    }
    let sum = crc(&huge[12..29]).to_be_bytes();
    huge[29..33].copy_from_slice(&sum);
    // Four gigabytes of pixels by a head of 54 bytes.
    let mut wide = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    wide.extend_from_slice(&40_000_u32.to_le_bytes());
    wide.extend_from_slice(&25_000_u32.to_le_bytes());
    wide.extend_from_slice(&[1, 0, 32, 0]);
    wide.resize(200, 0);
    for (what, content, expected) in [
        ("many pixels", huge, Code::SecurityLimit),
        ("many bytes", wide, Code::SecurityLimit),
        ("half", png[..png.len() / 2].to_vec(), Code::Corrupt),
        ("a head", jpeg[..20].to_vec(), Code::Corrupt),
        (
            "heif",
            b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(),
            Code::UnsupportedType,
        ),
    ] {
        let (outcome, _) = looked_at(&content, nobody()).await;
        let (code, pages, message) = failure(&outcome);
        assert_eq!(code, expected, "{what}: {message}");
        if expected != Code::UnsupportedType {
            assert_eq!(pages, [1], "{what}");
        }
        assert!(!message.is_empty());
    }
}

fn crc(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

#[tokio::test]
async fn a_picture_is_decoded_behind_closed_doors() {
    let strict = Request {
        sandbox: gleaner_parse::protocol::Sandbox::Required,
        ..request()
    };
    // It says what it is shown, and how many bytes that are.
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("looks");
    script(&program, "head -c 4 | tail -c 3; echo \" picture\"");
    for format in [ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::WebP] {
        let mut text = String::new();
        let outcome = reader()
            .with_ocr(Some(Ocr::by(&program, "eng")))
            .read(
                &file(&picture_file("A", format)),
                strict.clone(),
                Deadline::default(),
                |event| {
                    if let Event::Page(page) = event {
                        text = page.text;
                    }
                    ControlFlow::Continue(())
                },
            )
            .await
            .expect("a child");
        if matches!(&outcome, Outcome::Failed(failed) if failed.code == Code::NoSandbox) {
            skip("the kernel cannot confine a child");
            return;
        }
        assert!(
            matches!(outcome, Outcome::Done(_)),
            "{format:?}: {outcome:?}"
        );
        assert_eq!(text, "PNG picture", "{format:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_picture_is_found_by_what_stands_on_it() {
    if tesseract().is_none() {
        return;
    }
    let desk = Desk::start(|config| {
        config.workflows.of_mut::<DocumentProcessing>().enabled = true;
        config.workflows.options_mut::<DocumentProcessing>().ocr = Recognition::Auto;
    })
    .await;
    let tenant = desk.tenant("a", 1_000_000).await;
    let picture = picture_file(WORDS, ImageFormat::Jpeg);
    let sent = desk.upload(&tenant, "sign.jpg", &picture).await;
    assert_eq!(sent.status, 201, "{sent:?}");
    let get = async |path: String| desk.send(Method::GET, &path, &tenant.key).await.body;
    let id = sent.document();
    wait_until("it is read", async || {
        get(format!("/api/documents/{id}/status")).await["ready"] == true
    })
    .await;
    let page = get(format!("/api/documents/{id}/text?page=1")).await;
    assert!(page.to_string().contains(WORDS), "{page}");
    let sources = "SELECT source FROM document_page";
    assert_eq!(desk.database().rows(sources).await, ["ocr"]);
    let hits = get("/api/search?q=kettle".to_owned()).await;
    assert!(hits.to_string().contains(id), "{hits}");
}
