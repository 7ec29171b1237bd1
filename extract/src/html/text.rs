//! The text a reader sees, in pieces.

use std::borrow::Cow;

use ego_tree::iter::Edge;
use ego_tree::{NodeId, NodeRef};
use scraper::node::Element;
use scraper::{Html, Node};

use super::element::Attributes;
use crate::at_sign;

/// Stands in [`Block::text`] where an inline element begins or ends (U+2060, word joiner).
///
/// `inf<b>o@x.com</b>` is one word to a reader, while `<b>Tel</b><i>123</i>` is two; whoever reads
/// the text decides which.
pub const INLINE_BOUNDARY: char = '\u{2060}';

/// Longest visible text that is kept, in bytes, over all blocks.
const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// Longest single block, in bytes. A longer one is split, at a space if there is one.
const MAX_BLOCK_BYTES: usize = 16 * 1024;

/// How much of a name is looked at for what an icon shows, in bytes.
const MAX_ICON_BYTES: usize = 60;

/// One piece of visible text: a paragraph, a table cell, a line up to `<br>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Whitespace folded, not empty, with [`INLINE_BOUNDARY`] marks.
    pub text: String,
    /// The element that it stands in, as its place among the page's regions.
    pub(in super::super) region: usize,
    /// How much of `text` is in links, buttons and labels, in bytes, about.
    pub(in super::super) linked: usize,
    /// How much of that leads to no other page: buttons, labels, links within the page.
    pub(in super::super) pressed: usize,
    /// The symbols in it or between it and the block before, each with its place in `text`, in bytes.
    pub icons: Vec<(usize, Icon)>,
    /// Whether there may be an [`INLINE_BOUNDARY`] in `text`.
    has_boundaries: bool,
}

/// An element that breaks lines, in document order, so that what is in it follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Region {
    pub(in super::super) node: NodeId,
    /// The region around it; the first is around itself.
    pub(in super::super) parent: usize,
    /// The place of the first region that is not in it any more.
    pub(in super::super) end: usize,
}

/// A symbol without text that says what follows it, or stands for a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    Phone,
    Fax,
    /// `@`
    At,
}

impl Block {
    /// The text without boundary marks.
    pub fn plain(&self) -> Cow<'_, str> {
        if self.has_boundaries {
            Cow::Owned(self.text.replace(INLINE_BOUNDARY, ""))
        } else {
            Cow::Borrowed(&self.text)
        }
    }
}

/// Whether an element separates text before it from text after it.
pub(super) fn is_break(name: &str) -> bool {
    // By length first: this is asked for every tag.
    match name.len() {
        1 => name == "p",
        2 => matches!(
            name,
            "br" | "dd"
                | "dl"
                | "dt"
                | "h1"
                | "h2"
                | "h3"
                | "h4"
                | "h5"
                | "h6"
                | "hr"
                | "li"
                | "ol"
                | "td"
                | "th"
                | "tr"
                | "ul"
        ),
        3 => matches!(name, "dir" | "div" | "nav" | "pre"),
        4 => matches!(name, "body" | "form" | "html" | "main" | "menu"),
        5 => matches!(
            name,
            "aside" | "frame" | "table" | "tbody" | "tfoot" | "thead" | "title"
        ),
        6 => matches!(
            name,
            "center"
                | "dialog"
                | "figure"
                | "footer"
                | "header"
                | "hgroup"
                | "legend"
                | "option"
                | "search"
        ),
        7 => matches!(
            name,
            "address" | "article" | "caption" | "details" | "marquee" | "section" | "summary"
        ),
        8 => matches!(name, "fieldset" | "frameset" | "noscript" | "optgroup"),
        10 => matches!(name, "blockquote" | "figcaption"),
        _ => false,
    }
}

/// Elements whose text is not text of the page.
fn is_skipped(name: &str) -> bool {
    match name.len() {
        3 => name == "svg",
        4 => matches!(name, "head" | "math"),
        5 => matches!(name, "audio" | "style" | "title" | "video"),
        6 => matches!(name, "canvas" | "iframe" | "object" | "script" | "select"),
        7 => name == "noembed",
        8 => matches!(name, "datalist" | "noframes" | "template" | "textarea"),
        _ => false,
    }
}

/// An inline element that styles hide: a trap for address collectors, not content.
fn is_hidden_inline(element: &Element) -> bool {
    if element.attrs.is_empty() || is_break(element.name()) {
        return false;
    }
    let Some(style) = element.attribute("style") else {
        return element.attribute("hidden").is_some();
    };
    let style: String = style
        .chars()
        .take(400)
        .filter(|character| !character.is_whitespace())
        .map(|character| character.to_ascii_lowercase())
        .collect();
    style.contains("display:none") || style.contains("visibility:hidden")
}

