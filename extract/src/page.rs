//! What a page says about itself: title, language, links, the software behind it.
//!
//! Every field is `None` or empty when the page does not say it; only the language is guessed then. Texts have their
//! whitespace folded and their length bounded.

mod form;
mod language;
mod technology;
mod text;

use std::collections::{BTreeSet, HashSet};

use scraper::node::Element;
use serde::Serialize;
use serde_json::Value;
use url::Url;

pub use self::technology::{Technology, technology};
pub use self::text::MAX_TEXT_CHARS;
use self::text::{Kind, main_text};
use super::html::{Attributes, Page, ego::NodeRef, folded, node_text};
use super::structured::{first_in, json_ld};
use super::title::{Site, headings, title_of};
use super::url::{self, TrackingParameters};

/// Longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 2_000;
/// Most links taken from one page.
pub const MAX_LINKS: usize = 5_000;
/// Longest URL that is kept, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;
/// Most schema.org types taken from one page.
const MAX_SCHEMA_TYPES: usize = 50;

/// A link to another document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Absolute, `http` or `https`, normalised as by [`super::url::resolve`].
    pub url: String,
    /// The text of the link, or the `alt` of its image; may be empty.
    pub text: String,
    /// `rel` has `nofollow`, `ugc` or `sponsored`.
    #[serde(rename = "nofollow")]
    pub is_nofollow: bool,
}

/// What a page says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageFacts {
    /// What the page is called, without the name of its site: the heading that `<title>`, `og:title` or JSON-LD agree with, else one
    /// of these.
    pub title: Option<String>,
    /// `<meta name="description">`, else `og:description`.
    pub description: Option<String>,
    /// `<link rel="canonical">`, absolute, normalised as by [`super::url::resolve`].
    pub canonical: Option<String>,
    /// A language tag (BCP 47) from `<html lang>`, `<body lang>` or the head; else a guess from the main text.
    pub language: Option<String>,
    /// The first `<h1>` with text.
    pub h1: Option<String>,
    /// The icon the page names, absolute. `/favicon.ico` is not assumed.
    pub favicon: Option<String>,
    /// The logo: structured data, else an image that calls itself so. Absolute.
    pub logo: Option<String>,
    /// `<meta name="generator">`.
    pub generator: Option<String>,
    /// Words in the main text; ideographs count one each.
    pub word_count: usize,
    /// The main text: what the page is there for, without navigation, notices, related pages and comments; one line per block.
    pub text: String,
    /// Links to other documents in document order, each URL once.
    pub links: Vec<Link>,
    /// There is a form to write to the owner.
    pub has_contact_form: bool,
    /// Names of schema.org types in JSON-LD and microdata.
    pub schema_types: BTreeSet<String>,
    /// The directives for robots, lower case, as written.
    pub meta_robots: Option<String>,
}

/// Extracts the facts of a page that was fetched from `url`.
pub fn extract(page: &Page, url: &Url) -> PageFacts {
    extract_with(TrackingParameters::built_in(), page, url)
}

/// As [`extract`], dropping the parameters in `tracking` from the links.
#[must_use]
pub fn extract_with(tracking: &TrackingParameters, page: &Page, url: &Url) -> PageFacts {
    let base = page.base_url(url);
    let data = json_ld(page);
    let schema_types = schema_types(page, &data);
    let kind = Kind::of(&schema_types, meta(page, &["og:type"], 40).as_deref());
    let (text, word_count) = main_text(page, kind, &data);
    PageFacts {
        title: title_of(page, &data, &Site::of(page, &data, Some(url))),
        description: meta(
            page,
            &[
                "description",
                "og:description",
                "twitter:description",
                "dc.description",
            ],
            MAX_DESCRIPTION_CHARS,
        ),
        canonical: canonical(tracking, page, &base),
        language: language(page).or_else(|| language::guess(&text).map(str::to_owned)),
        h1: headings(page).next(),
        favicon: link_target(page, |rel| rel == "icon", |href| resolve(&base, href)).or_else(
            || {
                link_target(
                    page,
                    |rel| rel.starts_with("apple-touch-icon"),
                    |href| resolve(&base, href),
                )
            },
        ),
        logo: logo(page, &data, &base),
        generator: meta(page, &["generator"], 200),
        word_count,
        text,
        links: links(tracking, page, url, &base),
        has_contact_form: form::has_contact_form(page),
        schema_types,
        meta_robots: meta(page, &["robots"], 200).map(|value| value.to_lowercase()),
    }
}

