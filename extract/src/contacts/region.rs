//! In which country a number without a country code is read, and in which languages what stands beside it.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;
use scraper::node::Element;
use url::Url;

use super::label::Languages;
use super::mailbox::find;
use super::phone_plan::Country;
use super::structured::Structured;
use crate::html::{Attributes, Page};
use crate::table::rows;

/// A country to try, in the order they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) id: Country,
    /// From a guess (bare language, names in the text), so that a number must look the part.
    pub(super) is_guess: bool,
}

/// Where a page is from.
pub(super) struct Origin {
    /// The countries to try, best first, without repetition.
    pub(super) regions: Vec<Region>,
    /// Those that the page says it is in, and those of the countries.
    pub(super) languages: Languages,
}

/// Most countries tried for one page.
const MAX_REGIONS: usize = 6;

/// Country-code domains that are sold to the whole world, so that they say nothing.
const OPEN_DOMAINS: &[&str] = &[
    "ac", "ag", "ai", "am", "as", "bz", "cc", "cd", "co", "cx", "dj", "fm", "gg", "gs", "im", "io",
    "la", "ly", "me", "ml", "ms", "mu", "nu", "pw", "sc", "sh", "st", "tf", "tk", "to", "tv", "vc",
    "vg", "ws",
];

struct Countries {
    by_language: HashMap<&'static str, &'static str>,
    /// The languages of a country.
    languages: HashMap<&'static str, &'static str>,
    by_name: HashMap<&'static str, &'static str>,
    /// The names that begin with a word, longest first.
    by_word: HashMap<&'static str, Vec<&'static str>>,
    /// Such words by the first byte that they may have, in lower and in upper case.
    by_first: Vec<Vec<&'static str>>,
}

/// Longest name that is looked for, in bytes.
const MAX_NAME_BYTES: usize = 60;

impl Countries {
    /// The longest name that `text` begins with, in any case; `word` is its first word.
    fn name_at(&self, text: &str, word: &str) -> Option<&'static str> {
        let first = word.bytes().next().map_or(0, usize::from);
        // Most words are none, which is seen without a copy.
        let is_known = self.by_first.get(first)?.iter().any(|known| {
            known.len() == word.len() && (known.eq_ignore_ascii_case(word) || !word.is_ascii())
        });
        if !is_known {
            return None;
        }
        let text = text.get(..text.floor_char_boundary(MAX_NAME_BYTES))?;
        let text = text.to_lowercase();
        let names = self.by_word.get(text.get(..word_end(&text))?)?;
        let name = names.iter().find(|name| {
            text.strip_prefix(**name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        });
        name.copied()
    }
}

static COUNTRIES: LazyLock<Countries> = LazyLock::new(|| {
    let mut by_language = HashMap::new();
    let mut languages = HashMap::new();
    let mut by_name = HashMap::new();
    for row in rows(include_str!("../data/countries.txt")) {
        let [region, main, spoken, names] = row.as_slice() else {
            continue;
        };
        by_language.extend(main.split('|').map(|language| (language, *region)));
        languages.insert(*region, *spoken);
        by_name.extend(names.split('|').map(|name| (name, *region)));
    }
    let mut by_word: HashMap<&str, Vec<&str>> = HashMap::new();
    for name in by_name.keys().filter(|name| **name != "-") {
        let word = name.get(..word_end(name)).unwrap_or(name);
        by_word.entry(word).or_default().push(name);
    }
    for names in by_word.values_mut() {
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    }
    let mut by_first: Vec<Vec<&str>> = vec![Vec::new(); 256];
    for word in by_word.keys() {
        let upper = word.to_uppercase();
        let mut firsts = vec![word.bytes().next(), upper.bytes().next()];
        firsts.dedup();
        for first in firsts.into_iter().flatten() {
            if let Some(words) = by_first.get_mut(usize::from(first)) {
                words.push(word);
            }
        }
    }
    Countries {
        by_language,
        languages,
        by_name,
        by_word,
        by_first,
    }
});

