//! What part of a page an element says it is: by its name, its role, and the words in what it is called.

use std::sync::LazyLock;

use scraper::node::Element;

use crate::html::Attributes;
use crate::naming::{NameWords, dashed_names_where};

/// Most words of an `id` that names a part of the page rather than repeats a heading.
const MAX_ID_WORDS: usize = 3;

/// What an element says of the text in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Part {
    /// Nothing that would speak against it.
    #[default]
    Content,
    /// All of the page that is not on every page of the site.
    Main,
    /// A text with its head, or one of several.
    Article,
    /// The paragraphs of a text.
    Body,
    /// The head of the page or of a part of it: a masthead, or a headline and more.
    Header,
    /// Beside the text.
    Aside,
    /// To be left out if most of it is links.
    Links,
    /// By readers, under the text.
    Comments,
    /// A window laid over the page.
    Window,
    /// Consent, hints to the browser.
    Notice,
}

/// The part that an element says it is.
pub(super) fn part(element: &Element) -> Part {
    let by_name = match element.name() {
        // What templates write there is about the whole page.
        "html" | "body" => return Part::Content,
        "main" => return Part::Main,
        "nav" | "aside" | "footer" => return Part::Aside,
        "noscript" => return Part::Notice,
        "dialog" => return Part::Window,
        "menu" => return Part::Links,
        "article" => Part::Article,
        "header" => Part::Header,
        _ => Part::Content,
    };
    if element.attrs.is_empty() {
        return by_name;
    }
    let said = element
        .attribute("role")
        .and_then(by_role)
        .or_else(|| by_names(WORDS.found_in(&names(element))));
    // An article may be called after where it is shown, as may a head.
    match (by_name, said) {
        (Part::Content, Some(said)) => said,
        (_, Some(said @ (Part::Notice | Part::Window))) => said,
        (Part::Article, Some(said @ (Part::Aside | Part::Comments))) => said,
        (by_name, _) => by_name,
    }
}

/// What an element is called. Documents give their headings' words to sections as `id`.
fn names(element: &Element) -> String {
    dashed_names_where(element, |attribute, value| {
        attribute != "id" || value.split(['-', '_']).count() <= MAX_ID_WORDS
    })
}

fn by_role(role: &str) -> Option<Part> {
    Some(match role.trim() {
        "main" => Part::Main,
        "article" => Part::Article,
        "banner" => Part::Header,
        "navigation" | "contentinfo" | "complementary" | "search" => Part::Aside,
        "menu" | "menubar" | "toolbar" | "tablist" => Part::Links,
        "dialog" | "alertdialog" | "tooltip" => Part::Window,
        _ => return None,
    })
}

/// The first group in this order that has a word in the names.
fn by_names(found: u32) -> Option<Part> {
    [
        (Group::Notice, Part::Notice),
        (Group::Window, Part::Window),
        (Group::Comments, Part::Comments),
        (Group::Aside, Part::Aside),
        (Group::Body, Part::Body),
        (Group::Main, Part::Main),
        (Group::Links, Part::Links),
    ]
    .into_iter()
    .find(|(group, _)| found & (1 << *group as u32) != 0)
    .map(|(_, part)| part)
}

static WORDS: LazyLock<NameWords> =
    LazyLock::new(|| NameWords::new(include_str!("../../data/box_words.txt"), group));

/// A group of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Main,
    Body,
    Notice,
    Window,
    Aside,
    Links,
    Comments,
}

fn group(name: &str) -> Option<u32> {
    let group = match name {
        "main" => Group::Main,
        "body" => Group::Body,
        "notice" => Group::Notice,
        "window" => Group::Window,
        "aside" => Group::Aside,
        "links" => Group::Links,
        "comments" => Group::Comments,
        _ => return None,
    };
    Some(group as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::Page;

    fn of(html: &str) -> Part {
        let page = Page::parse(html);
        let (_, element) = page.elements().last().unwrap();
        part(element)
    }

    #[test]
    fn every_word_of_the_table_makes_its_group() {
        WORDS.check(include_str!("../../data/box_words.txt"), group);
    }

    #[test]
    fn elements_are_told_by_name_role_and_words() {
        assert_eq!(of("<p>"), Part::Content);
        assert_eq!(of("<div class=EntryContent>"), Part::Body);
        assert_eq!(of("<div role=navigation>"), Part::Aside);
        assert_eq!(of("<div id=CookieBanner>"), Part::Notice);
        assert_eq!(of("<section class='post-list relatedPosts'>"), Part::Aside);
        assert_eq!(of("<section class='correlated'>"), Part::Content);
        assert_eq!(of("<ul class='main-menu'>"), Part::Links);
        assert_eq!(of("<div id=comments>"), Part::Comments);
        assert_eq!(of("<div class='Modal open'>"), Part::Window);
        assert_eq!(
            of("<section id=sharing-with-a-single-developer>"),
            Part::Content
        );
        assert_eq!(of("<article class='post tag-menu'>"), Part::Article);
        assert_eq!(of("<article class=comment>"), Part::Comments);
        assert_eq!(of("<body class='has-sidebar'>"), Part::Content);
    }
}