/// The symbol that an empty element shows, by the names that icon fonts and pictures have (`fa-phone`, `alt="Fax"`).
fn icon(node: NodeRef<'_, Node>, element: &Element) -> Option<Icon> {
    let name = match element.name() {
        "i" | "span" | "em" if !node.has_children() => element.attribute("class"),
        "svg" => element.attribute("class"),
        "img" => return picture(element),
        _ => None,
    }?;
    phone_icon(name).or_else(|| {
        let is_at = name.split_ascii_whitespace().any(at_sign::is_picture);
        is_at.then_some(Icon::At)
    })
}

/// The symbol that a picture shows: its description says so, or its file where it has none.
fn picture(element: &Element) -> Option<Icon> {
    let described = element
        .attribute("alt")
        .filter(|alt| !alt.trim().is_empty());
    let file = || {
        element
            .attribute("src")?
            .split('?')
            .next()?
            .rsplit('/')
            .next()
    };
    described.and_then(phone_icon).or_else(|| {
        let name = described.or_else(file)?;
        at_sign::is_picture(name.trim()).then_some(Icon::At)
    })
}

fn phone_icon(name: &str) -> Option<Icon> {
    let name = name.get(..name.floor_char_boundary(MAX_ICON_BYTES))?;
    let name = name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["fax"]) {
        Some(Icon::Fax)
    } else if has(&["phone", "mobile", "-tel"]) && !has(&["microphone", "headphone"]) {
        Some(Icon::Phone)
    } else {
        None
    }
}

fn is_reversed(element: &Element) -> bool {
    element.attribute("style").is_some_and(|style| {
        let style = style.to_ascii_lowercase();
        style.contains("bidi-override") && style.contains("rtl")
    })
}

/// The visible text of a document, and the regions that it stands in.
pub(super) fn blocks(document: &Html) -> (Vec<Block>, Vec<Region>) {
    let root = document.tree.root();
    let mut collector = Collector::new(root.id());
    let mut skipping = None;
    let mut reversed = None;
    let mut control = None;
    for edge in root.traverse() {
        match edge {
            Edge::Open(node) => match node.value() {
                Node::Element(element) if skipping.is_none() => {
                    collector.boundary(element.name());
                    if is_hidden_inline(element) {
                        skipping = Some(node.id());
                        continue;
                    }
                    if let Some(icon) = icon(node, element) {
                        collector.icons.push((collector.current.len(), icon));
                    }
                    if is_skipped(element.name()) {
                        skipping = Some(node.id());
                        continue;
                    }
                    if is_break(element.name()) {
                        collector.enter(node.id());
                    } else if control.is_none()
                        && let Some(kind) = Control::of(element)
                    {
                        control = Some(node.id());
                        collector.control = Some(kind);
                    }
                    if reversed.is_none() && !element.attrs.is_empty() && is_reversed(element) {
                        reversed = Some((node.id(), collector.current.len()));
                    }
                }
                Node::Text(text) if skipping.is_none() => collector.push(text),
                _ => {}
            },
            Edge::Close(node) => {
                let Node::Element(element) = node.value() else {
                    continue;
                };
                if let Some(id) = skipping {
                    if id == node.id() {
                        skipping = None;
                    }
                    continue;
                }
                if let Some((id, start)) = reversed
                    && id == node.id()
                {
                    collector.reverse_from(start);
                    reversed = None;
                }
                collector.boundary(element.name());
                if is_break(element.name()) {
                    collector.leave();
                } else if control == Some(node.id()) {
                    control = None;
                    collector.control = None;
                }
            }
        }
        if collector.total > MAX_TEXT_BYTES {
            break;
        }
    }
    collector.finish()
}

/// An element whose text is there to be clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    /// Leads to another page.
    Link,
    /// Does something on this one.
    Press,
}

impl Control {
    fn of(element: &Element) -> Option<Self> {
        match element.name() {
            "a" => Some(match element.attribute("href") {
                Some(href) if !href.starts_with(['#']) => Self::Link,
                _ => Self::Press,
            }),
            "button" | "label" => Some(Self::Press),
            _ => None,
        }
    }
}

struct Collector {
    blocks: Vec<Block>,
    regions: Vec<Region>,
    /// The innermost region that is open.
    region: usize,
    current: String,
    /// How much of the current block is in controls, in bytes.
    linked: usize,
    /// How much of that leads to no other page.
    pressed: usize,
    /// What is open around the text.
    control: Option<Control>,
    /// Of the current block, or, if it is empty yet, before it.
    icons: Vec<(usize, Icon)>,
    has_boundaries: bool,
    total: usize,
}