/// Where the word at the start of `text` ends.
fn word_end(text: &str) -> usize {
    let others = text.bytes().position(|byte| !byte.is_ascii_alphanumeric());
    match others.and_then(|end| Some((end, text.as_bytes().get(end)?))) {
        Some((end, byte)) if byte.is_ascii() => end,
        None => text.len(),
        Some(_) => text
            .find(|c: char| !c.is_alphanumeric())
            .unwrap_or(text.len()),
    }
}

/// The names of countries and cities in `text`.
fn names(text: &str) -> impl Iterator<Item = &'static str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = word_end(rest);
            let name = rest
                .get(..end)
                .and_then(|word| COUNTRIES.name_at(rest, word));
            let end = end.max(name.map_or(0, str::len)).min(rest.len());
            let mut tail = rest.get(rest.floor_char_boundary(end)..)?.chars();
            tail.next();
            rest = tail.as_str();
            if name.is_some() {
                return name;
            }
        }
        None
    })
}

/// Where a page is from, by all that it says.
pub(super) fn origin(
    page: &Page,
    url: &Url,
    default_region: Option<&str>,
    structured: &Structured,
) -> Origin {
    let metas = metas(page);
    let tags = language_tags(page, &metas);
    let regions = candidates(page, url, default_region, structured, &tags, &metas);
    let mut languages: Vec<String> = tags.iter().map(|tag| language(tag)).collect();
    for region in &regions {
        let spoken = COUNTRIES.languages.get(region.id.region());
        languages.extend(
            spoken
                .iter()
                .flat_map(|list| list.split('|'))
                .map(str::to_owned),
        );
    }
    languages.retain(|language| !language.is_empty());
    Origin {
        regions,
        languages: Languages(languages),
    }
}

/// The language of a tag, without region or script.
fn language(tag: &str) -> String {
    let language = tag.trim().split(['-', '_']).next().unwrap_or_default();
    language.to_ascii_lowercase()
}

fn candidates(
    page: &Page,
    url: &Url,
    default_region: Option<&str>,
    structured: &Structured,
    tags: &[String],
    metas: &[&Element],
) -> Vec<Region> {
    let mut out = Vec::new();
    let mut add = |region: Option<Country>, is_guess: bool| {
        if let Some(id) = region
            && !out.iter().any(|known: &Region| known.id == id)
            && out.len() < MAX_REGIONS
        {
            out.push(Region { id, is_guess });
        }
    };
    add(default_region.and_then(by_code), false);
    for tag in tags {
        add(tag_region(tag), false);
    }
    for host in hosts(page, url) {
        add(host_region(&host), false);
    }
    for country in &structured.countries {
        add(by_code(country).or_else(|| by_name(country)), false);
    }
    for value in meta_values(metas, &["geo.country", "geo.region", "icbm.country"]) {
        add(value.split('-').next().and_then(by_code), false);
    }
    for region in from_text(page) {
        add(Some(region), true);
    }
    for tag in tags {
        let region = COUNTRIES.by_language.get(language(tag).as_str());
        add(region.copied().and_then(by_code), true);
    }
    out
}

fn by_code(code: &str) -> Option<Country> {
    let code = code.trim().to_ascii_uppercase();
    let code = if code == "UK" { "GB" } else { &code };
    Country::by_region(code)
}

fn by_name(name: &str) -> Option<Country> {
    COUNTRIES
        .by_name
        .get(name.trim().to_lowercase().as_str())
        .copied()
        .and_then(by_code)
}

/// `<html lang>` first, then what the head says.
fn language_tags(page: &Page, metas: &[&Element]) -> Vec<String> {
    let mut tags: Vec<String> = page
        .elements()
        .filter(|(_, element)| element.name() == "html")
        .take(1)
        .filter_map(|(_, element)| {
            element
                .attribute("lang")
                .or_else(|| element.attribute("xml:lang"))
        })
        .map(str::to_owned)
        .collect();
    let names = [
        "og:locale",
        "content-language",
        "dc.language",
        "dcterms.language",
        "language",
    ];
    tags.extend(meta_values(metas, &names));
    tags.truncate(8);
    tags
}

fn metas(page: &Page) -> Vec<&Element> {
    page.elements()
        .map(|(_, element)| element)
        .filter(|element| element.name() == "meta")
        .collect()
}

