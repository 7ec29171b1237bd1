//! The HTML parser, with bounds.
//!
//! html5ever has none: open elements are a stack that many rules walk for every tag, formatting
//! elements are re-created for every paragraph, and each attribute is compared with all others of
//! its tag. A few hundred kilobytes of hostile markup cost minutes or gigabytes. So a wrapper
//! stands between its tokenizer and its tree builder and drops tags that nest too deep, and the
//! input is fed in small pieces so that parsing can stop between two of them. Most pieces do not even
//! go through its tokenizer: see [`quick`].

use std::borrow::Cow;
use std::cell::Cell;

use ego_tree::Tree;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use scraper::{Html, HtmlTreeSink, Node};

use super::quick;

/// Deepest nesting of elements that is kept. Browsers stop at 512.
pub const MAX_DEPTH: usize = 256;

/// Most nodes (elements, texts, comments) that are kept.
pub const MAX_NODES: usize = 250_000;

/// Most attributes in one tag.
pub const MAX_TAG_ATTRIBUTES: usize = 3_000;

/// Largest piece handed to the tokenizer at once, in bytes.
const PIECE_BYTES: usize = 4 * 1024;

/// How much of a document makes one node, about.
const BYTES_PER_NODE: usize = 32;

type Handle = <HtmlTreeSink as html5ever::tree_builder::TreeSink>::Handle;

/// Parses `html`; the flag says whether a bound was hit.
pub(super) fn parse(html: &str) -> (Html, bool) {
    parse_by(html, Way::Quick)
}

/// Who reads the markup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// [`super::quick`] where it can, html5ever's tokenizer else.
    Quick,
    /// html5ever's tokenizer alone; both give the same tree.
    #[cfg(test)]
    Plain,
}