/// The address that a page with this base declares canonical, normalised.
pub(super) fn canonical(tracking: &TrackingParameters, page: &Page, base: &Url) -> Option<String> {
    link_target(
        page,
        |rel| rel == "canonical",
        |href| page_address(tracking, base, href),
    )
}

/// The absolute form of a link as written in a page; only `http` and `https`.
fn resolve(base: &Url, href: &str) -> Option<Url> {
    let href = href.trim();
    if href.is_empty() || href.len() > MAX_URL_BYTES {
        return None;
    }
    let target = base.join(href).ok()?;
    let is_web = matches!(target.scheme(), "http" | "https") && target.has_host();
    (is_web && target.as_str().len() <= MAX_URL_BYTES).then_some(target)
}

/// The address of another page as it is stored everywhere: normalised, without tracking parameters and fragment.
fn page_address(tracking: &TrackingParameters, base: &Url, href: &str) -> Option<Url> {
    if href.trim().is_empty() {
        return None;
    }
    url::resolve_with(tracking, base, href).filter(|target| target.as_str().len() <= MAX_URL_BYTES)
}

fn has_ancestor(node: NodeRef<'_>, name: &str) -> bool {
    node.ancestors()
        .filter_map(|ancestor| ancestor.value().as_element())
        .any(|element| element.name() == name)
}

/// The first of these `<meta>` names or properties with content, in the order of `names`.
fn meta(page: &Page, names: &[&str], limit: usize) -> Option<String> {
    let metas: Vec<&Element> = page
        .elements()
        .map(|(_, element)| element)
        .filter(|e| e.name() == "meta")
        .collect();
    names.iter().find_map(|name| {
        metas
            .iter()
            .filter(|element| {
                ["name", "property", "http-equiv", "itemprop"]
                    .iter()
                    .filter_map(|attribute| element.attribute(attribute))
                    .any(|value| value.trim().eq_ignore_ascii_case(name))
            })
            .find_map(|element| {
                element
                    .attribute("content")
                    .and_then(|content| folded(content, limit))
            })
    })
}

fn link_target(
    page: &Page,
    matches: impl Fn(&str) -> bool,
    resolve: impl Fn(&str) -> Option<Url>,
) -> Option<String> {
    page.elements()
        .filter(|(_, element)| element.name() == "link")
        .filter(|(_, element)| {
            element.attribute("rel").is_some_and(|rel| {
                rel.split_ascii_whitespace()
                    .any(|rel| matches(&rel.to_ascii_lowercase()))
            })
        })
        .find_map(|(_, element)| resolve(element.attribute("href")?))
        .map(String::from)
}

fn language(page: &Page) -> Option<String> {
    page.elements()
        .filter(|(_, element)| matches!(element.name(), "html" | "body"))
        .flat_map(|(_, element)| ["lang", "xml:lang"].map(|name| element.attribute(name)))
        .flatten()
        .find_map(language_tag)
        .or_else(|| {
            ["content-language", "og:locale", "dc.language", "language"]
                .iter()
                .filter_map(|name| meta(page, &[name], 40))
                .find_map(|value| language_tag(&value))
        })
}

