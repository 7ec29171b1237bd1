//! The tenants' page in a real browser: signing in, uploading, watching, reading, searching, tidying up.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use gleaner::config::Config;
use gleaner::documents::config::Documents;
use serde_json::json;
use tempfile::TempDir;

use crate::support::window::Window;
use crate::support::{TestApp, TestDatabase, wait_until};

const KEY: &str = "gld_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const READER_KEY: &str = "gld_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A program, and a window on its page.
struct Desk {
    app: TestApp,
    window: Window,
    files: TempDir,
}

/// Nobody works documents, so that the test says what becomes of them.
fn idle(config: &mut Config) {
    config.workflows.keep_only(&[]);
}

impl Desk {
    /// `None` where there is no browser.
    async fn open(width: u32, change: impl FnOnce(&mut Config)) -> Option<Self> {
        let window = Window::open(width).await?;
        let files = TempDir::new().unwrap();
        let storage = files.path().join("storage").display().to_string();
        let app = TestApp::start_on(TestDatabase::new().await, |config| {
            config.section_mut::<Documents>().storage = storage;
            change(config);
        })
        .await;
        app.database
            .run(&format!(
                "INSERT INTO tenant (name) VALUES ('acme');
                 INSERT INTO api_key (tenant_id, digest, scope) SELECT id, sha256('{KEY}'), 'write' FROM tenant;
                 INSERT INTO api_key (tenant_id, digest, scope) SELECT id, sha256('{READER_KEY}'), 'read' FROM tenant"
            ))
            .await;
        window.go(&app.http("/documents")).await;
        Some(Self { app, window, files })
    }

    async fn sign_in(&self, key: &str) {
        self.window
            .wait("document.activeElement.id === 'key'")
            .await;
        self.window.write(key).await;
        self.window.key("Enter").await;
    }

    async fn signed_in(width: u32) -> Option<Self> {
        let desk = Self::open(width, idle).await?;
        desk.sign_in(KEY).await;
        desk.window.wait("!content.hidden").await;
        Some(desk)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.files.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    async fn choose(&self, files: &[&Path]) {
        self.window.choose("#files", files).await;
    }

    /// Waits until the card of this document says so: its status, and a text somewhere on it.
    async fn wait_card(&self, name: &str, status: &str, text: &str) {
        let (name, status, text) = (json!(name), json!(status), json!(text));
        let card = "[...document.querySelectorAll('#list > li')]";
        self.window
            .wait(&format!(
                "{card}.some((card) => card.querySelector('h3').textContent === {name} && card.dataset.status === {status} \
                 && card.innerText.includes({text}))"
            ))
            .await;
    }

    async fn no_scrolling_sideways(&self) {
        let wide = "[...document.querySelectorAll('body *')].filter((each) => each.checkVisibility() && !each.closest('.hidden, .skip')
            && each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML.slice(0, 200))";
        let (found, width) = (
            self.window.eval(wide).await,
            self.window
                .eval("document.documentElement.scrollWidth <= innerWidth")
                .await,
        );
        assert_eq!((found, width), (json!([]), json!(true)));
    }

    async fn run(&self, sql: &str) {
        self.app.database.run(sql).await;
    }

    async fn count(&self, sql: &str) -> i64 {
        self.app.database.count(sql).await
    }

