//! Documents as programs write them, and as nobody should.

use std::fmt::Write as _;

use crate::archive::ENCRYPTED;
use crate::protocol::{Code, Limits, Password, Request};
use crate::testing::{document, heard, heard_with, refused, zip};

const TYPES: (&str, &[u8]) = ("[Content_Types].xml", b"<Types/>");

fn docx(body: &str) -> Vec<u8> {
    let body = format!("<w:document xmlns:w='w'><w:body>{body}</w:body></w:document>");
    zip(&[TYPES, ("word/document.xml", body.as_bytes())])
}

#[test]
fn word_files_are_read() {
    let heard = heard("report.docx", &document("report.docx"));
    let opened = heard.opened.as_ref().expect("it was opened");
    assert_eq!(opened.title.as_deref(), Some("A report"));
    assert!(!opened.has_macros);
    assert_eq!(
        heard.texts(),
        [
            "Findings\nThe first paragraph, with bold\nName\tAmount\nÄpfel\t12\n",
            "Outlook\nWhat comes next.\nRunning head\n"
        ]
    );
    assert_eq!(heard.headings(), ["Findings", "Outlook"]);
}

#[test]
fn what_word_files_have_besides_is_told_or_left_out() {
    let text = |text: &str| format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>");
    let body = [
        "<w:p><w:pPr><w:pStyle w:val='berschrift1'/><w:tabs><w:tab/></w:tabs></w:pPr><w:r><w:t>Kopf</w:t></w:r></w:p>",
        "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c&amp;d</w:t><w:noBreakHyphen/></w:r></w:p>",
        "<w:p><w:r><w:t>see</w:t><w:footnoteReference w:id='2'/></w:r></w:p>",
        "<w:p><w:del><w:r><w:delText>gone</w:delText></w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins></w:p>",
        "<mc:AlternateContent><mc:Choice><w:p><w:r><w:t>once</w:t></w:r></w:p></mc:Choice><mc:Fallback><w:p><w:r><w:t>once</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent>",
        "<w:p><w:r><w:t>one </w:t><w:lastRenderedPageBreak/><w:t>two</w:t><w:br w:type='page'/></w:r></w:p>",
        "<w:p><w:r><w:lastRenderedPageBreak/><w:t>three</w:t></w:r></w:p>",
        "<w:p><w:r><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent><w:t>around</w:t></w:r></w:p>",
        "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>A</w:t></w:r></w:p><w:p><w:r><w:t>B</w:t></w:r></w:p></w:tc><w:tc><w:tbl><w:tr><w:tc><w:p><w:r><w:t>C</w:t></w:r></w:p></w:tc></w:tr></w:tbl></w:tc></w:tr></w:tbl>",
        &text("e&#xe9;"),
    ]
    .concat();
    let body = format!("<w:document xmlns:w='w' xmlns:mc='m'><w:body>{body}</w:body></w:document>");
    let relationships = "<Relationships><Relationship Id='1' Type='x/styles' Target='styles.xml'/><Relationship Id='2' Type='x/footnotes' Target='footnotes.xml'/><Relationship Id='3' Type='x/image' Target='http://x/' TargetMode='External'/></Relationships>";
    let styles = "<w:styles><w:style w:styleId='berschrift1'><w:name w:val='heading 1'/></w:style></w:styles>";
    let notes = "<w:footnotes><w:footnote w:type='separator' w:id='0'><w:p><w:r><w:t>---</w:t></w:r></w:p></w:footnote><w:footnote w:id='2'><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>";
    let file = zip(&[
        TYPES,
        ("word/document.xml", body.as_bytes()),
        ("word/_rels/document.xml.rels", relationships.as_bytes()),
        ("word/styles.xml", styles.as_bytes()),
        ("word/footnotes.xml", notes.as_bytes()),
        ("word/vbaProject.bin", b"macro"),
    ]);
    let heard = heard("a.docm", &file);
    assert_eq!(
        heard.texts(),
        [
            "Kopf\na\tb\nc&d-\nsee\nA note.\nnew\nonce\none \n",
            "two\n",
            "three\nbox\naround\nA B\tC\neé\n"
        ]
    );
    assert_eq!(heard.headings(), ["Kopf"]);
    assert!(heard.opened.is_some_and(|opened| opened.has_macros));
}

#[test]
fn slides_are_pages() {
    let heard = heard("talk.pptx", &document("talk.pptx"));
    assert_eq!(heard.locators(), [Some("Welcome"), Some("Figures")]);
    assert_eq!(
        heard.texts(),
        [
            "Welcome\nA subtitle\n\nSay hello.\n",
            "Figures\nLeft\tRight\n"
        ]
    );
    let opened = heard.opened.expect("it was opened");
    assert_eq!(
        (opened.pages, opened.title.as_deref()),
        (Some(2), Some("A talk"))
    );
}

