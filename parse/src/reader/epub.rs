//! Books: a chapter is a page, called by its heading.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use gleaner_extract::charset;

use super::flow::Flow;
use super::package::resolved;
use super::{Sink, html, open, opened};
use crate::archive::Archive;
use crate::failure::Failure;
use crate::html::title;
use crate::protocol::Code;
use crate::sniff::Kind;
use crate::xml::{Node, Xml};

/// The longest chapter, in bytes. It is held as a whole.
const MAX_CHAPTER_BYTES: u64 = 64 << 20;
/// The longest title, in bytes.
const MAX_TITLE_BYTES: usize = 2_000;
/// The most chapters, and the most files that are declared.
const MAX_ITEMS: usize = 50_000;

pub(super) fn read<R: Read + Seek>(
    mut archive: Archive<R>,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let package = package(&mut archive)?;
    let book = book(&mut archive, &package)?;
    let locked = locked(&mut archive)?;
    if book.chapters.iter().any(|chapter| locked.contains(chapter)) {
        return Err(Failure::new(
            Code::UnsupportedType,
            "It is protected against copying (DRM), and nothing here opens such books.",
        ));
    }
    let mut told = opened(Kind::Epub);
    told.title = book.title;
    open(sink, told)?;
    let mut flow = Flow::new(sink);
    for chapter in book.chapters {
        match chapter_text(&mut archive, &chapter) {
            Ok(text) => {
                flow.locator(html::heading(&text).or_else(|| title(&text)))?;
                html::text(&text, &mut flow)?;
                flow.whole_page()?;
            }
            // The others may well be whole.
            Err(failure) if failure.code == Code::Corrupt => {
                flow.locator(None)?;
                flow.page_failed(failure.code)?;
            }
            Err(failure) => return Err(failure),
        }
    }
    flow.finish()
}

/// The file that says what is in the book.
fn package<R: Read + Seek>(archive: &mut Archive<R>) -> Result<String, Failure> {
    if let Some(entry) = archive.entry("META-INF/container.xml")? {
        let mut xml = Xml::new(entry.buffered());
        loop {
            match xml.next()? {
                Node::Start(tag) if tag.is("rootfile") => {
                    if let Some(path) = tag.attribute("full-path") {
                        return Ok(resolved("", &path));
                    }
                }
                Node::Eof => break,
                _ => {}
            }
        }
    }
    let found = archive.names().find(|name| name.ends_with(".opf"));
    found
        .map(str::to_owned)
        .ok_or_else(|| Failure::corrupt("it does not say what is in it"))
}

#[derive(Default)]
struct Book {
    title: Option<String>,
    /// Files in the order they are read.
    chapters: Vec<String>,
}

fn book<R: Read + Seek>(archive: &mut Archive<R>, package: &str) -> Result<Book, Failure> {
    let folder = package.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut book = Book::default();
    let mut items: HashMap<String, String> = HashMap::new();
    let Some(entry) = archive.entry(package)? else {
        return Err(Failure::corrupt(format_args!("{package} is not in it")));
    };
    let mut xml = Xml::new(entry.buffered());
    loop {
        let (mut is_title, mut item, mut chapter) = (false, None, None);
        match xml.next()? {
            Node::Start(tag) if tag.is("title") => is_title = book.title.is_none(),
            Node::Start(tag) if tag.is("item") => {
                item = tag.attribute("id").zip(tag.attribute("href"));
            }
            Node::Start(tag) if tag.is("itemref") => chapter = tag.attribute("idref"),
            Node::Eof => break,
            _ => {}
        }
        if is_title {
            let title = xml.text(MAX_TITLE_BYTES)?;
            book.title = Some(title.trim().to_owned()).filter(|title| !title.is_empty());
        }
        if let Some((id, href)) = item {
            items.insert(id, resolved(folder, &href));
        }
        if let Some(path) = chapter.and_then(|id| items.get(&id)) {
            book.chapters.push(path.clone());
        }
        if items.len() > MAX_ITEMS || book.chapters.len() > MAX_ITEMS {
            return Err(Failure::limit("it declares too many files"));
        }
    }
    Ok(book)
}

/// The files that are encrypted. Fonts often are, and nobody minds.
fn locked<R: Read + Seek>(archive: &mut Archive<R>) -> Result<HashSet<String>, Failure> {
    let mut found = HashSet::new();
    let Some(entry) = archive.entry("META-INF/encryption.xml")? else {
        return Ok(found);
    };
    let mut xml = Xml::new(entry.buffered());
    loop {
        match xml.next()? {
            Node::Start(tag) if tag.is("CipherReference") && found.len() < MAX_ITEMS => {
                found.extend(tag.attribute("URI").map(|path| resolved("", &path)));
            }
            Node::Eof => return Ok(found),
            _ => {}
        }
    }
}

fn chapter_text<R: Read + Seek>(archive: &mut Archive<R>, name: &str) -> Result<String, Failure> {
    let Some(entry) = archive.entry(name)? else {
        return Err(Failure::corrupt("a chapter is not in it"));
    };
    let mut bytes = Vec::new();
    entry.take(MAX_CHAPTER_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_CHAPTER_BYTES {
        return Err(Failure::limit("a chapter of it is longer than 64 MiB"));
    }
    Ok(charset::decode(&bytes, None, None).into_owned())
}
