//! Texts and spreadsheets of `LibreOffice` and its like (Open Document Format).
//!
//! A text as a Word file is read, with the heads and feet of its pages once at the end; a sheet is a page. Cells say what is shown in them. Comments and what was deleted are left out.

use std::collections::HashSet;
use std::io::{BufRead, Read, Seek};

use super::flow::Flow;
use super::package::{has_macros, title};
use super::{Sink, open, opened};
use crate::archive::{Archive, ENCRYPTED};
use crate::failure::Failure;
use crate::protocol::Code;
use crate::sniff::Kind;
use crate::xml::{Node, Tag, Xml};

/// How often a row or cell that is there many times is told, at most.
const MAX_REPEATED: usize = 64;
/// The longest cell that is told more than once, in bytes.
const MAX_REPEATED_BYTES: usize = 1_000;
/// How many tabs stand for a row of empty cells, at most.
const MAX_TABS: usize = 16;
/// The most blanks that one element stands for.
const MAX_BLANKS: usize = 100;
/// The most text of a paragraph or a row of a table, in bytes.
const MAX_PARAGRAPH_BYTES: usize = 16 << 20;
/// The most styles that are told apart.
const MAX_STYLES: usize = 20_000;
/// How much of a page's head or foot is told, about, in bytes.
const MAX_MARGINAL_BYTES: usize = 10_000;
/// How much of the list of files is looked at, in bytes.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

pub(super) fn read<R: Read + Seek>(
    kind: Kind,
    mut archive: Archive<R>,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let manifest = archive.small("META-INF/manifest.xml", MAX_MANIFEST_BYTES)?;
    let manifest = manifest.unwrap_or_default();
    if memchr::memmem::find(&manifest, b"encryption-data").is_some() {
        return Err(Failure::new(Code::PasswordRequired, ENCRYPTED));
    }
    let mut told = opened(kind);
    told.title = title(&mut archive, "meta.xml")?;
    told.has_macros = has_macros(&archive);
    open(sink, told)?;
    let Some(entry) = archive.entry("content.xml")? else {
        return Err(Failure::corrupt("content.xml is not in it"));
    };
    let mut content = Content {
        flow: Flow::new(sink),
        is_workbook: kind == Kind::Ods,
        breaks: HashSet::new(),
        style: None,
        paragraphs: Vec::new(),
        rows: Vec::new(),
    };
    content.read(&mut Xml::new(entry.buffered()))?;
    let mut flow = content.flow;
    if kind == Kind::Odt
        && let Some(entry) = archive.entry("styles.xml")?
    {
        let mut seen = HashSet::new();
        for text in marginal(&mut Xml::new(entry.buffered()))? {
            if seen.insert(text.clone()) {
                flow.paragraph(&text, false)?;
            }
        }
    }
    flow.finish()
}

