//! Web pages.

use std::io::Read;

use gleaner_extract::charset;

use super::flow::Flow;
use super::{Sink, open, opened};
use crate::failure::Failure;
use crate::html::{Token, Tokens, title};
use crate::protocol::Code;
use crate::sniff::Kind;

/// The longest page, in bytes. It is held as a whole.
const MAX_BYTES: u64 = 64 << 20;

pub(super) fn read(file: &mut impl Read, sink: &mut dyn Sink) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(Failure::new(
            Code::TooLarge,
            "It is longer than the 64 MiB that are taken of a web page.",
        ));
    }
    let html = charset::decode(&bytes, None, None);
    let mut told = opened(Kind::Html);
    told.title = title(&html);
    open(sink, told)?;
    let mut flow = Flow::new(sink);
    text(&html, &mut flow)?;
    flow.finish()
}

/// What stands before the next text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Blank,
    Tab,
    Line,
    BlankLine,
}

/// The text of a page, as it flows.
pub(super) fn text(html: &str, flow: &mut Flow<'_>) -> Result<(), Failure> {
    let mut writer = Writer {
        flow,
        gap: Gap::None,
        heading: None,
        pre: 0,
        row_has_text: false,
    };
    for token in Tokens::new(html) {
        match token {
            Token::Text(text) => writer.text(&text)?,
            Token::Start(name) => writer.start(&name)?,
            Token::End(name) => writer.end(&name)?,
            Token::Raw(..) => {}
        }
    }
    writer.end_heading()?;
    writer.flow.line()
}

/// The first heading in a page: of the two uppermost kinds, if there is one.
pub(super) fn heading(html: &str) -> Option<String> {
    let mut text: Option<String> = None;
    for token in Tokens::new(html) {
        match (token, &mut text) {
            (Token::Start(name), None) if matches!(&*name, "h1" | "h2") => {
                text = Some(String::new());
            }
            (Token::End(name), Some(found)) if matches!(&*name, "h1" | "h2") => {
                let words: Vec<&str> = found.split_whitespace().collect();
                if !words.is_empty() {
                    return Some(words.join(" "));
                }
                text = None;
            }
            (Token::Text(piece), Some(found)) if found.len() < 1_000 => found.push_str(&piece),
            (Token::Start(_) | Token::End(_), Some(found)) if found.len() < 1_000 => {
                found.push(' ');
            }
            _ => {}
        }
    }
    None
}

struct Writer<'a, 'b> {
    flow: &'a mut Flow<'b>,
    gap: Gap,
    /// Of a heading that has begun.
    heading: Option<String>,
    /// How many `<pre>` are open.
    pre: u32,
    row_has_text: bool,
}

impl Writer<'_, '_> {
    fn start(&mut self, name: &str) -> Result<(), Failure> {
        if matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6") {
            self.end_heading()?;
            self.heading = Some(String::new());
            return Ok(());
        }
        match name {
            "td" | "th" => {
                if self.row_has_text {
                    self.gap = Gap::Tab;
                }
            }
            "tr" => {
                // Whatever the cells before it ended with.
                self.gap = if self.row_has_text {
                    Gap::Line
                } else {
                    self.gap.max(Gap::Line)
                };
                self.row_has_text = false;
            }
            "table" => {
                self.row_has_text = false;
                self.block(name)?;
            }
            "pre" => {
                self.pre = self.pre.saturating_add(1);
                self.block(name)?;
            }
            _ => self.block(name)?,
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Result<(), Failure> {
        if matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6") {
            return self.end_heading();
        }
        if name == "pre" {
            self.pre = self.pre.saturating_sub(1);
        }
        if name == "table" {
            self.row_has_text = false;
        }
        self.block(name)
    }

