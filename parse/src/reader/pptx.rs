//! Presentations: a slide is a page, called by its title; its notes stand below it.

use std::io::{BufRead, Read, Seek};

use super::flow::Flow;
use super::package::{by_id, has_macros, main_part, relationships, title};
use super::{Sink, open, opened};
use crate::archive::Archive;
use crate::failure::Failure;
use crate::protocol::Code;
use crate::sniff::Kind;
use crate::xml::{Node, Xml};

/// The most text of one slide, in bytes.
const MAX_SLIDE_BYTES: usize = 16 << 20;
/// The most slides; beyond that it is no presentation.
const MAX_SLIDES: usize = 50_000;

pub(super) fn read<R: Read + Seek>(
    mut archive: Archive<R>,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let main = main_part(&mut archive, "ppt/presentation.xml")?;
    let slides = slides(&mut archive, &main)?;
    let mut told = opened(Kind::Pptx);
    told.title = title(&mut archive, "docProps/core.xml")?;
    told.has_macros = has_macros(&archive);
    told.pages = u32::try_from(slides.len()).ok();
    open(sink, told)?;
    let mut flow = Flow::new(sink);
    for slide in slides {
        match slide_text(&mut archive, &slide) {
            Ok(slide) => {
                flow.locator(slide.title)?;
                flow.push(&slide.text)?;
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

/// The slides' parts as they are shown.
fn slides<R: Read + Seek>(archive: &mut Archive<R>, main: &str) -> Result<Vec<String>, Failure> {
    let targets = by_id(relationships(archive, main)?);
    let mut found = Vec::new();
    let Some(entry) = archive.entry(main)? else {
        return Ok(found);
    };
    let mut xml = Xml::new(entry.buffered());
    loop {
        match xml.next()? {
            Node::Start(tag) if tag.is("sldId") => {
                let id = tag.relationship().unwrap_or_default();
                // A slide that is missing keeps its place.
                found.push(targets.get(&id).cloned().unwrap_or_default());
                if found.len() > MAX_SLIDES {
                    return Err(Failure::limit(format_args!(
                        "it has more than {MAX_SLIDES} slides"
                    )));
                }
            }
            Node::Eof => return Ok(found),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Slide {
    title: Option<String>,
    text: String,
}

fn slide_text<R: Read + Seek>(archive: &mut Archive<R>, part: &str) -> Result<Slide, Failure> {
    let mut slide = Slide::default();
    match archive.entry(part)? {
        Some(entry) => shapes(&mut Xml::new(entry.buffered()), &mut slide)?,
        None => return Err(Failure::corrupt("a slide is not in it")),
    }
    for relationship in relationships(archive, part)? {
        if matches!(&*relationship.kind, "notesSlide" | "diagramData")
            && let Some(entry) = archive.entry(&relationship.target)?
        {
            let mut more = Slide::default();
            shapes(&mut Xml::new(entry.buffered()), &mut more)?;
            slide.text.push('\n');
            slide.text.push_str(&more.text);
        }
    }
    Ok(slide)
}

/// What a shape is there for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Text,
    Title,
    /// The number of the slide, the date, the picture of the slide beside its notes.
    Furniture,
}

fn shapes<R: BufRead>(xml: &mut Xml<R>, slide: &mut Slide) -> Result<(), Failure> {
    let mut role = Role::default();
    let mut in_text = false;
    let mut in_cell = false;
    let mut line = String::new();
    let mut titles: Vec<String> = Vec::new();
    loop {
        match xml.next()? {
            Node::Start(tag) => match &*tag.name() {
                "sp" => role = Role::Text,
                "ph" => {
                    role = match tag.attribute("type").as_deref() {
                        Some("title" | "ctrTitle") => Role::Title,
                        Some("sldNum" | "dt" | "sldImg" | "hdr") => Role::Furniture,
                        _ => Role::Text,
                    };
                }
                "t" => in_text = true,
                "br" => line.push(if in_cell { ' ' } else { '\n' }),
                "tc" => in_cell = true,
                "Fallback" => xml.skip()?,
                _ => {}
            },
            Node::End(name) => match &*name {
                "t" => in_text = false,
                "sp" => role = Role::Text,
                "tc" => {
                    in_cell = false;
                    line.push('\t');
                }
                "p" if in_cell => line.push(' '),
                "p" | "tr" => {
                    let text = line.trim_end();
                    if !text.trim().is_empty() && role != Role::Furniture {
                        slide.text.push_str(&text.replace(" \t", "\t"));
                        slide.text.push('\n');
                        if role == Role::Title {
                            titles.push(text.replace('\n', " "));
                        }
                    }
                    line.clear();
                    if slide.text.len() > MAX_SLIDE_BYTES {
                        return Err(Failure::limit("a slide of it has too much text"));
                    }
                }
                _ => {}
            },
            Node::Text(_) if line.len() > MAX_SLIDE_BYTES => {
                return Err(Failure::limit("a slide of it has too much text"));
            }
            Node::Text(text) if in_text => line.push_str(&text),
            Node::Text(_) => {}
            Node::Eof => break,
        }
    }
    if !titles.is_empty() {
        slide.title = Some(titles.join(" "));
    }
    Ok(())
}
