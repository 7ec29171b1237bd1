//! What a page is called: its name without that of its site.
//!
//! Pages say it up to four times: in the main heading, in `<title>`, in `og:title` and in JSON-LD. What the reader sees counts, where
//! another of them agrees.

use std::collections::HashSet;

use serde_json::{Map, Value};
use url::Url;

use super::domain::below_suffix;
use super::html::{Attributes, Page, ego::NodeRef, folded, node_text};
use super::structured::first_in;

/// Longest title, in characters.
pub(super) const MAX_TITLE_CHARS: usize = 500;

/// Longest name of a site, in characters.
const MAX_SITE_CHARS: usize = 60;

/// Most words of a name that are compared.
const MAX_WORDS: usize = 60;

/// Most headings that are looked at.
const MAX_HEADINGS: usize = 20;

/// How many of a name's words must stand in another of the same page, in percent, for the two to agree.
const SAME: usize = 60;

/// Signs between the name of a page and that of its site, the surest first.
const MARKS: [&str; 15] = [
    " | ", " :: ", " » ", " « ", " • ", " · ", "｜", "|", " – ", " — ", " - ", " ~ ", ": ", "：", "_",
];

/// How many of [`MARKS`] stand for nothing else.
const SURE_MARKS: usize = 8;

/// Shortest name, in letters, that is looked for within another.
const MIN_LETTERS: usize = 4;

/// Types of JSON-LD (schema.org) that are not what a page is about.
const AROUND: [&str; 10] = [
    "WebSite",
    "Organization",
    "LocalBusiness",
    "BreadcrumbList",
    "ListItem",
    "Person",
    "ImageObject",
    "SearchAction",
    "Brand",
    "SiteNavigationElement",
];

/// What a site calls itself.
#[derive(Debug, Default)]
pub(super) struct Site {
    /// The letters alone.
    names: Vec<String>,
}

impl Site {
    /// The site that has these names.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let names = names.map(letters).filter(|name| !name.is_empty()).collect();
        Self { names }
    }

    /// The site of a page: its names in the head and in JSON-LD, and what its host is called.
    pub(super) fn of(page: &Page, data: &[Value], url: Option<&Url>) -> Self {
        let said = data.iter().filter_map(|root| first_in(root, site_name));
        Self::new(
            metas(page, &["og:site_name", "application-name"])
                .chain(said)
                .chain(url.and_then(host_label)),
        )
    }

    /// Whether a text is the site's name and nothing more.
    pub(super) fn is(&self, text: &str) -> bool {
        text.len() <= 120 && self.names.contains(&letters(text))
    }

    /// Whether a piece of a title names the site, with a word more or less.
    fn is_named_by(&self, piece: &str) -> bool {
        let piece = letters(piece);
        let is_in = |short: &str, long: &str| short.len() >= MIN_LETTERS && long.contains(short);
        self.names
            .iter()
            .any(|name| *name == piece || is_in(name, &piece) || is_in(&piece, name))
    }

    /// A title without the name of the site behind it or in front: `Lamp | Shop`.
    pub(super) fn without<'a>(&self, title: &'a str) -> &'a str {
        let mut title = title.trim();
        while let Some(rest) = self.one_less(title) {
            title = rest;
        }
        title
    }

    fn one_less<'a>(&self, title: &'a str) -> Option<&'a str> {
        let ends = MARKS.iter().filter_map(|mark| title.rsplit_once(mark));
        let starts = MARKS.iter().filter_map(|mark| title.split_once(mark));
        ends.map(|(rest, piece)| (rest.trim(), piece))
            .chain(starts.map(|(piece, rest)| (rest.trim(), piece)))
            .filter(|(rest, _)| !rest.is_empty() && !self.is(rest))
            .find(|(_, piece)| self.is_named_by(piece))
            .map(|(rest, _)| rest)
    }
}

/// The part of a host that names its owner: `example` of `www.example.co.uk`.
pub(super) fn host_label(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    let host = host.strip_prefix("www.").unwrap_or(host);
    below_suffix(host)?.split('.').next()
}

/// The name of the website or of who publishes it.
fn site_name(object: &Map<String, Value>) -> Option<&str> {
    let is_site = object
        .get("@type")
        .and_then(Value::as_str)
        .is_some_and(|name| matches!(name, "WebSite" | "Organization" | "NewsMediaOrganization"));
    is_site.then(|| object.get("name")?.as_str()).flatten()
}

