//! What the demo's tenants upload: files of all kinds, each with a word of its own on a certain page.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::zip::archive;

/// The tenants.
pub(super) const TENANTS: [&str; 3] = ["demo-harbour", "demo-mill", "demo-observatory"];

/// What is to become of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// This word is found in it, on this page.
    Found { word: String, page: i32 },
    /// It fails; nothing of it is found.
    Fails,
}

/// A file of a tenant's.
#[derive(Clone, Debug)]
pub(super) struct Planted {
    pub(super) tenant: &'static str,
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) fate: Fate,
}

/// Something of a text that is known for a language.
const PROSE: [&str; 3] = [
    "The harbour master keeps the books of every ship that comes in with the tide, and whoever wants to know when it left has to ask her.",
    "Der Müller hat in diesem Jahr mehr Korn gemahlen als in den beiden davor, und das Wasser hat trotzdem für alle anderen gereicht.",
    "Les astronomes ont observé la comète pendant toute la nuit, et personne ne voulait rentrer avant que le soleil ne soit levé.",
];

/// Writes the files of one seed.
struct Writer {
    random: StdRng,
    planted: Vec<Planted>,
}

impl Writer {
    /// A word that stands in no other file.
    fn word(&mut self) -> String {
        format!("ref{:09}", self.random.random_range(0..1_000_000_000_u32))
    }

    /// Paragraphs of so many pages, with the word on one of them.
    fn pages(tenant: usize, count: i32, word: &str, page: i32) -> Vec<String> {
        let prose = PROSE[tenant];
        let text = |number| {
            if number == page {
                format!("{prose} The number is {word}, to be given in all letters.")
            } else {
                prose.to_owned()
            }
        };
        (1..=count).map(text).collect()
    }

    /// Plants a file of so many pages, made from their texts.
    fn plant(
        &mut self,
        tenant: usize,
        name: &'static str,
        (count, page): (i32, i32),
        make: impl FnOnce(&[String]) -> Vec<u8>,
    ) {
        let word = self.word();
        let bytes = make(&Self::pages(tenant, count, &word, page));
        self.planted.push(Planted {
            tenant: TENANTS[tenant],
            name,
            bytes,
            fate: Fate::Found { word, page },
        });
    }
}

/// The twenty files of a seed.
pub(super) fn files(seed: u64) -> Vec<Planted> {
    let mut writer = Writer {
        random: StdRng::seed_from_u64(seed),
        planted: Vec::new(),
    };
    writer.plant(0, "notes.txt", (1, 1), |pages| {
        pages[0].clone().into_bytes()
    });
    writer.plant(0, "readme.md", (1, 1), |pages| {
        format!("# Dues\n\n{}\n\n- by *weight*\n- by day\n", pages[0]).into_bytes()
    });
    writer.plant(0, "page.html", (1, 1), |pages| html(&pages[0]));
    writer.plant(0, "prices.csv", (1, 1), |pages| {
        format!("what,price\nberth,12\n\"{}\",7\n", pages[0]).into_bytes()
    });
    writer.plant(0, "data.json", (1, 1), |pages| {
        serde_json::json!({ "ships": 3, "note": pages[0] })
            .to_string()
            .into_bytes()
    });
    writer.plant(0, "report.pdf", (3, 2), pdf);
    writer.plant(1, "letter.docx", (1, 1), |pages| docx(&pages[0]));
    writer.plant(1, "slides.pptx", (2, 2), pptx);
    writer.plant(1, "table.xlsx", (2, 2), xlsx);
    writer.plant(1, "text.odt", (1, 1), |pages| {
        let text = format!("<office:text><text:p>{}</text:p></office:text>", pages[0]);
        open_document("application/vnd.oasis.opendocument.text", &text)
    });
    writer.plant(1, "sheet.ods", (2, 2), ods);
    writer.plant(1, "book.epub", (2, 2), epub);
    writer.plant(1, "memo.rtf", (1, 1), |pages| rtf(&pages[0]));
    writer.plant(2, "mail.eml", (1, 1), |pages| eml(&pages[0]));
    // A name that another tenant has, too, and bytes that another has.
    writer.plant(2, "report.pdf", (4, 3), pdf);
    if let Some(same) = writer.planted.first().cloned() {
        writer.planted.push(Planted {
            tenant: TENANTS[2],
            ..same
        });
    }
    writer.plant(2, "observations.csv", (1, 1), |pages| {
        format!("night;seen\n1;nothing\n2;{}\n", pages[0]).into_bytes()
    });
    writer.plant(2, "manual.html", (1, 1), |pages| html(&pages[0]));
    for (name, bytes) in [("scan.pdf", scan()), ("nested.docx", nested())] {
        writer.planted.push(Planted {
            tenant: TENANTS[2],
            name,
            bytes,
            fate: Fate::Fails,
        });
    }
    writer.planted
}