#[test]
fn a_damaged_slide_costs_itself() {
    let slide = |text: &str| {
        format!("<p:sld xmlns:p='p' xmlns:a='a'><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>")
    };
    let file = zip(&[
        TYPES,
        ("ppt/presentation.xml", b"<p:presentation xmlns:p='p' xmlns:r='r'><p:sldIdLst><p:sldId id='256' r:id='b'/><p:sldId id='257' r:id='a'/><p:sldId id='258' r:id='none'/><p:sldId id='259' r:id='c'/></p:sldIdLst></p:presentation>"),
        ("ppt/_rels/presentation.xml.rels", b"<Relationships><Relationship Id='a' Type='x/slide' Target='slides/1.xml'/><Relationship Id='b' Type='x/slide' Target='/ppt/slides/2.xml'/><Relationship Id='c' Type='x/slide' Target='slides/3.xml'/></Relationships>"),
        ("ppt/slides/1.xml", slide("one").as_bytes()),
        ("ppt/slides/2.xml", slide("two").as_bytes()),
        ("ppt/slides/3.xml", b"<p:sld><a:p>"),
    ]);
    let heard = heard("a.pptx", &file);
    assert_eq!(heard.texts(), ["two\n", "one\n"]);
    assert_eq!(heard.failed, [(None, Code::Corrupt), (None, Code::Corrupt)]);
}

#[test]
fn sheets_are_pages() {
    let heard = heard("book.xlsx", &document("book.xlsx"));
    assert_eq!(
        heard.locators(),
        [Some("Sales"), Some("Empty"), Some("Last")]
    );
    assert_eq!(
        heard.texts(),
        [
            "Day\tSum\tPaid\n2024-01-02\t1234.5\tTRUE\n2024-01-02 03:04:05\t0.3\nfar away\n",
            "",
            "Überschrift\n"
        ]
    );
    assert_eq!(
        heard.opened.and_then(|opened| opened.title).as_deref(),
        Some("A book")
    );
}

#[test]
fn old_workbooks_are_read() {
    let heard = heard("book.xls", &document("book.xls"));
    assert_eq!(heard.locators(), [Some("Sales"), Some("Last")]);
    assert_eq!(heard.texts()[1], "Überschrift\n");
    assert!(
        heard.texts()[0].starts_with("Day\tSum\tPaid\n2024-01-02"),
        "{heard:?}"
    );
    assert!(heard.texts()[0].ends_with("\t1234.5\tTRUE\n"), "{heard:?}");
}

#[test]
fn open_documents_are_read() {
    let letter = heard("letter.odt", &document("letter.odt"));
    assert_eq!(
        letter.texts(),
        [
            "Dear reader\nSpaces:   three\ttab\n",
            "On the second page.\n"
        ]
    );
    assert_eq!(letter.headings(), ["Dear reader"]);
    assert_eq!(
        letter.opened.and_then(|opened| opened.title).as_deref(),
        Some("A letter")
    );
    let stock = heard("stock.ods", &document("stock.ods"));
    assert_eq!(stock.locators(), [Some("Stock")]);
    assert_eq!(stock.texts(), ["Item\tCount\nÄpfel\t12\n"]);
}

#[test]
fn heads_and_feet_of_pages_are_told_once() {
    let styles = "<s:d xmlns:s='s'><s:header><s:p>Running <s:span>head</s:span></s:p><s:p>x</s:p></s:header><s:footer><s:p>foot</s:p></s:footer><s:header><s:p>Running head</s:p><s:p>x</s:p></s:header><s:p>no</s:p></s:d>";
    let file = zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("content.xml", b"<o:d xmlns:o='o'><o:p>Text</o:p></o:d>"),
        ("styles.xml", styles.as_bytes()),
    ]);
    assert_eq!(
        heard("a.odt", &file).texts(),
        ["Text\nRunning head x\nfoot\n"]
    );
}

#[test]
fn rows_and_cells_that_repeat_are_bounded() {
    let content = "<o:d xmlns:o='o'><o:table o:name='S'><o:table-row o:number-rows-repeated='4000000000'><o:table-cell o:number-columns-repeated='4000000000'><o:p>x</o:p></o:table-cell></o:table-row><o:table-row><o:table-cell o:number-columns-repeated='4000000000'/><o:table-cell><o:p>y</o:p></o:table-cell></o:table-row></o:table></o:d>";
    let file = zip(&[
        (
            "mimetype",
            b"application/vnd.oasis.opendocument.spreadsheet",
        ),
        ("content.xml", content.as_bytes()),
    ]);
    let text = heard("a.ods", &file).texts().concat();
    assert_eq!(text.matches('x').count(), 64 * 64);
    assert!(text.ends_with("\ty\n"), "{text}");
}