/// A language tag with the usual capitals (`en-GB`, `zh-Hant-TW`), or nothing if it is not one.
fn language_tag(text: &str) -> Option<String> {
    let text = text.split([',', ';']).next()?.trim();
    let parts: Vec<&str> = text.split(['-', '_']).collect();
    let (language, rest) = parts.split_first()?;
    let is_tag = (2..=3).contains(&language.len())
        && language.chars().all(|c| c.is_ascii_alphabetic())
        && rest.len() <= 3
        && rest.iter().all(|part| {
            (2..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
        });
    if !is_tag {
        return None;
    }
    let mut out = language.to_ascii_lowercase();
    for part in rest {
        out.push('-');
        match part.len() {
            2 => out.push_str(&part.to_ascii_uppercase()),
            4 => {
                let lower = part.to_ascii_lowercase();
                let mut chars = lower.chars();
                out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
                out.push_str(chars.as_str());
            }
            _ => out.push_str(&part.to_ascii_lowercase()),
        }
    }
    Some(out)
}

fn links(tracking: &TrackingParameters, page: &Page, url: &Url, base: &Url) -> Vec<Link> {
    let key = |url: &Url| url::key(url).into_owned();
    let own = url::normalize_with(tracking, url.as_str()).map(|own| key(&own));
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for (node, element) in page.elements() {
        if !matches!(element.name(), "a" | "area") || out.len() >= MAX_LINKS {
            continue;
        }
        let Some(target) = element
            .attribute("href")
            .and_then(|href| page_address(tracking, base, href))
        else {
            continue;
        };
        let key = key(&target);
        if own.as_ref() == Ok(&key) || !seen.insert(key) {
            continue;
        }
        let is_nofollow = element.attribute("rel").is_some_and(|rel| {
            rel.split_ascii_whitespace().any(|rel| {
                ["nofollow", "ugc", "sponsored"]
                    .iter()
                    .any(|no| rel.eq_ignore_ascii_case(no))
            })
        });
        out.push(Link {
            url: target.into(),
            text: link_text(node, element),
            is_nofollow,
        });
    }
    out
}

fn link_text(node: NodeRef<'_>, element: &Element) -> String {
    let text = node_text(node, 200);
    if !text.is_empty() {
        return text;
    }
    let alt = node
        .descendants()
        .take(50)
        .filter_map(|child| child.value().as_element())
        .find_map(|child| child.attribute("alt"));
    alt.or_else(|| element.attribute("aria-label"))
        .or_else(|| element.attribute("title"))
        .or_else(|| element.attribute("alt"))
        .and_then(|text| folded(text, 200))
        .unwrap_or_default()
}

fn logo(page: &Page, data: &[Value], base: &Url) -> Option<String> {
    let from_data = data
        .iter()
        .find_map(logo_of)
        .and_then(|href| resolve(base, &href));
    let from_property = || {
        page.elements()
            .filter(|(_, element)| {
                ["itemprop", "property"]
                    .iter()
                    .filter_map(|attribute| element.attribute(attribute))
                    .any(|value| matches!(value, "logo" | "og:logo" | "schema:logo"))
            })
            .find_map(|(_, element)| {
                let href = element
                    .attribute("content")
                    .or_else(|| image_source(element));
                resolve(base, href.or_else(|| element.attribute("href"))?)
            })
    };
    // The owner's stands in the header or leads home; any other place is a second guess.
    let images: Vec<(bool, Url)> = page
        .elements()
        .filter(|(_, element)| element.name() == "img")
        .filter(|(node, element)| {
            calls_itself_logo(*node, element) && !has_ancestor(*node, "footer")
        })
        .filter_map(|(node, element)| {
            let source = resolve(base, image_source(element)?)?;
            let path = source.path().to_ascii_lowercase();
            let is_foreign = FOREIGN_LOGOS.iter().any(|word| path.contains(word));
            let is_owners = has_ancestor(node, "header") || leads_home(node, base);
            (!is_foreign).then_some((is_owners, source))
        })
        .take(50)
        .collect();
    let from_image = || {
        let best = images.iter().find(|(is_owners, _)| *is_owners);
        best.or_else(|| images.first())
            .map(|(_, source)| source.clone())
    };
    from_data
        .or_else(from_property)
        .or_else(from_image)
        .map(String::from)
}

/// Words in the file names of logos that stand on many sites: payment, shops for apps, awards.
const FOREIGN_LOGOS: &[&str] = &[
    "klarna",
    "paypal",
    "visa",
    "mastercard",
    "payment",
    "app-store",
    "appstore",
    "google-play",
    "googleplay",
    "download-on",
    "award",
    "partner",
    "footer",
    "trustpilot",
];

/// Whether a link around `node` leads to the front page.
fn leads_home(node: NodeRef<'_>, base: &Url) -> bool {
    node.ancestors()
        .take(5)
        .filter_map(|ancestor| ancestor.value().as_element())
        .filter(|element| element.name() == "a")
        .filter_map(|element| resolve(base, element.attribute("href")?))
        .any(|target| target.path() == "/" && target.host_str() == base.host_str())
}

/// The address of an image; lazy loaders keep it in `data-src`.
fn image_source(element: &Element) -> Option<&str> {
    ["data-src", "data-lazy-src", "src"]
        .iter()
        .filter_map(|name| element.attribute(name))
        .find(|source| !source.trim().is_empty() && !source.trim_start().starts_with("data:"))
}

/// The word "logo" in the image's class, id, alternative text or file name, or in the class or id of
/// what directly contains it.
fn calls_itself_logo(node: NodeRef<'_>, element: &Element) -> bool {
    let says_logo = |text: &str| text.to_ascii_lowercase().contains("logo");
    let file = |element: &Element| {
        image_source(element)
            .and_then(|source| source.rsplit('/').next())
            .is_some_and(says_logo)
    };
    ["class", "id", "alt"]
        .iter()
        .filter_map(|name| element.attribute(name))
        .any(says_logo)
        || file(element)
        || node
            .ancestors()
            .take(2)
            .filter_map(|ancestor| ancestor.value().as_element())
            .any(|parent| {
                ["class", "id"]
                    .iter()
                    .filter_map(|name| parent.attribute(name))
                    .any(says_logo)
            })
}

fn logo_of(root: &Value) -> Option<String> {
    first_in(root, |object| {
        // The brand of a product on sale is not the owner of the page.
        if matches!(
            object.get("@type").and_then(Value::as_str),
            Some("Brand" | "Product")
        ) {
            return None;
        }
        match object.get("logo")? {
            Value::String(href) => Some(href.clone()),
            Value::Object(image) => ["url", "contentUrl"]
                .iter()
                .find_map(|key| image.get(*key).and_then(Value::as_str))
                .map(str::to_owned),
            _ => None,
        }
    })
}

fn schema_types(page: &Page, data: &[Value]) -> BTreeSet<String> {
    let mut types = BTreeSet::new();
    let mut add = |name: &str| {
        let name = name
            .trim()
            .rsplit(['/', '#', ':'])
            .next()
            .unwrap_or_default();
        let is_name =
            (2..=60).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric());
        if is_name && types.len() < MAX_SCHEMA_TYPES {
            types.insert(name.to_owned());
        }
    };
    for root in data {
        let _: Option<()> = first_in(root, |object| {
            match object.get("@type") {
                Some(Value::String(name)) => add(name),
                Some(Value::Array(names)) => {
                    names.iter().filter_map(Value::as_str).for_each(&mut add);
                }
                _ => {}
            }
            None
        });
    }
    for (_, element) in page.elements() {
        for name in element
            .attribute("itemtype")
            .unwrap_or_default()
            .split_ascii_whitespace()
            .take(5)
        {
            add(name);
        }
    }
    types
}

#[cfg(test)]
mod accuracy;
#[cfg(test)]
#[path = "page/tests.rs"]
mod tests;
