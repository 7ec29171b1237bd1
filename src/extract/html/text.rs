//! The text a reader sees, in pieces.

use std::borrow::Cow;

use ego_tree::NodeRef;
use ego_tree::iter::Edge;
use scraper::node::Element;
use scraper::{Html, Node};

use super::{Attributes, is_invisible};

/// Stands in [`Block::text`] where an inline element begins or ends (U+2060, word joiner).
///
/// `inf<b>o@x.com</b>` is one word to a reader, while `<b>Tel</b><i>123</i>` is two; whoever reads
/// the text decides which.
pub const INLINE_BOUNDARY: char = '\u{2060}';

/// Longest visible text that is kept, in bytes, over all blocks.
const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// Longest single block, in bytes. A longer one is split, at a space if there is one.
const MAX_BLOCK_BYTES: usize = 16 * 1024;

/// One piece of visible text: a paragraph, a table cell, a line up to `<br>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Whitespace folded, not empty, with [`INLINE_BOUNDARY`] marks.
    pub text: String,
    /// Whether it stands in navigation, header or footer rather than in the content.
    pub is_boilerplate: bool,
}

impl Block {
    /// The text without boundary marks.
    pub fn plain(&self) -> Cow<'_, str> {
        if self.text.contains(INLINE_BOUNDARY) {
            Cow::Owned(self.text.replace(INLINE_BOUNDARY, ""))
        } else {
            Cow::Borrowed(&self.text)
        }
    }
}

/// Whether an element separates text before it from text after it.
pub(super) fn is_break(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "br"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "dialog"
            | "dir"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "frame"
            | "frameset"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hgroup"
            | "hr"
            | "html"
            | "legend"
            | "li"
            | "main"
            | "marquee"
            | "menu"
            | "nav"
            | "ol"
            | "optgroup"
            | "option"
            | "p"
            | "pre"
            | "search"
            | "section"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "title"
            | "tr"
            | "ul"
    )
}

/// Elements whose text is not text of the page.
fn is_skipped(name: &str) -> bool {
    matches!(
        name,
        "audio"
            | "canvas"
            | "datalist"
            | "head"
            | "iframe"
            | "math"
            | "noembed"
            | "noframes"
            | "object"
            | "script"
            | "select"
            | "style"
            | "svg"
            | "template"
            | "textarea"
            | "title"
            | "video"
    )
}

/// An inline element that styles hide: a trap for address collectors, not content.
fn is_hidden_inline(element: &Element) -> bool {
    if is_break(element.name()) {
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

fn is_reversed(element: &Element) -> bool {
    element.attribute("style").is_some_and(|style| {
        let style = style.to_ascii_lowercase();
        style.contains("bidi-override") && style.contains("rtl")
    })
}

/// Collects the visible text of a document.
pub(super) fn blocks(document: &Html) -> Vec<Block> {
    let mut collector = Collector::default();
    let mut skipping = None;
    let mut reversed = None;
    let mut boilerplate = None;
    for edge in document.tree.root().traverse() {
        match edge {
            Edge::Open(node) => match node.value() {
                Node::Element(element) if skipping.is_none() => {
                    if is_skipped(element.name()) || is_hidden_inline(element) {
                        collector.boundary(element.name());
                        skipping = Some(node.id());
                        continue;
                    }
                    collector.boundary(element.name());
                    if boilerplate.is_none() && is_boilerplate(node, element) {
                        boilerplate = Some(node.id());
                        collector.is_boilerplate = true;
                    }
                    if reversed.is_none() && is_reversed(element) {
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
                if boilerplate == Some(node.id()) {
                    boilerplate = None;
                    collector.is_boilerplate = false;
                }
            }
        }
        if collector.total > MAX_TEXT_BYTES {
            break;
        }
    }
    collector.flush();
    collector.blocks
}

/// Whether what stands in this element is not content. The header of an article has its headline.
fn is_boilerplate(node: NodeRef<'_, Node>, element: &Element) -> bool {
    match element.name() {
        "nav" | "footer" | "aside" => true,
        "header" => node
            .parent()
            .and_then(|parent| parent.value().as_element())
            .is_none_or(|parent| parent.name() != "article"),
        _ => element.attribute("role").is_some_and(|role| {
            matches!(
                role,
                "navigation" | "contentinfo" | "complementary" | "search"
            )
        }),
    }
}

#[derive(Default)]
struct Collector {
    blocks: Vec<Block>,
    current: String,
    total: usize,
    is_boilerplate: bool,
}

impl Collector {
    /// An element begins or ends.
    fn boundary(&mut self, name: &str) {
        if is_break(name) {
            self.flush();
        } else if matches!(name, "a" | "button" | "label" | "img" | "input") {
            // Complete things of their own: never a part of a word.
            self.push(" ");
        } else if !self.current.is_empty() && !self.current.ends_with(INLINE_BOUNDARY) {
            self.current.push(INLINE_BOUNDARY);
        }
    }

    fn push(&mut self, text: &str) {
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
        let text = self.current.trim_matches([' ', INLINE_BOUNDARY]);
        if !text.is_empty() {
            self.total += text.len();
            self.blocks.push(Block {
                text: text.to_owned(),
                is_boilerplate: self.is_boilerplate,
            });
        }
        self.current.clear();
    }
}