fn book(chapters: &[(&str, &str)]) -> Vec<u8> {
    let mut manifest = String::new();
    let mut spine = String::new();
    for (name, _) in chapters {
        write!(manifest, "<item id='{name}' href='{name}.xhtml'/>").expect("written");
        write!(spine, "<itemref idref='{name}'/>").expect("written");
    }
    let package = format!(
        "<package xmlns:dc='d'><metadata><dc:title>The Book</dc:title></metadata><manifest>{manifest}</manifest><spine>{spine}</spine></package>"
    );
    let names: Vec<String> = chapters
        .iter()
        .map(|(name, _)| format!("OEBPS/{name}.xhtml"))
        .collect();
    let mut files = vec![
        ("mimetype", &b"application/epub+zip"[..]),
        (
            "META-INF/container.xml",
            b"<container><rootfiles><rootfile full-path='OEBPS/book.opf'/></rootfiles></container>",
        ),
        ("OEBPS/book.opf", package.as_bytes()),
    ];
    let texts = names
        .iter()
        .zip(chapters)
        .filter(|(_, (_, text))| !text.is_empty());
    files.extend(texts.map(|(name, (_, text))| (name.as_str(), text.as_bytes())));
    zip(&files)
}

#[test]
fn chapters_are_pages() {
    let heard = heard(
        "a.epub",
        &book(&[
            (
                "two",
                "<?xml version='1.0'?><!DOCTYPE html><html><head><title>T</title></head><body><img src='x'/></body></html>",
            ),
            (
                "one",
                "<html><body><h1>Chapter <i>I</i></h1><p>It was&nbsp;dark.</p></body></html>",
            ),
            ("missing", ""),
        ]),
    );
    assert_eq!(heard.locators(), [Some("T"), Some("Chapter I")]);
    assert_eq!(heard.texts(), ["", "Chapter I\n\nIt was dark.\n"]);
    assert_eq!(heard.failed, [(None, Code::Corrupt)]);
    assert_eq!(
        heard.opened.and_then(|opened| opened.title).as_deref(),
        Some("The Book")
    );
}

#[test]
fn mail_is_read_and_what_is_attached_handed_on() {
    let mail = "From: =?utf-8?Q?J=C3=BCrgen?= <j@example.com>\r\nTo: a@example.com, B <b@example.com>\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\nDate: Tue, 2 Jan 2024 03:04:05 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/alternative; boundary=y\r\n\r\n--y\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=FC=DFe\r\n--y\r\nContent-Type: text/html\r\n\r\n<p>no\r\n--y--\r\n--x\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Disposition: inline; filename=logo.png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''%C3%A4.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nFrom: c@example.com\r\nSubject: Inner\r\n\r\nWithin.\r\n--x--\r\n";
    let heard = heard("a.eml", mail.as_bytes());
    assert_eq!(
        heard.texts(),
        [
            "From: Jürgen <j@example.com>\nTo: a@example.com, B <b@example.com>\nSubject: Grüße\nDate: 2024-01-02T03:04:05+01:00\n\nSchöne Grüße"
        ]
    );
    let names: Vec<&str> = heard
        .attachments
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["ä.pdf", "Inner.eml"]);
    assert_eq!(heard.attachments[0].1, b"%PDF-");
    assert!(
        heard.attachments[1].1.starts_with(b"From: c@example.com"),
        "{heard:?}"
    );
    assert_eq!(
        heard.opened.and_then(|opened| opened.title).as_deref(),
        Some("Grüße")
    );
}

#[test]
fn mail_in_html_alone_is_read() {
    let mail = "From: a@example.com\nSubject: S\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<style>x</style><p>One</p><p>Two &eacute;</p>";
    assert_eq!(
        heard("a.eml", mail.as_bytes()).texts(),
        ["From: a@example.com\nSubject: S\n\nOne\n\nTwo é\n"]
    );
}

#[test]
fn mail_with_too_much_attached_is_refused() {
    let mut mail =
        "From: a@b\nSubject: S\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n"
            .to_owned();
    for _ in 0..201 {
        mail.push_str("--x\nContent-Disposition: attachment; filename=a.bin\n\nz\n");
    }
    assert_eq!(refused("a.eml", mail.as_bytes()).code, Code::SecurityLimit);
}

#[test]
fn what_cannot_be_read_is_named() {
    let failure = refused("a.bin", b"\x7fELF\x02");
    assert_eq!(failure.code, Code::UnsupportedType);
    assert!(failure.message.contains("a program (ELF)"));
    assert_eq!(
        refused("a.png", b"\x89PNG\r\n\x1a\n").code,
        Code::NoTextLayer
    );
    assert_eq!(refused("a.docx", &docx("")[..100]).code, Code::Corrupt);
    let mut cut = docx("<w:p/>");
    cut.truncate(cut.len() - 40);
    assert_eq!(refused("a.docx", &cut).code, Code::Corrupt);
    assert_eq!(refused("a.docx", &docx("<w:p>")).code, Code::Corrupt);
}