fn meta_values(metas: &[&Element], names: &[&str]) -> Vec<String> {
    metas
        .iter()
        .filter(|element| {
            ["name", "property", "http-equiv"]
                .iter()
                .filter_map(|attribute| element.attribute(attribute))
                .any(|value| {
                    names
                        .iter()
                        .any(|name| value.trim().eq_ignore_ascii_case(name))
                })
        })
        .filter_map(|element| element.attribute("content").map(str::to_owned))
        .take(8)
        .collect()
}

/// The region subtag of a language tag: two letters after the language (BCP 47).
fn tag_region(tag: &str) -> Option<Country> {
    tag.trim()
        .split(['-', '_'])
        .skip(1)
        .take(2)
        .find(|part| part.len() == 2)
        .and_then(by_code)
}

/// The hosts the page claims to be on.
fn hosts(page: &Page, url: &Url) -> Vec<String> {
    let claimed = page.links().filter_map(|(_, element, href)| {
        let is_claim = match element.name() {
            "base" => true,
            "link" => element
                .attribute("rel")
                .is_some_and(|rel| rel.eq_ignore_ascii_case("canonical")),
            _ => false,
        };
        is_claim.then_some(href)
    });
    let claimed = claimed
        .take(4)
        .filter_map(|href| Url::parse(href.trim()).ok());
    std::iter::once(url.clone())
        .chain(claimed)
        .filter_map(|url| url.host_str().map(str::to_owned))
        .collect()
}

fn host_region(host: &str) -> Option<Country> {
    let domain = host.rsplit('.').next()?;
    if domain.len() != 2 || OPEN_DOMAINS.contains(&domain) {
        return None;
    }
    by_code(domain)
}

/// Country names, British postcodes and the endings of e-mail addresses, the most frequent first.
fn from_text(page: &Page) -> Vec<Country> {
    static POSTCODE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?-u)\b[A-PR-UWYZ][A-HK-Y]?[0-9][0-9A-HJKPSTUW]? [0-9][ABD-HJLNP-UW-Z]{2}\b")
            .ok()
    });
    let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
    let mut order = 0;
    let mut count = |region: Option<Country>, weight: usize| {
        if let Some(id) = region {
            order += 1;
            counts.entry(id.region()).or_insert((0, order)).0 += weight;
        }
    };
    for block in page.blocks() {
        let plain = block.plain();
        // Long texts mention countries; addresses name theirs.
        if plain.len() <= 400 {
            for name in names(&plain).take(5) {
                count(by_name(name), 1);
            }
        }
        let may_hold_postcode = plain
            .as_bytes()
            .windows(4)
            .any(|window| matches!(window, [b' ', b'0'..=b'9', b'A'..=b'Z', b'A'..=b'Z']));
        if may_hold_postcode
            && let Some(postcode) = &*POSTCODE
            && postcode.is_match(&plain)
        {
            count(by_code("GB"), 2);
        }
        if plain.contains('@') {
            for email in find(&plain) {
                count(host_region(&email), 2);
            }
        }
    }
    for (_, _, href) in page.links() {
        if href
            .get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"))
        {
            for email in find(href) {
                count(host_region(&email), 2);
            }
        }
    }
    let mut found: Vec<(&str, (usize, usize))> = counts.into_iter().collect();
    found.sort_by_key(|(_, (weight, order))| (std::cmp::Reverse(*weight), *order));
    found
        .into_iter()
        .filter_map(|(code, _)| by_code(code))
        .take(3)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_is_known_by_its_languages_and_names() {
        let url = Url::parse("https://acme.com/").unwrap();
        for row in rows(include_str!("../data/countries.txt")) {
            let [code, languages, _, names] = row.as_slice() else {
                panic!("{row:?}");
            };
            let id = by_code(code).unwrap();
            let listed = |cell: &'static str| cell.split('|').filter(|item| *item != "-");
            for name in listed(names) {
                assert_eq!(by_name(name), Some(id), "{name}");
            }
            for language in listed(languages) {
                let page = Page::parse(&format!("<html lang={language}>"));
                let found = origin(&page, &url, None, &Structured::default()).regions;
                assert!(found.iter().any(|region| region.id == id), "{language}");
            }
        }
    }
}