fn html(text: &str) -> Vec<u8> {
    format!(
        "<!doctype html><html><head><title>Dues</title><script>let hidden = 1;</script></head><body><h1>Dues</h1><p>{text}</p></body></html>"
    )
    .into_bytes()
}

/// A PDF of these pages, in a font that every reader has.
fn pdf(pages: &[String]) -> Vec<u8> {
    let contents = pages.iter().map(|page| {
        let mut text = "BT /F1 11 Tf 14 TL 60 780 Td\n".to_owned();
        for line in lines(page) {
            let line: String = line.chars().map(latin).collect();
            text.push_str(&format!("({line}) Tj T*\n"));
        }
        text.push_str("ET");
        text
    });
    let resources = "/Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >>";
    pdf_of(&contents.collect::<Vec<_>>(), resources)
}

/// Lines of about 80 letters.
fn lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines
            .last()
            .is_some_and(|line| line.len() + word.len() > 80)
        {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
            line.push(' ');
        }
    }
    lines
}

/// As it stands in a PDF's text: of what is beyond ASCII, the plain letter.
fn latin(letter: char) -> char {
    match letter {
        'é' => 'e',
        'è' => 'e',
        'ü' => 'u',
        '(' | ')' | '\\' => ' ',
        letter => letter,
    }
}

/// A PDF with a picture for a page, as scanners make them.
fn scan() -> Vec<u8> {
    let picture = "q 400 0 0 500 60 200 cm BI /W 8 /H 8 /CS /G /BPC 8 ID 0123456701234567012345670123456701234567012345670123456701234567 EI Q";
    pdf_of(&[picture.to_owned()], "")
}

/// A PDF whose pages have these contents.
pub(crate) fn pdf_of(contents: &[String], resources: &str) -> Vec<u8> {
    let kids: String = (0..contents.len())
        .map(|page| format!("{} 0 R ", 3 + 2 * page))
        .collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Count {} /Kids [ {kids}] >>",
            contents.len()
        ),
    ];
    for (at, content) in contents.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << {resources} >> /Contents {} 0 R >>",
            4 + 2 * at
        ));
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ));
    }
    let mut out = "%PDF-1.4\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (at, object) in objects.iter().enumerate() {
        table.push_str(&format!("{:010} 00000 n \n", out.len()));
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", at + 1));
    }
    let start = out.len();
    let count = objects.len() + 1;
    out.push_str(&format!(
        "{table}trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n"
    ));
    out.into_bytes()
}

const XML: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;
const RELATIONS: &str = "http://schemas.openxmlformats.org/package/2006/relationships";
const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";

/// The types of an Office file's parts: the main one by its path, all others by their ending.
fn content_types(main: &str, kind: &str) -> String {
    format!(
        "{XML}<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
         <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
         <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
         <Override PartName=\"/{main}\" ContentType=\"application/vnd.openxmlformats-officedocument.{kind}.main+xml\"/></Types>"
    )
}

/// What an Office file, or a part of one, refers to: number, kind, path.
fn relations(targets: &[(usize, &str, String)]) -> String {
    let mut text = format!("{XML}<Relationships xmlns=\"{RELATIONS}\">");
    for (id, kind, target) in targets {
        text.push_str(&format!(
            "<Relationship Id=\"rId{id}\" Type=\"{OFFICE}/{kind}\" Target=\"{target}\"/>"
        ));
    }
    text + "</Relationships>"
}

fn word(body: &str) -> Vec<u8> {
    let types = content_types("word/document.xml", "wordprocessingml.document");
    let relations = relations(&[(1, "officeDocument", "word/document.xml".to_owned())]);
    let document = format!(
        "{XML}<w:document xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body>{body}</w:body></w:document>"
    );
    archive(&[
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", relations.as_bytes()),
        ("word/document.xml", document.as_bytes()),
    ])
}

