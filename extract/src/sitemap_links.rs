//! Links of a page that may lead to a sitemap.

use url::Url;

use super::html::{Attributes, Page};
use super::url::{TrackingParameters, resolve_with};

/// Most links returned.
const MAX_LINKS: usize = 20;

/// Where a page says its sitemap is: `<link rel="sitemap">` first, then links whose address speaks of a sitemap. Each once.
#[must_use]
pub fn sitemap_links(tracking: &TrackingParameters, page: &Page, url: &Url) -> Vec<Url> {
    let base = page.base_url(url);
    let (mut declared, mut linked) = (Vec::new(), Vec::new());
    for (_, element) in page.elements() {
        let Some(href) = element.attribute("href") else {
            continue;
        };
        let found = match element.name() {
            "link" if has_word(element.attribute("rel"), "sitemap") => &mut declared,
            "a" if href.to_ascii_lowercase().contains("sitemap") => &mut linked,
            _ => continue,
        };
        if found.len() < MAX_LINKS
            && let Some(target) = resolve_with(tracking, &base, href)
        {
            found.push(target);
        }
    }
    let mut links: Vec<Url> = Vec::new();
    for link in declared.into_iter().chain(linked) {
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links.truncate(MAX_LINKS);
    links
}

fn has_word(list: Option<&str>, word: &str) -> bool {
    list.is_some_and(|list| {
        list.split_ascii_whitespace()
            .any(|one| one.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_links_come_first_and_each_once() {
        let page = Page::parse(
            r##"<head><link rel="alternate sitemap" href="/s.xml"></head><body>
            <a href="/Sitemap.html">map</a><a href="/s.xml">again, says sitemap not</a><a href="/sitemap.html#x">x</a>
            <a href="mailto:sitemap@x.org">no</a></body>"##,
        );
        let url = Url::parse("https://shop.org/a/").expect("a URL");
        let found: Vec<String> = sitemap_links(TrackingParameters::built_in(), &page, &url)
            .iter()
            .map(Url::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "https://shop.org/s.xml",
                "https://shop.org/Sitemap.html",
                "https://shop.org/sitemap.html"
            ]
        );
    }
}
