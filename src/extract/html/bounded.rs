//! The HTML parser, with bounds.
//!
//! html5ever has none: open elements are a stack that many rules walk for every tag, formatting
//! elements are re-created for every paragraph, and each attribute is compared with all others of
//! its tag. A few hundred kilobytes of hostile markup cost minutes or gigabytes. So a wrapper
//! stands between its tokenizer and its tree builder and drops tags that nest too deep, and the
//! input is fed in small pieces so that parsing can stop between two of them.

use std::cell::Cell;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use scraper::{Html, HtmlTreeSink};

/// Deepest nesting of elements that is kept. Browsers stop at 512.
pub const MAX_DEPTH: usize = 256;

/// Most nodes (elements, texts, comments) that are kept.
pub const MAX_NODES: usize = 250_000;

/// Most attributes in one tag.
pub const MAX_TAG_ATTRIBUTES: usize = 3_000;

/// Largest piece handed to the tokenizer at once, in bytes.
const PIECE_BYTES: usize = 4 * 1024;

type Handle = <HtmlTreeSink as html5ever::tree_builder::TreeSink>::Handle;

/// Parses `html`; the flag says whether a bound was hit.
pub(super) fn parse(html: &str) -> (Html, bool) {
    let options = TreeBuilderOpts {
        scripting_enabled: false,
        ..TreeBuilderOpts::default()
    };
    let sink = HtmlTreeSink::new(Html::new_document());
    let bounded = BoundedSink {
        builder: TreeBuilder::new(sink, options),
        depth: Cell::new(0),
        dropped: Cell::new(0),
        is_bounded: Cell::new(false),
        markup_seen: Cell::new(false),
        is_raw: Cell::new(false),
    };
    let tokenizer = Tokenizer::new(bounded, TokenizerOpts::default());
    let queue = BufferQueue::default();
    let whole = StrTendril::from_slice(html);
    let mut scan = TagScan::default();
    let mut start = 0;
    while start < html.len() {
        let end = piece_end(html, start);
        let Some(piece) = html.get(start..end) else {
            break;
        };
        scan.feed(piece);
        if scan.attributes > MAX_TAG_ATTRIBUTES || tokenizer.sink.node_count() > MAX_NODES {
            tokenizer.sink.is_bounded.set(true);
            break;
        }
        let (Ok(offset), Ok(length)) = (u32::try_from(start), u32::try_from(end - start)) else {
            break;
        };
        queue.push_back(whole.subtendril(offset, length));
        tokenizer.sink.markup_seen.set(false);
        // The tokenizer pauses after each script, so that a browser could run it.
        while !matches!(tokenizer.feed(&queue), html5ever::TokenizerResult::Done) {}
        if tokenizer.sink.markup_seen.get() {
            scan = TagScan {
                is_raw: tokenizer.sink.is_raw.get(),
                ..TagScan::default()
            };
        }
        start = end;
    }
    tokenizer.end();
    let is_bounded = tokenizer.sink.is_bounded.get();
    let document = tokenizer.sink.builder.sink.0.into_inner();
    (document, is_bounded)
}

/// A piece ends after `>`, where a tag can end, or at its size limit.
fn piece_end(html: &str, start: usize) -> usize {
    let limit = html
        .floor_char_boundary(start.saturating_add(PIECE_BYTES))
        .max(start + 1);
    let piece = html.as_bytes().get(start..limit).unwrap_or_default();
    piece
        .iter()
        .position(|byte| *byte == b'>')
        .map_or(limit, |position| start + position + 1)
}

/// The tree builder behind a filter on tags.
struct BoundedSink {
    builder: TreeBuilder<Handle, HtmlTreeSink>,
    /// Depth of the newest element; too large by what has been closed since, never too small by
    /// more than what the tokenizer's next token opens.
    depth: Cell<usize>,
    /// Start tags dropped whose end tags have not come yet.
    dropped: Cell<usize>,
    is_bounded: Cell<bool>,
    /// A tag, comment or doctype was completed since this was last cleared.
    markup_seen: Cell<bool>,
    /// The tokenizer reads raw text (script, style, title …).
    is_raw: Cell<bool>,
}

impl BoundedSink {
    fn node_count(&self) -> usize {
        self.builder.sink.0.borrow().tree.nodes().len()
    }

    fn newest_depth(&self) -> usize {
        let html = self.builder.sink.0.borrow();
        html.tree
            .nodes()
            .next_back()
            .map_or(0, |node| node.ancestors().take(MAX_DEPTH).count())
    }

    /// Whether the tree builder gets this tag.
    fn admits(&self, tag: &Tag) -> bool {
        match tag.kind {
            TagKind::StartTag => {
                if self.depth.get() < MAX_DEPTH || is_void(tag) {
                    return true;
                }
                self.is_bounded.set(true);
                self.dropped.set(self.dropped.get() + 1);
                false
            }
            TagKind::EndTag => {
                if self.dropped.get() > 0 {
                    self.dropped.set(self.dropped.get() - 1);
                    return false;
                }
                self.depth.set(self.depth.get().saturating_sub(1));
                true
            }
        }
    }
}