fn docx(text: &str) -> Vec<u8> {
    word(&format!("<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"))
}

/// A letter that nests so deep that readers which trust it run out of stack.
fn nested() -> Vec<u8> {
    let depth = 50_000;
    let (open, close) = ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>");
    word(&format!(
        "{}<w:p><w:r><w:t>deep</w:t></w:r></w:p>{}",
        open.repeat(depth),
        close.repeat(depth)
    ))
}

fn pptx(slides: &[String]) -> Vec<u8> {
    let namespaces = format!(
        "xmlns:p=\"http://schemas.openxmlformats.org/presentationml/2006/main\" \
         xmlns:a=\"http://schemas.openxmlformats.org/drawingml/2006/main\" xmlns:r=\"{OFFICE}\""
    );
    let ids: String = (1..=slides.len())
        .map(|number| format!("<p:sldId id=\"{}\" r:id=\"rId{number}\"/>", 255 + number))
        .collect();
    let presentation = format!(
        "{XML}<p:presentation {namespaces}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>"
    );
    let types = content_types("ppt/presentation.xml", "presentationml.presentation");
    let root = relations(&[(1, "officeDocument", "ppt/presentation.xml".to_owned())]);
    let targets: Vec<_> = (1..=slides.len())
        .map(|number| (number, "slide", format!("slides/slide{number}.xml")))
        .collect();
    let targets = relations(&targets);
    let slides: Vec<(String, String)> = (1..)
        .zip(slides)
        .map(|(number, text)| {
            let name = format!("ppt/slides/slide{number}.xml");
            let slide = format!(
                "{XML}<p:sld {namespaces}><p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree></p:cSld></p:sld>"
            );
            (name, slide)
        })
        .collect();
    let mut files = vec![
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", root.as_bytes()),
        ("ppt/presentation.xml", presentation.as_bytes()),
        ("ppt/_rels/presentation.xml.rels", targets.as_bytes()),
    ];
    files.extend(
        slides
            .iter()
            .map(|(name, slide)| (&**name, slide.as_bytes())),
    );
    archive(&files)
}

fn xlsx(sheets: &[String]) -> Vec<u8> {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let names: String = (1..=sheets.len())
        .map(|number| {
            format!("<sheet name=\"Year {number}\" sheetId=\"{number}\" r:id=\"rId{number}\"/>")
        })
        .collect();
    let workbook = format!(
        "{XML}<workbook xmlns=\"{main}\" xmlns:r=\"{OFFICE}\"><sheets>{names}</sheets></workbook>"
    );
    let types = content_types("xl/workbook.xml", "spreadsheetml.sheet");
    let root = relations(&[(1, "officeDocument", "xl/workbook.xml".to_owned())]);
    let targets: Vec<_> = (1..=sheets.len())
        .map(|number| (number, "worksheet", format!("worksheets/sheet{number}.xml")))
        .collect();
    let targets = relations(&targets);
    let sheets: Vec<(String, String)> = (1..)
        .zip(sheets)
        .map(|(number, text)| {
            let name = format!("xl/worksheets/sheet{number}.xml");
            let sheet = format!(
                "{XML}<worksheet xmlns=\"{main}\"><sheetData><row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>{text}</t></is></c><c r=\"B1\"><v>{number}</v></c></row></sheetData></worksheet>"
            );
            (name, sheet)
        })
        .collect();
    let mut files = vec![
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", root.as_bytes()),
        ("xl/workbook.xml", workbook.as_bytes()),
        ("xl/_rels/workbook.xml.rels", targets.as_bytes()),
    ];
    files.extend(
        sheets
            .iter()
            .map(|(name, sheet)| (&**name, sheet.as_bytes())),
    );
    archive(&files)
}

fn open_document(kind: &str, body: &str) -> Vec<u8> {
    let space = "urn:oasis:names:tc:opendocument:xmlns";
    let content = format!(
        "{XML}<office:document-content xmlns:office=\"{space}:office:1.0\" xmlns:text=\"{space}:text:1.0\" xmlns:table=\"{space}:table:1.0\" office:version=\"1.2\"><office:body>{body}</office:body></office:document-content>"
    );
    let manifest = format!(
        "{XML}<manifest:manifest xmlns:manifest=\"{space}:manifest:1.0\" manifest:version=\"1.2\">\
         <manifest:file-entry manifest:full-path=\"/\" manifest:media-type=\"{kind}\"/>\
         <manifest:file-entry manifest:full-path=\"content.xml\" manifest:media-type=\"text/xml\"/></manifest:manifest>"
    );
    archive(&[
        ("mimetype", kind.as_bytes()),
        ("content.xml", content.as_bytes()),
        ("META-INF/manifest.xml", manifest.as_bytes()),
    ])
}