/// What stands at the head and foot of pages, each in one line.
fn marginal<R: BufRead>(xml: &mut Xml<R>) -> Result<Vec<String>, Failure> {
    let is_one = |name: &str| {
        matches!(
            name,
            "header" | "footer" | "header-left" | "footer-left" | "header-first" | "footer-first"
        )
    };
    let mut found = Vec::new();
    let mut text: Option<String> = None;
    loop {
        match xml.next()? {
            Node::Start(tag) if is_one(&tag.name()) => text = Some(String::new()),
            Node::Start(tag) if tag.is("p") || tag.is("tab") || tag.is("s") => {
                if let Some(text) = &mut text {
                    text.push(' ');
                }
            }
            Node::Text(piece) => {
                if let Some(text) = text.as_mut().filter(|it| it.len() < MAX_MARGINAL_BYTES) {
                    text.push_str(&piece);
                }
            }
            Node::End(name) if is_one(&name) && found.len() < MAX_STYLES => {
                let text = text.take().unwrap_or_default();
                let words: Vec<&str> = text.split_whitespace().collect();
                found.push(words.join(" "));
            }
            Node::Eof => return Ok(found),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Paragraph {
    text: String,
    is_heading: bool,
}

#[derive(Default)]
struct Row {
    text: String,
    /// Of the cell that is read.
    cell: String,
    repeated: usize,
    cell_repeated: usize,
    /// Empty cells since the last that is not.
    empty: usize,
    is_first: bool,
}

impl Row {
    fn end_cell(&mut self) {
        let cell = std::mem::take(&mut self.cell);
        let cell = cell.trim_end();
        if cell.is_empty() {
            self.empty = self.empty.saturating_add(self.cell_repeated);
            return;
        }
        let repeated = if cell.len() > MAX_REPEATED_BYTES {
            1
        } else {
            self.cell_repeated.min(MAX_REPEATED)
        };
        for _ in 0..repeated {
            let tabs = self.empty.min(MAX_TABS) + usize::from(!self.is_first);
            self.text.extend(std::iter::repeat_n('\t', tabs));
            self.text.push_str(cell);
            self.empty = 0;
            self.is_first = false;
        }
    }
}

struct Content<'a> {
    flow: Flow<'a>,
    is_workbook: bool,
    /// Styles of paragraphs that begin a page.
    breaks: HashSet<String>,
    /// The style that is declared.
    style: Option<String>,
    paragraphs: Vec<Paragraph>,
    rows: Vec<Row>,
}

fn repeated(tag: &Tag<'_>, name: &str) -> usize {
    tag.attribute(name)
        .and_then(|count| count.parse().ok())
        .unwrap_or(1)
}

impl Content<'_> {
    fn read<R: BufRead>(&mut self, xml: &mut Xml<R>) -> Result<(), Failure> {
        loop {
            match xml.next()? {
                Node::Start(tag) => {
                    let name = tag.name();
                    let is_left_out = matches!(
                        &*name,
                        "annotation"
                            | "tracked-changes"
                            | "forms"
                            | "scripts"
                            | "font-face-decls"
                            | "shapes"
                    ) || (name == "desc" || name == "title");
                    if is_left_out {
                        xml.skip()?;
                    } else {
                        self.start(&name, &tag)?;
                    }
                }
                Node::End(name) => self.end(&name)?,
                Node::Text(text) => {
                    self.push(&text);
                    self.check()?;
                }
                Node::Eof => return Ok(()),
            }
        }
    }

    /// Text in which white space is as good as one blank.
    fn push(&mut self, text: &str) {
        let Some(paragraph) = self.paragraphs.last_mut() else {
            return;
        };
        for character in text.chars() {
            if matches!(character, ' ' | '\t' | '\r' | '\n') {
                if !paragraph.text.is_empty() && !paragraph.text.ends_with([' ', '\n', '\t']) {
                    paragraph.text.push(' ');
                }
            } else {
                paragraph.text.push(character);
            }
        }
    }

    /// Whether what is held is not too much.
    fn check(&self) -> Result<(), Failure> {
        let paragraph = self.paragraphs.last().map_or(0, |it| it.text.len());
        let row = self
            .rows
            .last()
            .map_or(0, |it| it.text.len() + it.cell.len());
        if paragraph.max(row) > MAX_PARAGRAPH_BYTES {
            return Err(Failure::limit(
                "a paragraph, or a row of a table, in it has too much text",
            ));
        }
        Ok(())
    }

    fn start(&mut self, name: &str, tag: &Tag<'_>) -> Result<(), Failure> {
        match name {
            "style" => self.style = tag.attribute("name"),
            "paragraph-properties" => {
                let begins = tag.attribute("break-before").as_deref() == Some("page");
                if begins
                    && self.breaks.len() < MAX_STYLES
                    && let Some(style) = &self.style
                {
                    self.breaks.insert(style.clone());
                }
            }
            "p" | "h" => {
                let style = tag.attribute("style-name").unwrap_or_default();
                if self.rows.is_empty()
                    && self.paragraphs.is_empty()
                    && self.breaks.contains(&style)
                    && self.flow.has_text()
                {
                    self.flow.page_break()?;
                }
                self.paragraphs.push(Paragraph {
                    text: String::new(),
                    is_heading: name == "h",
                });
            }
            "s" => {
                let count = repeated(tag, "c").min(MAX_BLANKS);
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.text.extend(std::iter::repeat_n(' ', count));
                }
            }
            "tab" | "line-break" => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.text.push(if name == "tab" { '\t' } else { '\n' });
                }
            }
            "soft-page-break" => self.soft_break()?,
            "table" if self.is_workbook && self.rows.is_empty() => {
                self.flow.locator(tag.attribute("name"))?;
            }
            "table-row" => self.rows.push(Row {
                repeated: repeated(tag, "number-rows-repeated"),
                is_first: true,
                ..Row::default()
            }),
            "table-cell" | "covered-table-cell" => {
                if let Some(row) = self.rows.last_mut() {
                    row.cell_repeated = repeated(tag, "number-columns-repeated");
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A page ends as it was last shown.
    fn soft_break(&mut self) -> Result<(), Failure> {
        if !self.rows.is_empty() || self.is_workbook {
            return Ok(());
        }
        if let Some(paragraph) = self.paragraphs.last_mut() {
            let text = std::mem::take(&mut paragraph.text);
            let is_heading = paragraph.is_heading;
            self.flow.paragraph(&text, is_heading)?;
        }
        if self.flow.has_text() {
            self.flow.page_break()?;
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), Failure> {
        match name {
            "style" => self.style = None,
            "p" | "h" => {
                let Some(paragraph) = self.paragraphs.pop() else {
                    return Ok(());
                };
                if let Some(row) = self.rows.last_mut() {
                    let words: Vec<&str> = paragraph.text.split_whitespace().collect();
                    if !words.is_empty() {
                        row.cell.push_str(&words.join(" "));
                        row.cell.push(' ');
                    }
                } else {
                    self.flow.paragraph(&paragraph.text, paragraph.is_heading)?;
                }
            }
            "table-cell" | "covered-table-cell" => {
                if let Some(row) = self.rows.last_mut() {
                    row.end_cell();
                }
                self.check()?;
            }
            "table-row" => {
                let Some(row) = self.rows.pop() else {
                    return Ok(());
                };
                if let Some(outer) = self.rows.last_mut() {
                    outer.cell.push_str(&row.text);
                    outer.cell.push(' ');
                } else if !row.text.is_empty() {
                    for _ in 0..row.repeated.min(MAX_REPEATED) {
                        self.flow.paragraph(&row.text, false)?;
                    }
                }
            }
            "table" if self.is_workbook && self.rows.is_empty() => self.flow.whole_page()?,
            _ => {}
        }
        Ok(())
    }
}