impl Collector {
    /// Begins in the region of the document itself.
    fn new(document: NodeId) -> Self {
        let whole = Region {
            node: document,
            parent: 0,
            end: 0,
        };
        Self {
            blocks: Vec::new(),
            regions: vec![whole],
            region: 0,
            current: String::new(),
            linked: 0,
            pressed: 0,
            control: None,
            icons: Vec::new(),
            has_boundaries: false,
            total: 0,
        }
    }

    /// A region begins.
    fn enter(&mut self, node: NodeId) {
        let place = self.regions.len();
        self.regions.push(Region {
            node,
            parent: self.region,
            end: 0,
        });
        self.region = place;
    }

    /// The innermost region ends.
    fn leave(&mut self) {
        let end = self.regions.len();
        if let Some(region) = self.regions.get_mut(self.region) {
            region.end = end;
            self.region = region.parent;
        }
    }

    fn finish(mut self) -> (Vec<Block>, Vec<Region>) {
        self.flush();
        while self.region != 0 {
            self.leave();
        }
        self.leave();
        (self.blocks, self.regions)
    }

    /// An element begins or ends.
    fn boundary(&mut self, name: &str) {
        if is_break(name) {
            self.flush();
        } else if matches!(name, "a" | "button" | "label" | "img" | "input") {
            // Complete things of their own: never a part of a word.
            self.push(" ");
        } else if !self.current.is_empty() && !self.current.ends_with(INLINE_BOUNDARY) {
            self.current.push(INLINE_BOUNDARY);
            self.has_boundaries = true;
        }
    }

    fn push(&mut self, text: &str) {
        let before = self.current.len();
        self.push_words(text);
        let pushed = self.current.len().saturating_sub(before);
        if self.control.is_some() {
            self.linked += pushed;
        }
        if self.control == Some(Control::Press) {
            self.pressed += pushed;
        }
    }

    fn push_words(&mut self, text: &str) {
        for (is_word, piece) in pieces(text) {
            let has_room = self.current.len() + piece.len() <= MAX_BLOCK_BYTES;
            if is_word && has_room {
                self.current.push_str(piece);
            } else if piece == " " && has_room {
                if !self.current.is_empty() && !self.current.ends_with(' ') {
                    self.current.push(' ');
                }
            } else {
                self.push_characters(piece);
            }
        }
    }

    fn push_characters(&mut self, text: &str) {
        for character in text.chars() {
            if character.is_whitespace() {
                if self.current.len() > MAX_BLOCK_BYTES {
                    self.flush();
                }
                if !self.current.is_empty() && !self.current.ends_with(' ') {
                    self.current.push(' ');
                }
            } else if !is_invisible(character) {
                if self.current.len() > MAX_BLOCK_BYTES * 2 {
                    self.flush();
                }
                self.current.push(character);
            }
        }
    }

    fn reverse_from(&mut self, start: usize) {
        if let Some(tail) = self.current.get(start..) {
            let turned: String = tail.chars().rev().collect();
            self.current.truncate(start);
            self.current.push_str(&turned);
        }
    }

    fn flush(&mut self) {
        let trimmed = self.current.trim_start_matches([' ', INLINE_BOUNDARY]);
        let start = self.current.len() - trimmed.len();
        let text = trimmed.trim_end_matches([' ', INLINE_BOUNDARY]);
        if text.is_empty() {
            // A symbol alone belongs to what follows.
            if self.icons.len() > 1 {
                self.icons.drain(..self.icons.len() - 1);
            }
            self.icons.iter_mut().for_each(|(place, _)| *place = 0);
        } else {
            self.total += text.len();
            let mut icons = std::mem::take(&mut self.icons);
            for (place, _) in &mut icons {
                *place = place.saturating_sub(start).min(text.len());
            }
            self.blocks.push(Block {
                text: text.to_owned(),
                region: self.region,
                linked: self.linked.min(text.len()),
                pressed: self.pressed.min(text.len()),
                icons,
                has_boundaries: self.has_boundaries,
            });
        }
        self.current.clear();
        self.linked = 0;
        self.pressed = 0;
        self.has_boundaries = false;
    }
}

/// A text cut where words in ASCII begin and end, each piece with whether it is one: they are copied whole, and what is between them goes by
/// the character.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_word = rest.bytes().next()?.is_ascii_graphic();
        let length = rest
            .bytes()
            .position(|byte| byte.is_ascii_graphic() != is_word)
            .unwrap_or(rest.len());
        let (piece, tail) = rest.split_at_checked(length)?;
        rest = tail;
        Some((is_word, piece))
    })
}

/// Characters that take no room: soft hyphen, zero-width characters, direction marks, controls.
pub(super) fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
        || character.is_control()
}