#[test]
fn encrypted_office_files_say_that_no_password_helps() {
    let manifest: &[u8] = b"<manifest:encryption-data/>";
    let file = zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("META-INF/manifest.xml", manifest),
        ("content.xml", b"noise"),
    ]);
    let failure = refused("a.odt", &file);
    assert_eq!(
        (failure.code, failure.message.as_str()),
        (Code::PasswordRequired, ENCRYPTED)
    );
    let request = Request {
        password: Some(Password("x".to_owned())),
        ..Request::default()
    };
    let (_, outcome) = heard_with("a.odt", &file, request);
    assert_eq!(
        outcome.map_err(|failure| failure.code),
        Err(Code::UnsupportedType)
    );
}

#[test]
fn bombs_are_refused() {
    // Some megabytes of one tag: hundreds of times what is packed.
    let body = docx(&format!(
        "<w:p><w:r><w:t>{}</w:t></w:r></w:p>",
        "<w:br/>".repeat(1 << 19)
    ));
    assert!(body.len() < 1 << 20);
    let failure = refused("bomb.docx", &body);
    assert_eq!(failure.code, Code::SecurityLimit, "{failure}");
    // Less than that, but more than is taken.
    let words: String = (0..200_000).fold(String::new(), |mut text, number| {
        write!(text, "{} ", number * 7_919 % 1_000_003).expect("written");
        text
    });
    let file = docx(&format!("<w:p><w:r><w:t>{words}</w:t></w:r></w:p>"));
    let request = |unpacked_bytes, entries| Request {
        limits: Limits {
            unpacked_bytes,
            entries,
            ..Limits::default()
        },
        ..Request::default()
    };
    let (_, outcome) = heard_with("a.docx", &file, request(1 << 20, 100));
    assert_eq!(
        outcome.map_err(|failure| failure.code),
        Err(Code::SecurityLimit)
    );
    let (_, outcome) = heard_with("a.docx", &file, request(1 << 30, 100));
    assert_eq!(outcome, Ok(()));
    let (_, outcome) = heard_with("a.docx", &file, request(1 << 30, 1));
    assert_eq!(
        outcome.map_err(|failure| failure.code),
        Err(Code::SecurityLimit)
    );
    // The same in what others read.
    let shared = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(2 << 20));
    let book = zip(&[
        TYPES,
        ("xl/workbook.xml", b"<workbook/>"),
        ("xl/sharedStrings.xml", shared.as_bytes()),
    ]);
    assert_eq!(refused("a.xlsx", &book).code, Code::SecurityLimit);
}

#[test]
fn too_many_files_are_refused_before_they_are_looked_at() {
    let names: Vec<String> = (0..10_001).map(|number| format!("word/{number}")).collect();
    let mut files = vec![TYPES];
    files.extend(names.iter().map(|name| (name.as_str(), &b""[..])));
    assert_eq!(refused("a.docx", &zip(&files)).code, Code::SecurityLimit);
}

#[test]
fn sizes_that_lie_are_found_out() {
    let mut file = docx("<w:p><w:r><w:t>text</w:t></w:r></w:p>");
    // The unpacked size of the last file in the directory.
    let directory = file
        .windows(4)
        .rposition(|bytes| bytes == b"PK\x01\x02")
        .expect("a directory");
    file[directory + 24..directory + 28].copy_from_slice(&u32::MAX.to_le_bytes());
    let (heard, outcome) = heard_with("a.docx", &file, Request::default());
    // It is read for what it is, or refused; never believed.
    if outcome.is_ok() {
        assert_eq!(heard.texts(), ["text\n"]);
    }
    // Its sum is wrong.
    let mut file = docx("<w:p><w:r><w:t>text</w:t></w:r></w:p>");
    file[directory + 16] ^= 1;
    assert_eq!(refused("a.docx", &file).code, Code::Corrupt);
}

#[test]
fn entities_and_depth_are_refused() {
    let with = |xml: &str| zip(&[TYPES, ("word/document.xml", xml.as_bytes())]);
    let lol = "<!DOCTYPE a [<!ENTITY b 'lol'><!ENTITY c '&b;&b;'>]><w:document><w:p><w:t>&c;</w:t></w:p></w:document>";
    let external = "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><w:document><w:p><w:t>&b;</w:t></w:p></w:document>";
    let deep = "<w:tbl><w:tr><w:tc>".repeat(200_000);
    for xml in [lol, external, &deep] {
        let failure = refused("a.docx", &with(xml));
        assert_eq!(failure.code, Code::SecurityLimit, "{failure}");
    }
}