fn parse_by(html: &str, way: Way) -> (Html, bool) {
    let html = newlines(html.strip_prefix('\u{feff}').unwrap_or(html));
    let options = TreeBuilderOpts {
        scripting_enabled: false,
        ..TreeBuilderOpts::default()
    };
    let mut document = Html::new_document();
    // Growing would copy all nodes, again and again.
    document.tree =
        Tree::with_capacity(Node::Document, (html.len() / BYTES_PER_NODE).min(MAX_NODES));
    let sink = HtmlTreeSink::new(document);
    let bounded = BoundedSink {
        builder: TreeBuilder::new(sink, options),
        depth: Cell::new(0),
        dropped: Cell::new(0),
        is_bounded: Cell::new(false),
        markup_seen: Cell::new(false),
        is_raw: Cell::new(false),
    };
    let reading = TokenizerOpts {
        // It would drop a byte order mark at the start of any piece.
        discard_bom: false,
        ..TokenizerOpts::default()
    };
    let tokenizer = Tokenizer::new(bounded, reading);
    let queue = BufferQueue::default();
    let document = quick::Document::new(&html);
    let mut scan = TagScan::default();
    // Whether the tokenizer is between two pieces of markup, where another may go on.
    let mut is_between = way == Way::Quick;
    let mut start = 0;
    while start < html.len() {
        if tokenizer.sink.node_count() > MAX_NODES {
            tokenizer.sink.is_bounded.set(true);
            break;
        }
        if is_between && let Some(end) = document.step(start, &tokenizer.sink) {
            start = end;
            continue;
        }
        let end = piece_end(&html, start);
        let Some(piece) = html.get(start..end) else {
            break;
        };
        scan.feed(piece);
        if scan.attributes > MAX_TAG_ATTRIBUTES {
            tokenizer.sink.is_bounded.set(true);
            break;
        }
        let Some(piece) = document.piece(start, end) else {
            break;
        };
        queue.push_back(piece);
        tokenizer.sink.markup_seen.set(false);
        // The tokenizer pauses after each script, so that a browser could run it.
        while !matches!(tokenizer.feed(&queue), html5ever::TokenizerResult::Done) {}
        is_between = false;
        if tokenizer.sink.markup_seen.get() {
            let is_raw = tokenizer.sink.is_raw.get();
            is_between = way == Way::Quick && !is_raw;
            scan = TagScan {
                is_raw,
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

/// The text with its line breaks as line feeds, as the standard has them before anything is read (13.2.3.5).
fn newlines(html: &str) -> Cow<'_, str> {
    let mut returns = memchr::memchr_iter(b'\r', html.as_bytes()).peekable();
    if returns.peek().is_none() {
        return Cow::Borrowed(html);
    }
    let mut out = String::with_capacity(html.len());
    let mut start = 0;
    for at in returns {
        out.push_str(html.get(start..at).unwrap_or_default());
        // The line feed of a pair stands there already.
        if html.as_bytes().get(at + 1) != Some(&b'\n') {
            out.push('\n');
        }
        start = at + 1;
    }
    out.push_str(html.get(start..).unwrap_or_default());
    Cow::Owned(out)
}

/// A piece ends after `>`, where a tag can end, or at its size limit.
fn piece_end(html: &str, start: usize) -> usize {
    let limit = html
        .floor_char_boundary(start.saturating_add(PIECE_BYTES))
        .max(start + 1);
    let piece = html.as_bytes().get(start..limit).unwrap_or_default();
    memchr::memchr(b'>', piece).map_or(limit, |position| start + position + 1)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testdata;

    /// Both ways give the same tree, and cut it alike.
    fn check(html: &str) {
        let (quick, is_quick_bounded) = parse_by(html, Way::Quick);
        let (plain, is_plain_bounded) = parse_by(html, Way::Plain);
        let nodes = |document: &Html| {
            let root = document.tree.root();
            let line = |node: ego_tree::NodeRef<'_, Node>| {
                format!("{} {:?}", node.ancestors().count(), node.value())
            };
            root.descendants().map(line).collect::<Vec<_>>()
        };
        let (quick, plain) = (nodes(&quick), nodes(&plain));
        for (quick, plain) in quick.iter().zip(&plain) {
            assert_eq!(quick, plain);
        }
        assert_eq!(quick.len(), plain.len());
        assert_eq!(is_quick_bounded, is_plain_bounded);
    }

    #[test]
    fn the_quick_way_gives_the_same_tree_for_every_page_of_the_data() {
        for kind in ["contacts", "products"] {
            let folders = [Some(testdata::sample(kind)), testdata::larger(kind)];
            for folder in folders.into_iter().flatten() {
                for entry in std::fs::read_dir(folder).unwrap().flatten() {
                    let text = testdata::body(&entry.path());
                    check(&String::from_utf8_lossy(&text).replace('\0', ""));
                }
            }
        }
    }

    #[test]
    fn the_quick_way_gives_the_same_tree_for_what_is_special() {
        for html in [
            "<p a=1 A=2 b='x&amp;y' c=\"?a=1&b=2&copy=3&lt;&ampx\" d=/x/>t</p>",
            "a &amp; b &nbsp;&copy &copycat; &notit; &#64;&#x40;&#128;&#0;&#xD800;&; & &#; &#x; &bogus; &fjlig;",
            "<script>if (a < b) x('</p>')</script><script><!-- <script>x</script> --></script>y",
            "<title>a &amp; <b>c</title><textarea>\n\nx</textarea><pre>\n\nx</pre>",
            "<svg><title><b>x</b></title><style><b>y</b></style><![CDATA[z]]></svg>",
            "<style>a</style ><style>b</STYLE\n><style>c</style x><style>d</styles></style>",
            "<!-- a --><!--> b --><!---> c --><!----> d <!--e--!> f <!-- g <!-- h --> <!--i--->",
            "<br/><br / ><a href=x/><img/ src=y><p/x></p x></p/></ p></>",
            "<table>a<tr> <td>b</table><noscript><p>x</noscript><iframe><p>y</iframe>",
            "<a =x><a x==y><a x=><a x=\"y\"z><a x='y'/z><A HREF='Z'></A><1><?x?><p",
            "\u{feff}<p>\u{feff}x\r\ny\rz</p><p a='\r\n&#13;'>&#10;",
            "<plaintext><p>x</plaintext>",
            "<frameset><frame></frameset><noframes><p></noframes>",
            "x<script>y",
            "x<!-- y",
        ] {
            check(html);
        }
        check(&"<div>".repeat(600));
        let attributes: String = (0..4_000).map(|n| format!(" a{n}=x")).collect();
        check(&format!("<p>x<p{attributes}>y"));
    }

    proptest! {
        #[test]
        fn the_quick_way_gives_the_same_tree(pieces in proptest::collection::vec(proptest::sample::select(vec![
            "<", ">", "/", "</", "<!", "<!--", "-->", "--", "-", "!", "&", "&amp;", "&nbsp", "&#6", ";", "#", "=", "\"", "'", " ", "\n",
            "\r", "a", "b", "é", "<p>", "</p>", "<a href=\"x\">", "<a b='c' d>", "</a>", "<script>", "</script>", "<title>",
            "</title>", "<style>", "</style", "<svg>", "</svg>", "<table>", "<td>", "<textarea>", "</textarea>", "<br/>", "<select>",
            "<option>", "<template>", "</template>", "<math>", "<mi>", "<noscript>", "<![CDATA[", "]]>", "<b>", "<i>", "<form>", "x y",
        ]), 0..40)) {
            check(&pieces.concat());
        }
    }
}