impl TokenSink for BoundedSink {
    type Handle = Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Handle> {
        let is_start_tag = match &token {
            Token::TagToken(tag) => {
                self.markup_seen.set(true);
                self.is_raw.set(false);
                if !self.admits(tag) {
                    return TokenSinkResult::Continue;
                }
                tag.kind == TagKind::StartTag
            }
            Token::CommentToken(_) | Token::DoctypeToken(_) => {
                self.markup_seen.set(true);
                false
            }
            _ => false,
        };
        let result = self.builder.process_token(token, line);
        if is_start_tag {
            self.depth.set(self.newest_depth());
        }
        if matches!(
            result,
            TokenSinkResult::RawData(_) | TokenSinkResult::Plaintext
        ) {
            self.is_raw.set(true);
        }
        result
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder
            .adjusted_current_node_present_but_not_in_html_namespace()
    }
}

fn is_void(tag: &Tag) -> bool {
    matches!(
        &*tag.name,
        "area" | "base" | "br" | "col" | "embed" | "hr" | "img" | "input" | "link" | "meta" | "wbr"
    )
}

/// Counts the attributes of the tag that the tokenizer is reading.
///
/// Follows the states of the HTML standard (13.2.5) closely enough that it is in a tag whenever the
/// tokenizer is; it is put back in step after every tag, comment and doctype.
#[derive(Default)]
struct TagScan {
    state: ScanState,
    attributes: usize,
    is_raw: bool,
    /// What follows `<!`, as far as it is still a prefix of `[CDATA[`.
    cdata: usize,
}

#[derive(Default, Clone, Copy)]
enum ScanState {
    #[default]
    Text,
    TagOpen,
    EndTagOpen,
    MarkupDeclaration,
    /// In a comment or doctype, to its end.
    Other,
    TagName,
    BeforeAttribute,
    AttributeName,
    AfterAttributeName,
    BeforeValue,
    Quoted(u8),
    Unquoted,
}

impl TagScan {
    fn feed(&mut self, piece: &str) {
        for byte in piece.bytes() {
            self.state = self.step(byte);
        }
    }

    fn step(&mut self, byte: u8) -> ScanState {
        use ScanState as S;
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c');
        match (self.state, byte) {
            (S::Text, b'<') => S::TagOpen,
            (S::Text, _) => S::Text,
            (S::TagOpen, b'/') => S::EndTagOpen,
            (S::TagOpen, b'<') => S::TagOpen,
            (S::TagOpen, _) if self.is_raw => S::Text,
            (S::TagOpen, b'!') => {
                self.cdata = 0;
                S::MarkupDeclaration
            }
            (S::TagOpen, b'?') => S::Other,
            (S::TagOpen, b'a'..=b'z' | b'A'..=b'Z') => self.open_tag(),
            (S::TagOpen, _) => S::Text,
            (S::EndTagOpen, b'a'..=b'z' | b'A'..=b'Z') => self.open_tag(),
            (S::EndTagOpen, b'<') if self.is_raw => S::TagOpen,
            (S::EndTagOpen, b'>') => S::Text,
            (S::EndTagOpen, _) if self.is_raw => S::Text,
            (S::EndTagOpen, _) => S::Other,
            (S::MarkupDeclaration, _) => {
                if b"[CDATA[".get(self.cdata) != Some(&byte) {
                    return S::Other;
                }
                self.cdata += 1;
                if self.cdata == 7 {
                    S::Text
                } else {
                    S::MarkupDeclaration
                }
            }
            (S::Other, _) => S::Other,
            (S::Quoted(quote), _) if byte == quote => S::BeforeAttribute,
            (S::Quoted(quote), _) => S::Quoted(quote),
            // In a tag, outside quotes.
            (_, b'>') => S::Text,
            (S::TagName, b'/') => S::BeforeAttribute,
            (S::TagName, _) if is_space => S::BeforeAttribute,
            (S::TagName, _) => S::TagName,
            (S::AttributeName | S::AfterAttributeName, b'=') => S::BeforeValue,
            (S::AttributeName | S::AfterAttributeName, b'/') => S::BeforeAttribute,
            (S::AttributeName | S::AfterAttributeName, _) if is_space => S::AfterAttributeName,
            (S::AttributeName, _) => S::AttributeName,
            (S::BeforeAttribute, b'/') => S::BeforeAttribute,
            (S::BeforeAttribute, _) if is_space => S::BeforeAttribute,
            (S::BeforeAttribute | S::AfterAttributeName, _) => {
                self.attributes += 1;
                S::AttributeName
            }
            (S::BeforeValue, b'"' | b'\'') => S::Quoted(byte),
            (S::BeforeValue, _) if is_space => S::BeforeValue,
            (S::Unquoted, _) if is_space => S::BeforeAttribute,
            (S::BeforeValue | S::Unquoted, _) => S::Unquoted,
        }
    }

    fn open_tag(&mut self) -> ScanState {
        self.attributes = 0;
        ScanState::TagName
    }
}
