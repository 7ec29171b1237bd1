//! Word files.
//!
//! The text as it stands: paragraphs as lines, rows of tables as lines with a tab between cells, footnotes below the paragraph that
//! refers to them, headers and footers once at the end. Pages are those that Word saw when it last saved the file, and those that
//! begin by hand. What was deleted, moved away or annotated is left out.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Read, Seek};

use super::flow::Flow;
use super::package::{has_macros, main_part, relationships, title};
use super::{Sink, open, opened};
use crate::archive::Archive;
use crate::failure::Failure;
use crate::sniff::Kind;
use crate::xml::{Node, Tag, Xml};

/// How much of all footnotes is kept, in bytes.
const MAX_NOTES_BYTES: usize = 8 << 20;
/// The most text of a paragraph or a row of a table, in bytes.
const MAX_PARAGRAPH_BYTES: usize = 16 << 20;
/// The most styles that are told apart.
const MAX_STYLES: usize = 20_000;

pub(super) fn read<R: Read + Seek>(
    mut archive: Archive<R>,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let main = main_part(&mut archive, "word/document.xml")?;
    let mut told = opened(Kind::Docx);
    told.title = title(&mut archive, "docProps/core.xml")?;
    told.has_macros = has_macros(&archive);
    open(sink, told)?;
    let related = relationships(&mut archive, &main)?;
    let mut headings = HashSet::new();
    let mut notes = HashMap::new();
    let mut marginal = Vec::new();
    for relationship in &related {
        let part = &relationship.target;
        match relationship.kind.as_str() {
            "styles" => headings = heading_styles(&mut archive, part)?,
            "footnotes" => read_notes(&mut archive, part, "footnote", &mut notes)?,
            "endnotes" => read_notes(&mut archive, part, "endnote", &mut notes)?,
            "header" | "footer" => marginal.push(part),
            _ => {}
        }
    }
    let mut body = Body::new(Flow::new(sink), &headings, &notes);
    if let Some(entry) = archive.entry(&main)? {
        body.read(&mut Xml::new(entry.buffered()))?;
    }
    let mut seen = HashSet::new();
    for part in marginal {
        if let Some(entry) = archive.entry(part)? {
            let text = plain(&mut Xml::new(entry.buffered()))?;
            if seen.insert(text.clone()) {
                body.flow.paragraph(&text, false)?;
            }
        }
    }
    body.flow.finish()
}

/// The ids of the styles that headings have.
fn heading_styles<R: Read + Seek>(
    archive: &mut Archive<R>,
    part: &str,
) -> Result<HashSet<String>, Failure> {
    let mut found = HashSet::new();
    let Some(entry) = archive.entry(part)? else {
        return Ok(found);
    };
    let mut xml = Xml::new(entry.buffered());
    let mut style = None;
    loop {
        match xml.next()? {
            Node::Start(tag) if tag.is("style") => style = tag.attribute("styleId"),
            Node::Start(tag) if tag.is("name") || tag.is("outlineLvl") => {
                if is_heading(&tag)
                    && found.len() < MAX_STYLES
                    && let Some(style) = &style
                {
                    found.insert(style.clone());
                }
            }
            Node::End(name) if name == "style" => style = None,
            Node::Eof => return Ok(found),
            _ => {}
        }
    }
}

/// Whether the name of a style, or a level of outline, is a heading's.
fn is_heading(tag: &Tag<'_>) -> bool {
    let Some(value) = tag.attribute("val") else {
        return false;
    };
    if tag.is("outlineLvl") {
        // The tenth is that of plain text.
        return matches!(value.as_bytes(), [b'0'..=b'8']);
    }
    let name = value.to_ascii_lowercase();
    name == "title" || name.starts_with("heading ")
}

