//! Turns the bytes of a response into a document that is safe to walk.
//!
//! [`decode`] finds the character encoding, [`Page::parse`] builds the tree. Both are bounded: see
//! [`MAX_HTML_BYTES`], [`MAX_DEPTH`], [`MAX_NODES`] and [`MAX_TAG_ATTRIBUTES`]. A document beyond a
//! bound is cut, never refused; [`Page::is_truncated`] says so.

mod bounded;
mod element;
mod quick;
mod text;

use std::borrow::Cow;

use ego_tree::{NodeId, iter::Edge};
use scraper::{Html, Node, node::Element};
use url::Url;

pub use self::bounded::{MAX_DEPTH, MAX_NODES, MAX_TAG_ATTRIBUTES};
pub(super) use self::element::Attributes;
pub(super) use self::text::Region;
pub use self::text::{Block, INLINE_BOUNDARY, Icon};
use super::charset;

/// How much of a document is looked at, in bytes (4 MiB). The rest is ignored.
pub const MAX_HTML_BYTES: usize = 4 * 1024 * 1024;

/// A response body as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The text, without byte order mark and without NUL characters.
    pub text: String,
    /// The name of the encoding that was used, as in the Encoding Standard (`UTF-8`,
    /// `windows-1252`, …).
    pub encoding: &'static str,
}

/// Decodes a response body, as [`decode_from`] does for a page of an unknown host.
pub fn decode(body: &[u8], content_type: Option<&str>) -> Decoded {
    decode_from(None, body, content_type)
}

/// Decodes the body of a page of this host, in the encoding that [`charset::encoding`] finds.
///
/// NUL characters are dropped. Only the first [`MAX_HTML_BYTES`] are read.
pub fn decode_from(host: Option<&str>, body: &[u8], content_type: Option<&str>) -> Decoded {
    let body = body.get(..MAX_HTML_BYTES).unwrap_or(body);
    let (text, encoding, _) = charset::encoding(body, content_type, host).decode(body);
    Decoded {
        text: without_nul(text).into_owned(),
        encoding: encoding.name(),
    }
}