/// The name of a page, as its reader sees it.
pub(super) fn title_of(page: &Page, data: &[Value], site: &Site) -> Option<String> {
    let document = document_title(page);
    let card = metas(page, &["og:title", "twitter:title"])
        .find_map(|text| folded(text, MAX_TITLE_CHARS));
    let named = data
        .iter()
        .find_map(|root| first_in(root, main_name))
        .and_then(|name| folded(name, MAX_TITLE_CHARS));
    let headings: Vec<String> = headings(page).filter(|text| !site.is(text)).collect();
    let others: Vec<HashSet<String>> = [&document, &card, &named]
        .into_iter()
        .flatten()
        .map(|text| words(site.without(text)))
        .collect();
    let agreed = headings
        .iter()
        .filter_map(|heading| Some((heading, agreement(&words(heading), &others)?)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    if let Some((heading, _)) = agreed {
        return Some(heading.clone());
    }
    let is_agreed = |name: &&String| {
        document
            .as_ref()
            .is_none_or(|title| agreement(&words(name), &[words(title)]).is_some())
    };
    let without_site = |text: &String| site.without(text).to_owned();
    named
        .as_ref()
        .filter(is_agreed)
        .or(card.as_ref())
        .map(without_site)
        .or_else(|| {
            let title = document.as_ref().filter(|title| !site.is(title))?;
            Some(first_part(&without_site(title)))
        })
        .or_else(|| headings.first().cloned())
        .or(document)
}

/// A title up to a sign that only stands before the name of a site.
fn first_part(title: &str) -> String {
    MARKS
        .iter()
        .take(SURE_MARKS)
        .filter_map(|mark| title.rsplit_once(mark))
        .map(|(first, _)| first.trim())
        .find(|first| first.chars().count() > MIN_LETTERS)
        .unwrap_or(title)
        .to_owned()
}

/// The name of what a page is about.
fn main_name(object: &Map<String, Value>) -> Option<&str> {
    let kind = object.get("@type").and_then(Value::as_str)?;
    if AROUND.contains(&kind) {
        return None;
    }
    ["headline", "name"]
        .iter()
        .find_map(|key| object.get(*key)?.as_str())
}

/// The contents of the first `<meta>` elements with these names or properties, in the order of `names`.
fn metas<'a>(page: &'a Page, names: &'static [&'static str]) -> impl Iterator<Item = &'a str> {
    names.iter().flat_map(|name| {
        page.elements()
            .map(|(_, element)| element)
            .filter(|element| element.name() == "meta")
            .filter(|element| {
                ["property", "name"]
                    .iter()
                    .filter_map(|attribute| element.attribute(attribute))
                    .any(|value| value.trim().eq_ignore_ascii_case(name))
            })
            .filter_map(|element| element.attribute("content"))
    })
}

/// The text of `<title>`.
pub(super) fn document_title(page: &Page) -> Option<String> {
    // An `<svg>` may have titles of its own.
    page.elements()
        .filter(|(_, element)| element.name() == "title")
        .filter(|(node, _)| !is_in_picture(*node))
        .find_map(|(node, _)| folded(&node_text(node, MAX_TITLE_CHARS), MAX_TITLE_CHARS))
}

fn is_in_picture(node: NodeRef<'_>) -> bool {
    node.ancestors()
        .filter_map(|ancestor| ancestor.value().as_element())
        .any(|element| element.name() == "svg")
}

/// The texts of the main headings.
pub(super) fn headings(page: &Page) -> impl Iterator<Item = String> {
    page.elements()
        .filter(|(_, element)| element.name() == "h1")
        .take(MAX_HEADINGS)
        .filter_map(|(node, _)| folded(&node_text(node, MAX_TITLE_CHARS), MAX_TITLE_CHARS))
}

/// The letters and digits of a text, lower case.
fn letters(text: &str) -> String {
    text.chars()
        .take(MAX_SITE_CHARS)
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The words of a text, lower case, without marks.
pub(super) fn words(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(MAX_WORDS)
        .map(str::to_lowercase)
        .collect()
}

/// How many words a name has in common with the likest of some others, if it agrees with that.
fn agreement(name: &HashSet<String>, others: &[HashSet<String>]) -> Option<usize> {
    others
        .iter()
        .map(|other| name.intersection(other).count())
        .filter(|common| *common > 0 && common * 100 >= name.len() * SAME)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structured::json_ld;

    fn title(html: &str) -> Option<String> {
        let page = Page::parse(html);
        let url = Url::parse("https://www.teekanne-beispiel.de/a").unwrap();
        let data = json_ld(&page);
        title_of(&page, &data, &Site::of(&page, &data, Some(&url)))
    }

    #[test]
    fn a_page_is_called_what_its_reader_sees_without_the_name_of_its_site() {
        for (html, expected) in [
            ("<title>Kettles | Teekanne Beispiel</title>", "Kettles"),
            ("<title>Teekanne-Beispiel: Kettles for two</title>", "Kettles for two"),
            (
                "<title>Чайники - Дом и сад</title><meta property='og:site_name' content='Дом и сад'>",
                "Чайники",
            ),
            (
                "<title>Kettles and pots - buy now - Shop</title><h1>Shop</h1><h1>Kettles and pots</h1>",
                "Kettles and pots",
            ),
            (
                "<title>Shop</title><script type='application/ld+json'>[{\"@type\":\"Organization\",\"name\":\"Shop\"},{\"@type\":\"NewsArticle\",\"headline\":\"Tea is up\"}]</script><h1>Tea is up</h1>",
                "Tea is up",
            ),
            ("<title>Teekanne Beispiel</title>", "Teekanne Beispiel"),
            (
                "<title>Über uns</title><meta property='og:title' content='Über uns'><h1>Willkommen</h1>",
                "Über uns",
            ),
            (
                "<title>急須の選び方｜お茶ブログ</title><h1>お茶の話</h1>",
                "急須の選び方",
            ),
            ("<h1>Nur eine Überschrift</h1>", "Nur eine Überschrift"),
            (
                "<svg><title>icon</title></svg><title>Vacuum V15 - cordless</title>",
                "Vacuum V15 - cordless",
            ),
            ("<title>The kettle » A blog on tea</title>", "The kettle"),
        ] {
            assert_eq!(title(html).as_deref(), Some(expected), "{html}");
        }
        assert_eq!(title("<p>Text</p>"), None);
    }
}