fn ods(sheets: &[String]) -> Vec<u8> {
    let mut body = "<office:spreadsheet>".to_owned();
    for (number, text) in (1..).zip(sheets) {
        body.push_str(&format!("<table:table table:name=\"Year {number}\"><table:table-row><table:table-cell office:value-type=\"string\"><text:p>{text}</text:p></table:table-cell></table:table-row></table:table>"));
    }
    body.push_str("</office:spreadsheet>");
    open_document("application/vnd.oasis.opendocument.spreadsheet", &body)
}

fn epub(chapters: &[String]) -> Vec<u8> {
    let container = format!(
        "{XML}<container version=\"1.0\" xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\"><rootfiles>\
         <rootfile full-path=\"book.opf\" media-type=\"application/oebps-package+xml\"/></rootfiles></container>"
    );
    let (mut items, mut spine) = (String::new(), String::new());
    for number in 1..=chapters.len() {
        items.push_str(&format!(
            "<item id=\"c{number}\" href=\"c{number}.xhtml\" media-type=\"application/xhtml+xml\"/>"
        ));
        spine.push_str(&format!("<itemref idref=\"c{number}\"/>"));
    }
    let package = format!(
        "{XML}<package xmlns=\"http://www.idpf.org/2007/opf\" version=\"3.0\" unique-identifier=\"id\">\
         <metadata xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><dc:identifier id=\"id\">demo</dc:identifier><dc:title>The mill</dc:title>\
         <dc:language>de</dc:language></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>"
    );
    let chapters: Vec<(String, String)> = (1..)
        .zip(chapters)
        .map(|(number, text)| {
            let chapter = format!(
                "{XML}<html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>{number}</title></head><body><p>{text}</p></body></html>"
            );
            (format!("c{number}.xhtml"), chapter)
        })
        .collect();
    let mut files = vec![
        ("mimetype", &b"application/epub+zip"[..]),
        ("META-INF/container.xml", container.as_bytes()),
        ("book.opf", package.as_bytes()),
    ];
    files.extend(
        chapters
            .iter()
            .map(|(name, chapter)| (&**name, chapter.as_bytes())),
    );
    archive(&files)
}

fn rtf(text: &str) -> Vec<u8> {
    let mut out = "{\\rtf1\\ansi\\deff0{\\fonttbl{\\f0 Arial;}}\\f0\\fs24 ".to_owned();
    for letter in text.chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            out.push_str(&format!("\\u{}?", u32::from(letter)));
        }
    }
    out.push_str("\\par}");
    out.into_bytes()
}

/// A mail with minutes attached to it.
fn eml(text: &str) -> Vec<u8> {
    [
        "From: Ada <ada@observatory.example>",
        "To: Bob <bob@observatory.example>",
        "Subject: The comet",
        "Date: Mon, 02 Nov 2026 21:00:00 +0000",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=\"x1\"",
        "",
        "--x1",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        text,
        "--x1",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Disposition: attachment; filename=\"minutes.txt\"",
        "",
        "Minutes of the night: nobody slept, and everybody saw it.",
        "--x1--",
        "",
    ]
    .join("\r\n")
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_plants_the_same_and_every_word_is_one_file_s() {
        let planted = files(1);
        assert_eq!(planted.len(), 20);
        let bytes: Vec<_> = planted.iter().map(|file| file.bytes.clone()).collect();
        let again: Vec<_> = files(1).into_iter().map(|file| file.bytes).collect();
        assert_eq!(bytes, again);
        let words: BTreeSet<_> = planted
            .iter()
            .filter_map(|file| match &file.fate {
                Fate::Found { word, .. } => Some(word.clone()),
                Fate::Fails => None,
            })
            .collect();
        // One of the files is planted with two tenants.
        assert_eq!(words.len(), 17);
        let names: BTreeSet<_> = planted
            .iter()
            .map(|file| (file.tenant, file.name))
            .collect();
        assert_eq!(names.len(), 20);
    }
}