fn without_nul(text: Cow<'_, str>) -> Cow<'_, str> {
    if memchr::memchr(0, text.as_bytes()).is_none() {
        return text;
    }
    Cow::Owned(text.replace('\0', ""))
}

/// A parsed document.
///
/// Not `Send` (the tree shares text buffers without atomics): parse, extract and drop it within one
/// synchronous function.
#[derive(Debug)]
pub struct Page {
    document: Html,
    /// All elements in document order: they are gone through many times.
    elements: Vec<NodeId>,
    /// Those with an `href`.
    links: Vec<NodeId>,
    blocks: Vec<Block>,
    regions: Vec<Region>,
    is_truncated: bool,
}

impl Page {
    /// Parses a document as a browser without scripts would (`<noscript>` is content).
    ///
    /// Never fails, never recurses, and takes bounded time and memory for any input: at most
    /// [`MAX_HTML_BYTES`] are read; elements below [`MAX_DEPTH`] become children of the element at
    /// that depth; parsing stops at [`MAX_NODES`] nodes, or at a tag with more than
    /// [`MAX_TAG_ATTRIBUTES`] attributes.
    pub fn parse(html: &str) -> Self {
        let end = html.floor_char_boundary(MAX_HTML_BYTES);
        let (head, is_cut) = match html.get(..end) {
            Some(head) if end < html.len() => (head, true),
            _ => (html, false),
        };
        let (document, is_bounded) = bounded::parse(&without_nul(Cow::Borrowed(head)));
        let (blocks, regions) = text::blocks(&document);
        let mut elements = Vec::with_capacity(document.tree.nodes().len() / 2);
        let mut links = Vec::new();
        for node in document.tree.root().descendants() {
            if let Node::Element(element) = node.value() {
                elements.push(node.id());
                if element.attribute("href").is_some() {
                    links.push(node.id());
                }
            }
        }
        Self {
            document,
            elements,
            links,
            blocks,
            regions,
            is_truncated: is_cut || is_bounded,
        }
    }

    /// The tree, for selectors of your own. It may be deep: walk it with `traverse`, not recursion.
    pub fn document(&self) -> &Html {
        &self.document
    }

    /// The visible text, one entry per block-level piece, in document order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The elements that the blocks stand in, the document itself first.
    pub(super) fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The places of the regions around a region, the nearest first.
    pub(super) fn regions_around(&self, at: usize) -> impl Iterator<Item = usize> {
        let parent = |at: &usize| (*at != 0).then(|| self.regions[*at].parent);
        std::iter::successors(parent(&at), parent)
    }

    /// The name of the element that is a region; empty for the document itself.
    pub(super) fn region_name(&self, at: usize) -> &str {
        let region = self.regions.get(at);
        region
            .and_then(|region| self.element(region.node))
            .map_or("", Element::name)
    }

    /// The element at a node.
    pub(super) fn element(&self, node: NodeId) -> Option<&Element> {
        self.document.tree.get(node)?.value().as_element()
    }

    /// Whether a bound cut the document or changed its shape.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// All elements in document order, with their node for looking around.
    pub fn elements(&self) -> impl Iterator<Item = (ego::NodeRef<'_>, &Element)> {
        self.elements.iter().filter_map(|id| {
            let node = self.document.tree.get(*id)?;
            Some((node, node.value().as_element()?))
        })
    }

    /// All elements with an `href` in document order, with that.
    pub(super) fn links(&self) -> impl Iterator<Item = (ego::NodeRef<'_>, &Element, &str)> {
        self.links.iter().filter_map(|id| {
            let node = self.document.tree.get(*id)?;
            let element = node.value().as_element()?;
            Some((node, element, element.attribute("href")?))
        })
    }

    /// The language that the document says it is in (a BCP 47 tag, if it keeps to the rules).
    pub fn language(&self) -> Option<&str> {
        self.elements()
            .map(|(_, element)| element)
            .find(|element| element.name() == "html")?
            .attribute("lang")
            .map(str::trim)
            .filter(|language| !language.is_empty())
    }

    /// The URL against which links resolve: `<base href>` or the page's own.
    pub fn base_url(&self, url: &Url) -> Url {
        self.links()
            .find(|(_, element, _)| element.name() == "base")
            .and_then(|(_, _, href)| url.join(href.trim()).ok())
            .filter(|base| matches!(base.scheme(), "http" | "https"))
            .unwrap_or_else(|| url.clone())
    }
}

/// Shorter names for the tree's node types.
pub(super) mod ego {
    use scraper::Node;

    /// A node of the tree.
    pub(in super::super) type NodeRef<'a> = ego_tree::NodeRef<'a, Node>;
}

/// The text below a node, whitespace folded, at most `limit` characters.
pub(super) fn node_text(node: ego::NodeRef<'_>, limit: usize) -> String {
    let mut out = String::new();
    for child in node.descendants() {
        match child.value() {
            Node::Text(text) if !is_raw_text(child) => push_folded(&mut out, text),
            Node::Element(element) if text::is_break(element.name()) => push_folded(&mut out, " "),
            _ => {}
        }
        if out.len() >= limit.saturating_mul(4) {
            break;
        }
    }
    bound(out.trim(), limit)
}

/// The lines of the text below a node as a browser would break them, each folded, at most `limit` characters in all.
pub(super) fn node_lines(node: ego::NodeRef<'_>, limit: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut left = limit;
    for edge in node.traverse() {
        let (child, is_open) = match edge {
            Edge::Open(child) => (child, true),
            Edge::Close(child) => (child, false),
        };
        match child.value() {
            Node::Text(text) if is_open && !is_raw_text(child) => {
                let text: String = text.chars().take(left).collect();
                left -= text.chars().count();
                if let Some(line) = lines.last_mut() {
                    push_folded(line, &text);
                }
            }
            Node::Element(element) if text::is_break(element.name()) => lines.push(String::new()),
            _ => {}
        }
        if left == 0 {
            break;
        }
    }
    lines
        .iter()
        .filter_map(|line| folded(line, limit))
        .collect()
}

/// Whether a node is for readers without scripts, or for nobody yet.
pub(super) fn is_for_others(node: ego::NodeRef<'_>) -> bool {
    node.ancestors()
        .filter_map(|ancestor| ancestor.value().as_element())
        .any(|ancestor| matches!(ancestor.name(), "noscript" | "template"))
}

fn is_raw_text(node: ego::NodeRef<'_>) -> bool {
    node.parent()
        .and_then(|parent| parent.value().as_element())
        .is_some_and(|parent| matches!(parent.name(), "script" | "style" | "template"))
}

/// Appends `text` with each run of whitespace (and of invisible characters) as one space.
pub(super) fn push_folded(out: &mut String, text: &str) {
    for (is_word, piece) in text::pieces(text) {
        if is_word {
            out.push_str(piece);
        } else {
            push_folded_characters(out, piece);
        }
    }
}

fn push_folded_characters(out: &mut String, text: &str) {
    for character in text.chars() {
        if character.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !text::is_invisible(character) {
            out.push(character);
        }
    }
}

/// Folds whitespace, trims, and cuts at `limit` characters. `None` when nothing is left.
pub(super) fn folded(text: &str, limit: usize) -> Option<String> {
    let mut out = String::new();
    push_folded(&mut out, text);
    let out = bound(out.trim(), limit);
    (!out.is_empty()).then_some(out)
}

fn bound(text: &str, limit: usize) -> String {
    text.chars()
        .take(limit)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
#[path = "html/tests.rs"]
mod tests;