    /// A tag that begins or ends something.
    fn block(&mut self, name: &str) -> Result<(), Failure> {
        let gap = match name {
            "br" | "li" | "tr" | "dd" | "dt" | "div" | "hr" | "option" | "body" | "html"
            | "article" | "aside" | "caption" | "center" | "details" | "dialog" | "dir"
            | "fieldset" | "figcaption" | "figure" | "footer" | "form" | "frame" | "frameset"
            | "header" | "hgroup" | "legend" | "main" | "menu" | "nav" | "optgroup" | "search"
            | "section" | "summary" | "address" | "thead" | "tbody" | "tfoot" => Gap::Line,
            "p" | "blockquote" | "table" | "ul" | "ol" | "dl" | "pre" => Gap::BlankLine,
            "img" | "input" | "button" => Gap::Blank,
            _ => return Ok(()),
        };
        if gap > Gap::Blank && name != "br" {
            // A heading that never ends ends with the next block.
            self.end_heading()?;
        }
        if let Some(heading) = &mut self.heading {
            heading.push(' ');
        } else if self.gap != Gap::Tab {
            self.widen(gap);
        }
        Ok(())
    }

    fn widen(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn end_heading(&mut self) -> Result<(), Failure> {
        let Some(heading) = self.heading.take() else {
            return Ok(());
        };
        let words: Vec<&str> = heading.split_whitespace().collect();
        self.flow.paragraph(&words.join(" "), true)?;
        self.gap = Gap::None;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        if let Some(heading) = &mut self.heading {
            heading.push_str(text);
            return Ok(());
        }
        if self.pre > 0 && !text.trim().is_empty() {
            self.close_gap()?;
            self.row_has_text = true;
            return self.flow.push(text.trim_end_matches([' ', '\t']));
        }
        if text.starts_with(char::is_whitespace) {
            self.widen(Gap::Blank);
        }
        let mut words = text.split_whitespace().peekable();
        while let Some(word) = words.next() {
            self.close_gap()?;
            self.row_has_text = true;
            self.flow.push(word)?;
            if words.peek().is_some() {
                self.widen(Gap::Blank);
            }
        }
        if !text.trim().is_empty() && text.ends_with(char::is_whitespace) {
            self.widen(Gap::Blank);
        }
        Ok(())
    }

    fn close_gap(&mut self) -> Result<(), Failure> {
        let gap = std::mem::replace(&mut self.gap, Gap::None);
        match gap {
            Gap::None => Ok(()),
            _ if !self.flow.has_begun() => Ok(()),
            Gap::Blank => self.flow.push(" "),
            Gap::Tab => self.flow.push("\t"),
            Gap::Line => self.flow.line(),
            Gap::BlankLine => self.flow.blank_line(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Heard, heard};

    fn page(html: &str) -> Heard {
        heard("page.html", format!("<html>{html}").as_bytes())
    }

    #[test]
    fn pages_are_read_as_they_are_seen() {
        for (html, expected) in [
            (
                "<p>One <b>t</b>wo\n three</p><p>four",
                "One two three\n\nfour\n",
            ),
            ("a<br>b<div>c</div>d", "a\nb\nc\nd\n"),
            ("<script>x</script><style>y</style>z<!-- w -->", "z\n"),
            (
                "<table><tr><td><p>A</p></td><td><p>B</p></td></tr><tr><td>C<td>D</table>e",
                "A\tB\nC\tD\n\ne\n",
            ),
            ("<pre>a\n  b\n</pre>c", "a\n  b\n\nc\n"),
            ("<ul><li>one<li>two</ul>", "one\ntwo\n"),
            ("x<h2>The\n<i>end</i></h2>y", "x\n\nThe end\ny\n"),
        ] {
            assert_eq!(page(html).texts(), [expected], "{html}");
        }
    }

    #[test]
    fn titles_headings_and_encodings_are_found() {
        let heard = heard(
            "a.html",
            b"<!DOCTYPE html><meta charset=windows-1251><title>T</title><h1>\xcf\xf0\xe8\xe2\xe5\xf2</h1><p>x<h3>3</h3>y",
        );
        assert_eq!(
            heard
                .opened
                .as_ref()
                .and_then(|opened| opened.title.as_deref()),
            Some("T")
        );
        assert_eq!(heard.headings(), ["Привет", "3"]);
        assert_eq!(heard.texts(), ["Привет\n\nx\n\n3\ny\n"]);
    }

    #[test]
    fn it_may_nest_as_it_will() {
        let heard = page(&format!(
            "{}deep{}",
            "<div><b>".repeat(200_000),
            "</b></div>".repeat(200_000)
        ));
        assert_eq!(heard.texts(), ["deep\n"]);
    }

    #[test]
    fn a_page_without_text_has_no_page() {
        assert!(page("<p> <br></p>").pages.is_empty());
    }
}