    /// The one document becomes ready, with these pages.
    async fn finish(&self, name: &str, pages: &[&str]) {
        let mut start = 0;
        for (number, text) in (1..).zip(pages) {
            let chars = text.chars().count();
            let end = start + chars;
            self.run(&format!(
                "INSERT INTO document_page (document_id, number, tenant_id, start_char, chars, text)
                     SELECT id, {number}, tenant_id, {start}, {chars}, '{text}' FROM documents WHERE filename = '{name}';
                 INSERT INTO chunk (tenant_id, document_id, seq, page_from, page_to, start_char, end_char, config, words, tsv)
                     SELECT tenant_id, id, {number}, {number}, {number}, {start}, {end}, 'english', 10, to_tsvector('english', '{text}')
                     FROM documents WHERE filename = '{name}' AND {chars} > 0"
            ))
            .await;
            start = end + 1;
        }
        let (count, chunks) = (pages.len(), pages.len());
        self.run(&format!(
            "UPDATE documents SET process_status = 'Completed', page_count = {count}, pages_done = {count}, total_chunks = {chunks}, total_chars = {start}
             WHERE filename = '{name}'"
        ))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_stay_and_sign_out() {
    let Some(desk) = Desk::open(400, idle).await else {
        return;
    };
    let window = &desk.window;
    desk.sign_in("gld_wrong").await;
    window
        .wait("!document.getElementById('sign-in-error').hidden")
        .await;
    window.wait("document.activeElement.id === 'key'").await;
    desk.no_scrolling_sideways().await;
    window.picture("sign-in-400").await;
    desk.sign_in(KEY).await;
    window
        .wait("!content.hidden && tenant.textContent === 'acme'")
        .await;
    window
        .wait("document.getElementById('quota-text').textContent === '0 B of 500 MB used'")
        .await;
    // No script can read who is signed in, and the key is nowhere.
    assert_eq!(window.eval("document.cookie").await, json!(""));
    assert_eq!(
        window
            .eval("JSON.stringify({...localStorage, ...sessionStorage})")
            .await,
        json!("{}")
    );
    window.go(&desk.app.http("/documents")).await;
    window.wait("tenant.textContent === 'acme'").await;
    window.press("Sign out").await;
    window
        .wait("content.hidden && !document.getElementById('sign-in').hidden")
        .await;
    window.go(&desk.app.http("/documents")).await;
    window.wait("document.activeElement.id === 'key'").await;

    // Who may only look is shown nothing that they may not.
    desk.sign_in(READER_KEY).await;
    window
        .wait("!content.hidden && document.getElementById('upload-section').hidden")
        .await;
    desk.run("UPDATE api_key SET revoked_at = now()").await;
    window.go(&desk.app.http("/documents")).await;
    window
        .wait("!document.getElementById('sign-in').hidden")
        .await;
    desk.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_before_it_is_sent() {
    let Some(desk) = Desk::signed_in(1000).await else {
        return;
    };
    let program = desk.file("setup.exe", b"MZ\x90\0");
    let empty = desk.file("empty.txt", b"");
    // A program that calls itself a PDF is found out by the server.
    let liar = desk.file("liar.pdf", b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0");
    desk.choose(&[&program, &empty, &liar]).await;
    let window = &desk.window;
    window
        .wait("document.querySelectorAll('#uploads > li[data-state=refused]').length === 3")
        .await;
    window
        .wait("uploads.innerText.includes('Files of the type .exe cannot be read here')")
        .await;
    window
        .wait("uploads.innerText.includes('This file is empty')")
        .await;
    window.picture("refused").await;
    for name in ["setup.exe", "empty.txt", "liar.pdf"] {
        window
            .press(&format!("Close the message about {name}"))
            .await;
    }
    window.wait("uploads.children.length === 0").await;
    assert_eq!(desk.count("SELECT count(*) FROM documents").await, 0);
    wait_until("nothing is set aside", async || {
        desk.count("SELECT (used_bytes + reserved_bytes)::bigint FROM tenant")
            .await
            == 0
    })
    .await;
    desk.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_followed_from_its_upload_to_its_end() {
    let Some(desk) = Desk::signed_in(1000).await else {
        return;
    };
    let window = &desk.window;
    let report = desk.file(
        "report.txt",
        "Der Kessel <b>kocht</b> \u{1F600}.".as_bytes(),
    );
    desk.choose(&[&report]).await;
    desk.wait_card("report.txt", "queued", "waiting").await;
    window.wait("uploads.children.length === 0").await;
    // Where it is, it moves.
    desk.run("UPDATE documents SET process_status = 'Processing', process_attempts = 1")
        .await;
    desk.wait_card("report.txt", "processing", "in work").await;
    for (done, progress) in [(1, 15), (4, 40), (9, 82)] {
        desk.run(&format!("UPDATE documents SET processing_progress = {progress}, pages_done = {done}, page_count = 10, step = 'read'"))
            .await;
        desk.wait_card(
            "report.txt",
            "processing",
            &format!("{progress} % · page {done} of 10"),
        )
        .await;
        let bar = window
            .eval("document.querySelector('#list progress').value")
            .await;
        assert_eq!(bar, json!(progress));
    }
    window.picture("processing").await;
    desk.finish(
        "report.txt",
        &[
            "On the first page is nothing.",
            "😀 The kettle <b>boils</b> & sings.",
            "",
        ],
    )
    .await;
    desk.wait_card("report.txt", "ready", "3 pages").await;
    assert_eq!(
        window
            .eval("document.querySelectorAll('#list > li').length")
            .await,
        json!(1)
    );
    assert_eq!(
        window
            .eval("document.querySelector('#list progress').checkVisibility()")
            .await,
        json!(false)
    );

    // Found, on its page, with the hit marked, and no markup of the file's.
    window
        .eval("document.getElementById('query').focus()")
        .await;
    window.write("kettle boils").await;
    window.key("Enter").await;
    window
        .wait("hits.children.length === 1 && hits.querySelector('mark').textContent === 'kettle'")
        .await;
    window
        .wait("hits.innerText.includes('<b>boils</b> & sings')")
        .await;
    window.press("report.txt, page 2").await;
    window.wait("reader.open && document.getElementById('reader-text').textContent === '😀 The kettle <b>boils</b> & sings.'").await;
    assert_eq!(
        window.eval("[...document.querySelectorAll('#reader-text mark')].map((mark) => mark.textContent)").await,
        json!(["kettle", "boils"])
    );
    window.picture("reader").await;
    window.press("Page before").await;
    window.wait("document.getElementById('reader-text').textContent === 'On the first page is nothing.'").await;
    window.key("Escape").await;
    window.wait("!reader.open").await;

    window.press("Rename report.txt").await;
    window
        .wait("document.activeElement.id === 'ask-input'")
        .await;
    window.write("kessel.txt").await;
    window.key("Enter").await;
    desk.wait_card("kessel.txt", "ready", "3 pages").await;
    // Nothing goes without a yes.
    window.press("Delete kessel.txt").await;
    window
        .wait("ask.open && document.activeElement.id === 'ask-no'")
        .await;
    window.key("Enter").await;
    window.wait("!ask.open").await;
    assert_eq!(
        desk.count("SELECT count(*) FROM documents WHERE deleted_at IS NULL")
            .await,
        1
    );
    window.press("Delete kessel.txt").await;
    window.click("#ask-yes").await;
    window
        .wait("list.children.length === 0 && hits.children.length === 0 && !empty.hidden")
        .await;
    window
        .wait("document.getElementById('quota-text').textContent.startsWith('0 B of')")
        .await;
    assert_eq!(
        desk.count("SELECT count(*) FROM documents WHERE deleted_at IS NULL")
            .await,
        0
    );
    desk.app.stop().await;
}

/// With all that is behind it: the queue, the process that reads, the index.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_in_is_read_and_found() {
    let desk = Desk::open(1000, |config| {
        config
            .workflows
            .keep_only(&["document-processing".to_owned()]);
    })
    .await;
    let Some(desk) = desk else {
        return;
    };
    desk.sign_in(KEY).await;
    let window = &desk.window;
    window.wait("!content.hidden").await;
    let report = desk.file(
        "dues.md",
        b"# Dues\n\nThe harbour master keeps the books of every ship that comes in with the tide.\n",
    );
    let nothing = desk.file("blank.txt", b"   \n \n");
    desk.choose(&[&report, &nothing]).await;
    desk.wait_card("dues.md", "ready", "1 page").await;
    desk.wait_card("blank.txt", "failed", "There is nothing in it")
        .await;
    window
        .eval("document.getElementById('query').focus()")
        .await;
    window.write("harbour master").await;
    window.key("Enter").await;
    window.press("dues.md, page 1").await;
    window
        .wait(
            "reader.open && document.querySelector('#reader-text mark').textContent === 'harbour'",
        )
        .await;
    desk.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_in_plain_words_and_can_be_tried_again() {
    let Some(desk) = Desk::signed_in(1000).await else {
        return;
    };
    let window = &desk.window;
    let files =
        ["bomb.docx.txt", "locked.txt", "scan.txt"].map(|name| desk.file(name, name.as_bytes()));
    desk.choose(&[&files[0], &files[1], &files[2]]).await;
    for (name, code, is_retryable, pages) in [
        ("bomb.docx.txt", "security_limit", false, "{}"),
        ("locked.txt", "password_required", true, "{}"),
        ("scan.txt", "no_text_layer", true, "{1,2,3}"),
    ] {
        desk.wait_card(name, "queued", "waiting").await;
        desk.run(&format!(
            "UPDATE documents SET process_status = 'Error', error_code = '{code}', error_message = 'no', retryable = {is_retryable},
             error_pages = '{pages}' WHERE filename = '{name}'"
        ))
        .await;
    }
    desk.wait_card(
        "bomb.docx.txt",
        "failed",
        "unpacks to far more than it should",
    )
    .await;
    desk.wait_card("locked.txt", "failed", "protected by a password")
        .await;
    desk.wait_card("scan.txt", "failed", "It is about pages 1, 2, 3.")
        .await;
    let buttons = window.eval("[...document.querySelectorAll('#list button')].map((each) => each.getAttribute('aria-label'))").await;
    let buttons = buttons.as_array().unwrap();
    assert!(
        !buttons.contains(&json!("Try again: bomb.docx.txt")),
        "{buttons:?}"
    );
    assert!(
        buttons.contains(&json!("Give the password of locked.txt")),
        "{buttons:?}"
    );
    window.picture("failed").await;
    window.press("Try again: scan.txt").await;
    desk.wait_card("scan.txt", "queued", "waiting").await;
    window.press("Cancel scan.txt").await;
    desk.wait_card("scan.txt", "cancelled", "cancelled").await;
    window.resize(400).await;
    window.darken(true).await;
    desk.no_scrolling_sideways().await;
    window.picture("failed-400-dark").await;
    desk.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_it_stopped_after_the_page_is_loaded_anew() {
    let Some(desk) = Desk::signed_in(400).await else {
        return;
    };
    let window = &desk.window;
    let text = "All work and no play. ".repeat(1_000_000);
    let large = desk.file("large.txt", text.as_bytes());
    window.slow_down(Some(8 << 20)).await;
    desk.choose(&[&large]).await;
    wait_until("a part of it is there", async || {
        desk.count("SELECT coalesce(max(received), 0) FROM upload")
            .await
            > 0
    })
    .await;
    window
        .wait("document.querySelector('#uploads progress').value > 0.3")
        .await;
    window.press("Pause large.txt").await;
    window
        .wait("document.querySelector('#uploads > li[data-state=paused]')")
        .await;
    desk.no_scrolling_sideways().await;
    window.picture("paused-400").await;
    window.go(&desk.app.http("/documents")).await;
    window
        .wait("unfinished.innerText.includes('large.txt')")
        .await;
    let received = desk.count("SELECT received FROM upload").await;
    window.slow_down(None).await;
    desk.choose(&[&large]).await;
    desk.wait_card("large.txt", "queued", "21 MB").await;
    window
        .wait("unfinished.hidden && uploads.children.length === 0")
        .await;
    assert!(received > 0);
    // One upload, one document, charged once.
    assert_eq!(desk.count("SELECT count(*) FROM documents").await, 1);
    let size = i64::try_from(text.len()).unwrap();
    assert_eq!(desk.count("SELECT used_bytes FROM tenant").await, size);
    assert_eq!(desk.count("SELECT reserved_bytes FROM tenant").await, 0);
    desk.app.stop().await;
}

/// A key, a name of a file, a text of a page: whatever is shown comes in as text.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_shown_becomes_markup() {
    let Some(desk) = Desk::signed_in(400).await else {
        return;
    };
    let window = &desk.window;
    let name = "<img src=x onerror=alert(1)>.txt";
    let file = desk.file(name, b"text");
    desk.choose(&[&file]).await;
    desk.wait_card(name, "queued", "waiting").await;
    assert_eq!(
        window
            .eval("document.querySelectorAll('main img, main script').length")
            .await,
        json!(0)
    );
    desk.no_scrolling_sideways().await;
    desk.app.stop().await;
}
