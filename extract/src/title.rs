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
    " | ", " :: ", " » ", " « ", " • ", " · ", "｜", "|", " – ", " — ", " - ", " ~ ", ": ", "：",
    "_",
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

    /// Whether it is known what the site calls itself.
    pub(super) fn is_known(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether a text is the site's name and nothing more.
    pub(super) fn is(&self, text: &str) -> bool {
        text.len() <= 120 && self.names.contains(&letters(text))
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
        let behind = ends
            .filter(|(_, piece)| self.is_named_by(piece, true))
            .map(|(rest, _)| rest);
        let in_front = starts
            .filter(|(piece, _)| self.is_named_by(piece, false))
            .map(|(_, rest)| rest);
        behind
            .chain(in_front)
            .map(str::trim)
            .find(|rest| !rest.is_empty() && !self.is(rest))
    }

    /// Whether a piece of a title names the site, with a word more or less; behind the title with all that follows it.
    fn is_named_by(&self, piece: &str, is_behind: bool) -> bool {
        let piece = letters(piece);
        let is_most = |short: &str, long: &str| {
            short.len() >= MIN_LETTERS && short.len() * 2 >= long.len() && long.contains(short)
        };
        self.names.iter().any(|name| {
            *name == piece
                || is_most(name, &piece)
                || is_most(&piece, name)
                || is_behind && name.len() >= MIN_LETTERS && piece.starts_with(name.as_str())
        })
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

/// All that a page says it is called.
struct Names {
    /// `<title>`.
    document: Option<String>,
    /// `og:title`, for cards on other sites.
    card: Option<String>,
    /// In JSON-LD, of what the page is about.
    subject: Option<String>,
    /// Main headings that are not the site's name.
    headings: Vec<String>,
}

impl Names {
    fn of(page: &Page, data: &[Value], site: &Site) -> Self {
        let subject = data.iter().find_map(|root| first_in(root, subject_name));
        Self {
            document: document_title(page),
            card: metas(page, &["og:title", "twitter:title"])
                .find_map(|text| folded(text, MAX_TITLE_CHARS)),
            subject: subject.and_then(|name| folded(name, MAX_TITLE_CHARS)),
            headings: headings(page).filter(|text| !site.is(text)).collect(),
        }
    }

    /// The heading that has most in common with what else the page is called.
    fn agreed_heading(&self, site: &Site) -> Option<String> {
        let without_site = |name: &Option<String>| Some(words(site.without(name.as_ref()?)));
        let elsewhere: Vec<_> = [&self.card, &self.subject]
            .into_iter()
            .filter_map(without_site)
            .collect();
        let document = without_site(&self.document);
        let best = self
            .headings
            .iter()
            .filter_map(|heading| {
                let own = words(heading);
                let in_title = document.iter().filter_map(|title| in_common(&own, title));
                let common = elsewhere.iter().filter_map(|name| in_common(&own, name));
                Some((heading, in_title.chain(common).max()?))
            })
            .reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        // Blogs have their own name as the heading of each post, and before its name in `<title>`.
        let own = words(best.0);
        let is_others = elsewhere.iter().all(|name| own.is_disjoint(name))
            && elsewhere
                .iter()
                .any(|name| document.iter().any(|title| name.is_subset(title)));
        (!is_others).then(|| best.0.clone())
    }

    /// What the page is called where no heading says it.
    fn without_heading(&self, site: &Site) -> Option<String> {
        let without_site = |text: &String| site.without(text).to_owned();
        let is_agreed = |name: &&String| {
            self.document
                .as_ref()
                .is_none_or(|title| in_common(&words(name), &words(title)).is_some())
        };
        let title = self.document.as_ref();
        self.subject
            .as_ref()
            .filter(is_agreed)
            .or(self.card.as_ref())
            .map(without_site)
            .or_else(|| {
                let title = title.filter(|title| !site.is(title))?;
                Some(first_part(&without_site(title)))
            })
            .or_else(|| self.headings.first().cloned())
            .or_else(|| title.cloned())
    }
}

/// The name of a page, as its reader sees it.
pub(super) fn title_of(page: &Page, data: &[Value], site: &Site) -> Option<String> {
    let names = Names::of(page, data, site);
    names
        .agreed_heading(site)
        .or_else(|| names.without_heading(site))
}

/// The main heading, if what else the page is called agrees with it.
pub(super) fn heading_of(page: &Page, data: &[Value], site: &Site) -> Option<String> {
    Names::of(page, data, site).agreed_heading(site)
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
fn subject_name(object: &Map<String, Value>) -> Option<&str> {
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

/// How many words a name has in common with another, if that is enough for the two to agree.
fn in_common(name: &HashSet<String>, other: &HashSet<String>) -> Option<usize> {
    let common = name.intersection(other).count();
    (common > 0 && common * 100 >= name.len() * SAME).then_some(common)
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
            (
                "<title>Teekanne-Beispiel: Kettles for two</title>",
                "Kettles for two",
            ),
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
            (
                "<title>Teehaus: Kannen aus Ton</title><meta property='og:title' content='Kannen aus Ton'><h1>Teehaus</h1>",
                "Kannen aus Ton",
            ),
            ("<title>The kettle » A blog on tea</title>", "The kettle"),
        ] {
            assert_eq!(title(html).as_deref(), Some(expected), "{html}");
        }
        assert_eq!(title("<p>Text</p>"), None);
    }
}
