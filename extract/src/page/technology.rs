//! Tells the software behind a page from the traces it leaves.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::html::{Attributes, Page};
use crate::table::rows;

/// Most bytes of inline scripts that are searched.
const MAX_SCRIPT_BYTES: usize = 512 * 1024;

/// The software behind a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Technology {
    /// The page is made by `WordPress`.
    pub is_wordpress: bool,
    /// Its version, where the generator tag says so.
    pub wordpress_version: Option<String>,
    /// The page is built with Elementor.
    pub has_elementor: bool,
    /// Names of all recognised software: CMS, shop systems, frameworks, analytics, chat …
    pub tech: BTreeSet<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Generator,
    Url,
    Script,
    Class,
    Attribute,
}

static HINTS: LazyLock<Vec<(&'static str, Place, &'static str)>> = LazyLock::new(|| {
    rows(include_str!("../data/technology.txt"))
        .filter_map(|row| {
            let [name, _category, place, needle] = row.as_slice() else {
                return None;
            };
            let place = match *place {
                "generator" => Place::Generator,
                "url" => Place::Url,
                "script" => Place::Script,
                "class" => Place::Class,
                "attribute" => Place::Attribute,
                _ => return None,
            };
            Some((*name, place, *needle))
        })
        .collect()
});

/// Recognises the software behind a page by its hints table.
pub fn technology(page: &Page) -> Technology {
    let mut out = Technology::default();
    let mut script_bytes = 0;
    for (node, element) in page.elements() {
        let is_generator = element.name() == "meta"
            && element
                .attribute("name")
                .is_some_and(|name| name.trim().eq_ignore_ascii_case("generator"));
        if is_generator && let Some(content) = element.attribute("content") {
            let content = content.to_ascii_lowercase();
            mark(&mut out, Place::Generator, |needle| {
                content.contains(needle)
            });
            if let Some(version) = content.trim().strip_prefix("wordpress ") {
                let is_version = |version: &str| {
                    version.starts_with(|c: char| c.is_ascii_digit()) && version.len() <= 20
                };
                out.wordpress_version = version
                    .split([' ', ';', ','])
                    .next()
                    .filter(|v| is_version(v))
                    .map(str::to_owned);
            }
        }
        for (name, value) in element.attrs() {
            let is_address =
                matches!(name, "src" | "data-src") || (name == "href" && element.name() == "link");
            if is_address {
                let value = value
                    .get(..value.floor_char_boundary(2_000))
                    .unwrap_or(value);
                let value = value.to_ascii_lowercase();
                mark(&mut out, Place::Url, |needle| value.contains(needle));
            } else if name == "class" {
                mark(&mut out, Place::Class, |needle| {
                    value
                        .split_ascii_whitespace()
                        .take(100)
                        .any(|class| fits(class, needle))
                });
            }
            if name.contains(['-', ':']) {
                mark(&mut out, Place::Attribute, |needle| fits(name, needle));
            }
        }
        if element.name() == "script"
            && element.attribute("src").is_none()
            && script_bytes < MAX_SCRIPT_BYTES
        {
            let text: String = node
                .children()
                .filter_map(|c| c.value().as_text().map(|text| &**text))
                .collect();
            let text = text
                .get(..text.floor_char_boundary(MAX_SCRIPT_BYTES))
                .unwrap_or(&text);
            script_bytes += text.len();
            let text = text.to_ascii_lowercase();
            mark(&mut out, Place::Script, |needle| text.contains(needle));
        }
    }
    out.is_wordpress = out.tech.contains("wordpress");
    out.has_elementor = out.tech.contains("elementor");
    out
}

fn mark(out: &mut Technology, place: Place, matches: impl Fn(&str) -> bool) {
    for (name, _, needle) in HINTS.iter().filter(|hint| hint.1 == place) {
        if !out.tech.contains(name) && matches(needle) {
            out.tech.insert(name);
        }
    }
}

/// Equal, or a beginning if the needle ends with `*`.
fn fits(text: &str, needle: &str) -> bool {
    match needle.strip_suffix('*') {
        Some(prefix) => text
            .get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix)),
        None => text.eq_ignore_ascii_case(needle),
    }
}