/// The notes of a part, by kind and id.
fn read_notes<R: Read + Seek>(
    archive: &mut Archive<R>,
    part: &str,
    kind: &'static str,
    notes: &mut HashMap<(&'static str, String), String>,
) -> Result<(), Failure> {
    let Some(entry) = archive.entry(part)? else {
        return Ok(());
    };
    let mut xml = Xml::new(entry.buffered());
    let mut room = MAX_NOTES_BYTES;
    loop {
        match xml.next()? {
            Node::Start(tag) if tag.is(kind) => {
                // What parts notes from text is one as well.
                let is_note = tag.attribute("type").is_none_or(|kind| kind == "normal");
                let id = tag.attribute("id").filter(|_| is_note);
                let text = plain_to(&mut xml, Some(kind))?;
                if let Some(id) = id.filter(|_| text.len() <= room) {
                    room -= text.len();
                    notes.insert((kind, id), text);
                }
            }
            Node::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// All text of a part in one line.
fn plain<R: BufRead>(xml: &mut Xml<R>) -> Result<String, Failure> {
    plain_to(xml, None)
}

fn plain_to<R: BufRead>(xml: &mut Xml<R>, end: Option<&str>) -> Result<String, Failure> {
    let mut text = String::new();
    let mut in_text = false;
    loop {
        match xml.next()? {
            Node::Start(tag) if tag.is("t") => in_text = true,
            Node::Start(tag) if tag.is("tab") || tag.is("br") => text.push(' '),
            Node::Start(tag) if tag.is("Fallback") => xml.skip()?,
            Node::End(name) if name == "t" => in_text = false,
            Node::End(name) if name == "p" => text.push(' '),
            Node::End(name) if Some(&*name) == end => break,
            Node::Text(_) if text.len() > MAX_NOTES_BYTES => {
                return Err(Failure::limit("a note of it has too much text"));
            }
            Node::Text(piece) if in_text => text.push_str(&piece),
            Node::Eof => break,
            _ => {}
        }
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(words.join(" "))
}

#[derive(Default)]
struct Paragraph {
    text: String,
    is_heading: bool,
    /// What is referred to in it.
    notes: Vec<(&'static str, String)>,
}

/// A row of a table, as far as it is read.
#[derive(Default)]
struct Row {
    text: String,
    /// The page ends behind it.
    ends_page: bool,
    notes: Vec<(&'static str, String)>,
}

struct Body<'a> {
    flow: Flow<'a>,
    headings: &'a HashSet<String>,
    notes: &'a HashMap<(&'static str, String), String>,
    /// Those that are open: what floats in a paragraph has paragraphs of its own.
    paragraphs: Vec<Paragraph>,
    rows: Vec<Row>,
    in_text: bool,
    /// How many elements are open that say how something looks.
    properties: u32,
}

impl<'a> Body<'a> {
    fn new(
        flow: Flow<'a>,
        headings: &'a HashSet<String>,
        notes: &'a HashMap<(&'static str, String), String>,
    ) -> Self {
        Self {
            flow,
            headings,
            notes,
            paragraphs: Vec::new(),
            rows: Vec::new(),
            in_text: false,
            properties: 0,
        }
    }

    fn read<S: BufRead>(&mut self, xml: &mut Xml<S>) -> Result<(), Failure> {
        loop {
            match xml.next()? {
                Node::Start(tag) => {
                    let name = tag.name();
                    // What was there before a change, and what is said twice for older programs.
                    if matches!(
                        &*name,
                        "Fallback" | "moveFrom" | "del" | "pPrChange" | "rPrChange"
                    ) {
                        xml.skip()?;
                    } else {
                        self.start(&name, &tag)?;
                    }
                }
                Node::End(name) => self.end(&name)?,
                Node::Text(text) if self.in_text => self.push(&text)?,
                Node::Text(_) => {}
                Node::Eof => return Ok(()),
            }
        }
    }

    fn push(&mut self, text: &str) -> Result<(), Failure> {
        match self.paragraphs.last_mut() {
            Some(paragraph) if paragraph.text.len() > MAX_PARAGRAPH_BYTES => {
                Err(Failure::limit("a paragraph of it has too much text"))
            }
            Some(paragraph) => {
                paragraph.text.push_str(text);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn start(&mut self, name: &str, tag: &Tag<'_>) -> Result<(), Failure> {
        match name {
            "p" => self.paragraphs.push(Paragraph::default()),
            "tr" => self.rows.push(Row::default()),
            "t" => self.in_text = true,
            "pPr" | "rPr" | "tblPr" | "trPr" | "tcPr" | "sectPr" => self.properties += 1,
            "pStyle" => {
                let style = tag.attribute("val").unwrap_or_default();
                if self.headings.contains(&style)
                    && let Some(paragraph) = self.paragraphs.last_mut()
                {
                    paragraph.is_heading = true;
                }
            }
            "outlineLvl" if self.properties > 0 && is_heading(tag) => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.is_heading = true;
                }
            }
            "pageBreakBefore" => {
                let is_off = |value: String| matches!(&*value, "0" | "false" | "off");
                if !tag.attribute("val").is_some_and(is_off) {
                    self.page_break(false)?;
                }
            }
            _ if self.properties > 0 => {}
            "tab" => self.push("\t")?,
            "cr" => self.push("\n")?,
            "noBreakHyphen" => self.push("-")?,
            "br" if tag.attribute("type").as_deref() == Some("page") => self.page_break(true)?,
            "br" => self.push("\n")?,
            "lastRenderedPageBreak" => self.page_break(false)?,
            "footnoteReference" => self.refer("footnote", tag),
            "endnoteReference" => self.refer("endnote", tag),
            _ => {}
        }
        Ok(())
    }

    fn refer(&mut self, kind: &'static str, tag: &Tag<'_>) {
        if let (Some(id), Some(paragraph)) = (tag.attribute("id"), self.paragraphs.last_mut()) {
            paragraph.notes.push((kind, id));
        }
    }

    fn end(&mut self, name: &str) -> Result<(), Failure> {
        match name {
            "t" => self.in_text = false,
            "pPr" | "rPr" | "tblPr" | "trPr" | "tcPr" | "sectPr" => {
                self.properties = self.properties.saturating_sub(1);
            }
            "p" => {
                if let Some(paragraph) = self.paragraphs.pop() {
                    self.paragraph(paragraph)?;
                }
            }
            "tc" => {
                if let Some(row) = self.rows.last_mut() {
                    row.text.push('\t');
                }
            }
            "tr" => {
                if let Some(row) = self.rows.pop() {
                    self.row(row)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The page ends here: by hand, or, if there is anything on it, as it was seen to.
    fn page_break(&mut self, is_by_hand: bool) -> Result<(), Failure> {
        if let Some(row) = self.rows.last_mut() {
            let before: &str = &row.text;
            let is_first = before.trim().is_empty();
            let is_empty = self
                .paragraphs
                .last()
                .is_none_or(|it| it.text.trim().is_empty());
            if !(is_first && is_empty) {
                row.ends_page = true;
                return Ok(());
            }
        } else if let Some(paragraph) = self.paragraphs.last_mut() {
            let text = std::mem::take(&mut paragraph.text);
            let is_heading = paragraph.is_heading;
            self.flow.paragraph(&text, is_heading)?;
        }
        if is_by_hand || self.flow.has_text() {
            self.flow.page_break()?;
        }
        Ok(())
    }

    fn paragraph(&mut self, paragraph: Paragraph) -> Result<(), Failure> {
        if let Some(row) = self.rows.last_mut() {
            // One line for the row, whatever its cells have.
            let words: Vec<&str> = paragraph.text.split_whitespace().collect();
            if !words.is_empty() {
                if !row.text.is_empty() && !row.text.ends_with('\t') {
                    row.text.push(' ');
                }
                row.text.push_str(&words.join(" "));
            }
            if row.text.len() > MAX_PARAGRAPH_BYTES {
                return Err(Failure::limit("a row of a table in it has too much text"));
            }
            row.notes.extend(paragraph.notes);
            return Ok(());
        }
        self.flow.paragraph(&paragraph.text, paragraph.is_heading)?;
        self.tell_notes(paragraph.notes)
    }

    fn tell_notes(&mut self, notes: Vec<(&'static str, String)>) -> Result<(), Failure> {
        for note in notes {
            if let Some(text) = self.notes.get(&note) {
                self.flow.paragraph(text, false)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, row: Row) -> Result<(), Failure> {
        let text = row.text.trim_end_matches(['\t', ' ']);
        if let Some(outer) = self.rows.last_mut() {
            // A table in a cell.
            if !text.is_empty() {
                if !outer.text.is_empty() && !outer.text.ends_with('\t') {
                    outer.text.push(' ');
                }
                outer.text.push_str(text);
            }
            if outer.text.len() > MAX_PARAGRAPH_BYTES {
                return Err(Failure::limit("a row of a table in it has too much text"));
            }
            outer.ends_page |= row.ends_page;
            outer.notes.extend(row.notes);
            return Ok(());
        }
        self.flow.paragraph(text, false)?;
        self.tell_notes(row.notes)?;
        if row.ends_page && self.flow.has_text() {
            self.flow.page_break()?;
        }
        Ok(())
    }
}
