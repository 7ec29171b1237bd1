//! What a page is likely to be, by its URL alone.
//!
//! A sitemap lists thousands of URLs, of which a handful lead to contacts. The path usually says which. Every URL gets a type, the
//! name of the rule that decided, and a confidence; none is dropped, so that a better set of rules can be run over the same rows
//! again ([`RULES_VERSION`] is stored beside them).
//!
//! Words stand in `extract/data/page_words.txt`, rules in one table here; the first rule that applies decides.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use url::Url;

/// The version of the rules and words. It changes whenever a URL may get another answer.
pub const RULES_VERSION: u32 = 3;

/// The least confidence with which a page is queued.
const QUEUE_CONFIDENCE: f32 = 0.6;

/// The greatest depth at which a page is queued.
const QUEUE_DEPTH: u16 = 2;

/// What a page is likely to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageType {
    /// How to reach the business.
    ContactRoot,
    /// How to apply there.
    CareerContact,
    /// Who they are.
    AboutRoot,
    /// What they do.
    ServicesRoot,
    /// What they serve.
    MenuRoot,
    /// What it costs.
    PricingRoot,
    /// The people.
    TeamRoot,
    /// Privacy, terms and the imprint, which in many countries must name address and e-mail.
    LegalRoot,
    /// An address of the blog system's (`WordPress`) own.
    WpProspect,
    /// The first page of the site or of a language.
    Home,
    /// A blog, or a post in it.
    Blog,
    /// A list of posts by tag, author or date.
    Archive,
    /// A product, or a list of them.
    Product,
    /// Basket, log-in, search and the like.
    Utility,
    /// No page but a file: an image, a document, a feed.
    Asset,
    /// The URL does not say.
    Unknown,
}

impl PageType {
    /// Every type.
    pub const ALL: [Self; 16] = [
        Self::ContactRoot,
        Self::CareerContact,
        Self::AboutRoot,
        Self::ServicesRoot,
        Self::MenuRoot,
        Self::PricingRoot,
        Self::TeamRoot,
        Self::LegalRoot,
        Self::WpProspect,
        Self::Home,
        Self::Blog,
        Self::Archive,
        Self::Product,
        Self::Utility,
        Self::Asset,
        Self::Unknown,
    ];

    /// Returns the text that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContactRoot => "contact_root",
            Self::CareerContact => "career_contact",
            Self::AboutRoot => "about_root",
            Self::ServicesRoot => "services_root",
            Self::MenuRoot => "menu_root",
            Self::PricingRoot => "pricing_root",
            Self::TeamRoot => "team_root",
            Self::LegalRoot => "legal_root",
            Self::WpProspect => "wp_prospect",
            Self::Home => "home",
            Self::Blog => "blog",
            Self::Archive => "archive",
            Self::Product => "product",
            Self::Utility => "utility",
            Self::Asset => "asset",
            Self::Unknown => "unknown",
        }
    }
}

/// What is done with a page at import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Select it, and queue it for curation.
    Queue,
    /// Store it, for a person to decide.
    Keep,
    /// Store it as filtered.
    Filter,
}

impl Disposition {
    /// Returns the text that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Keep => "keep",
            Self::Filter => "filter",
        }
    }
}

/// The answer for one URL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Category {
    /// What the page is likely to be.
    pub page_type: PageType,
    /// The name of the rule that decided.
    pub rule: &'static str,
    /// From 0 to 1.
    pub confidence: f32,
    /// Segments of the path, without a language prefix and without an index page (`/en/contact/index.html` has 1).
    pub path_depth: u16,
    /// What is done with it.
    pub disposition: Disposition,
}

/// One line of the table.
struct Rule {
    name: &'static str,
    page_type: PageType,
    when: When,
    /// At the top (or below words that only wrap, as `/pages/contact`), one level down, and deeper.
    confidence: [f32; 3],
    is_excluded: bool,
}

/// When a rule applies. Words name a list in the data.
enum When {
    /// The last segment has an extension of this list.
    Extension(&'static str),
    /// Some segment is the blog system's own.
    WordPressPath,
    /// The last segment is a word of the list.
    Leaf(&'static str),
    /// A segment that only wrapping words precede is a word of the list, and something follows it.
    Below(&'static str),
    /// As `Below` the first list, and some later segment is of the second.
    Within(&'static str, &'static str),
    /// The last segment begins with a phrase that only contact pages begin with.
    ContactPhrase,
    /// The path begins with a year and a month, and something follows.
    Dated,
    /// The path is empty, and a query parameter's value is a word of the list (`/?page=contact`).
    QueryValue(&'static str),
    /// A blog system without permalinks: `?p=12`.
    PlainPermalink,
    /// The path is empty.
    Root,
    /// Stands for the answer when no rule applies.
    Never,
}

const fn rule(name: &'static str, page_type: PageType, when: When, confidence: [f32; 3]) -> Rule {
    Rule {
        name,
        page_type,
        when,
        confidence,
        is_excluded: false,
    }
}

const fn exclude(name: &'static str, page_type: PageType, when: When, confidence: f32) -> Rule {
    Rule {
        name,
        page_type,
        when,
        confidence: [confidence; 3],
        is_excluded: true,
    }
}

/// The rules, in order.
static RULES: &[Rule] = &[
    exclude(
        "asset-extension",
        PageType::Asset,
        When::Extension("asset-extension"),
        0.9,
    ),
    rule(
        "wordpress-path",
        PageType::WpProspect,
        When::WordPressPath,
        [0.9; 3],
    ),
    exclude("feed", PageType::Asset, When::Leaf("feed"), 0.8),
    exclude("below-blog", PageType::Blog, When::Below("blog"), 0.9),
    exclude("dated-path", PageType::Blog, When::Dated, 0.8),
    exclude(
        "below-archive",
        PageType::Archive,
        When::Below("archive"),
        0.8,
    ),
    rule(
        "career-contact",
        PageType::CareerContact,
        When::Within("career", "contact"),
        [0.8; 3],
    ),
    rule(
        "contact",
        PageType::ContactRoot,
        When::Leaf("contact"),
        [0.9, 0.7, 0.5],
    ),
    rule(
        "contact-phrase",
        PageType::ContactRoot,
        When::ContactPhrase,
        [0.8, 0.6, 0.4],
    ),
    rule(
        "imprint",
        PageType::LegalRoot,
        When::Leaf("imprint"),
        [0.9, 0.8, 0.5],
    ),
    rule(
        "legal",
        PageType::LegalRoot,
        When::Leaf("legal"),
        [0.8, 0.7, 0.5],
    ),
    rule(
        "career",
        PageType::CareerContact,
        When::Leaf("career"),
        [0.7, 0.6, 0.4],
    ),
    rule(
        "team",
        PageType::TeamRoot,
        When::Leaf("team"),
        [0.8, 0.6, 0.4],
    ),
    rule(
        "pricing",
        PageType::PricingRoot,
        When::Leaf("pricing"),
        [0.7, 0.5, 0.3],
    ),
    rule(
        "menu",
        PageType::MenuRoot,
        When::Leaf("menu"),
        [0.7, 0.5, 0.3],
    ),
    rule(
        "services",
        PageType::ServicesRoot,
        When::Leaf("services"),
        [0.8, 0.5, 0.3],
    ),
    rule(
        "about",
        PageType::AboutRoot,
        When::Leaf("about"),
        [0.8, 0.5, 0.3],
    ),
    rule("blog", PageType::Blog, When::Leaf("blog"), [0.8, 0.6, 0.4]),
    rule(
        "archive",
        PageType::Archive,
        When::Leaf("archive"),
        [0.6, 0.5, 0.4],
    ),
    rule(
        "utility",
        PageType::Utility,
        When::Leaf("utility"),
        [0.7, 0.6, 0.5],
    ),
    rule(
        "product",
        PageType::Product,
        When::Leaf("product"),
        [0.6, 0.5, 0.4],
    ),
    rule(
        "below-contact",
        PageType::ContactRoot,
        When::Below("contact"),
        [0.6; 3],
    ),
    rule(
        "below-imprint",
        PageType::LegalRoot,
        When::Below("imprint"),
        [0.6; 3],
    ),
    rule(
        "below-legal",
        PageType::LegalRoot,
        When::Below("legal"),
        [0.6; 3],
    ),
    rule(
        "below-career",
        PageType::CareerContact,
        When::Below("career"),
        [0.5; 3],
    ),
    rule(
        "below-team",
        PageType::TeamRoot,
        When::Below("team"),
        [0.5; 3],
    ),
    rule(
        "below-product",
        PageType::Product,
        When::Below("product"),
        [0.6; 3],
    ),
    rule(
        "below-pricing",
        PageType::PricingRoot,
        When::Below("pricing"),
        [0.4; 3],
    ),
    rule(
        "below-menu",
        PageType::MenuRoot,
        When::Below("menu"),
        [0.4; 3],
    ),
    rule(
        "below-services",
        PageType::ServicesRoot,
        When::Below("services"),
        [0.5; 3],
    ),
    rule(
        "below-utility",
        PageType::Utility,
        When::Below("utility"),
        [0.5; 3],
    ),
    rule(
        "below-about",
        PageType::AboutRoot,
        When::Below("about"),
        [0.4; 3],
    ),
    rule(
        "contact-query",
        PageType::ContactRoot,
        When::QueryValue("contact"),
        [0.7; 3],
    ),
    rule(
        "imprint-query",
        PageType::LegalRoot,
        When::QueryValue("imprint"),
        [0.7; 3],
    ),
    rule(
        "plain-permalink",
        PageType::WpProspect,
        When::PlainPermalink,
        [0.9, 0.5, 0.5],
    ),
    rule("root", PageType::Home, When::Root, [0.9; 3]),
];

/// The answer where no rule applies.
const NO_RULE: Rule = rule("none", PageType::Unknown, When::Never, [0.2; 3]);

/// Beginnings of a segment after which anything is still a contact page (`contact-us-today`), unlike `contact-lenses`.
const CONTACT_PHRASES: [&str; 8] = [
    "contact-us-",
    "contact-our-",
    "contact-the-",
    "get-in-touch-",
    "how-to-contact-",
    "how-to-reach-",
    "kontaktieren-sie-",
    "contactez-",
];

/// Segments that only the blog system `WordPress` has.
const WORDPRESS_SEGMENTS: [&str; 6] = [
    "wp-content",
    "wp-admin",
    "wp-includes",
    "wp-json",
    "wp-login",
    "wp-signup",
];

/// The name of the list of segments that stand between a page and the top without saying anything.
const WRAPPERS: &str = "wrapper";

type Words = HashMap<&'static str, HashSet<&'static str>>;

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words::new();
    let mut list = "";
    for line in include_str!("data/page_words.txt").lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            list = name;
        } else if let Some((_, row)) = line.split_once(": ") {
            words.entry(list).or_default().extend(row.split(' '));
        }
    }
    words
});

fn is_word(list: &str, text: &str) -> bool {
    WORDS.get(list).is_some_and(|words| words.contains(text))
}

/// Says what a page is likely to be, and what to do with it.
///
/// Contact, career and legal pages are queued if the confidence is at least 0.6 and the depth at most 2; files, posts and archives are
/// filtered; everything else is kept.
#[must_use]
pub fn categorize(url: &Url) -> Category {
    let page = Page::of(url);
    let rule = RULES
        .iter()
        .find(|rule| page.fits(&rule.when))
        .unwrap_or(&NO_RULE);
    let level = page.segments.len().saturating_sub(page.wrappers + 1);
    let [near, second, deep] = rule.confidence;
    let confidence = match level {
        0 => near,
        1 => second,
        _ => deep,
    };
    let path_depth = u16::try_from(page.segments.len()).unwrap_or(u16::MAX);
    let leads_to_contacts = matches!(
        rule.page_type,
        PageType::ContactRoot | PageType::CareerContact | PageType::LegalRoot
    );
    let disposition = if rule.is_excluded {
        Disposition::Filter
    } else if leads_to_contacts && confidence >= QUEUE_CONFIDENCE && path_depth <= QUEUE_DEPTH {
        Disposition::Queue
    } else {
        Disposition::Keep
    };
    Category {
        page_type: rule.page_type,
        rule: rule.name,
        confidence,
        path_depth,
        disposition,
    }
}

/// A URL taken apart for the rules.
struct Page<'a> {
    /// Folded segments, without language prefixes and index page.
    segments: Vec<String>,
    /// How many of them, from the top and before the last, only wrap.
    wrappers: usize,
    /// The extension of the last segment, in lower case.
    extension: Option<String>,
    query: &'a str,
}

impl<'a> Page<'a> {
    fn of(url: &'a Url) -> Self {
        let mut segments: Vec<String> = Vec::new();
        let mut extension = None;
        for raw in url.path().split('/').filter(|raw| !raw.is_empty()) {
            let (segment, found) = fold(raw);
            segments.push(segment);
            extension = found;
        }
        if url.path().ends_with('/') {
            extension = None;
        }
        let is_page = extension
            .as_deref()
            .is_some_and(|found| is_word("page-extension", found));
        if segments
            .last()
            .is_some_and(|last| last == "index" || (is_page && is_word("index-page", last)))
        {
            segments.pop();
        }
        // `/us/en/…` has two.
        for _ in 0..2 {
            let is_alone = segments.len() == 1;
            if segments
                .first()
                .is_some_and(|first| is_locale(first, is_alone))
            {
                segments.remove(0);
            }
        }
        if segments.len() == 1 && segments.first().is_some_and(|only| only == "home") {
            segments.clear();
        }
        let before_last = segments.len().saturating_sub(1);
        let wrappers = segments
            .iter()
            .take(before_last)
            .take_while(|word| is_word(WRAPPERS, word))
            .count();
        Self {
            segments,
            wrappers,
            extension,
            query: url.query().unwrap_or_default(),
        }
    }

    fn fits(&self, when: &When) -> bool {
        let last = self.segments.last().map(String::as_str);
        match when {
            When::Extension(list) => self
                .extension
                .as_deref()
                .is_some_and(|found| is_word(list, found)),
            When::WordPressPath => self
                .segments
                .iter()
                .any(|segment| WORDPRESS_SEGMENTS.contains(&segment.as_str())),
            When::Leaf(list) => last.is_some_and(|last| is_word(list, last)),
            When::Below(list) => self.is_below(list).is_some(),
            When::Within(list, then) => self
                .is_below(list)
                .and_then(|at| self.segments.get(at + 1..))
                .is_some_and(|later| later.iter().any(|segment| is_word(then, segment))),
            When::ContactPhrase => last.is_some_and(|last| {
                CONTACT_PHRASES
                    .iter()
                    .any(|phrase| last.starts_with(phrase))
            }),
            When::Dated => match self.segments.as_slice() {
                [year, month, _, ..] => {
                    is_number(year, 1990..=2099, 4) && is_number(month, 1..=12, 2)
                }
                _ => false,
            },
            When::QueryValue(list) => {
                self.segments.is_empty()
                    && self.parameters().any(|(_, value)| {
                        let word = value.rsplit(['/', '=']).next().unwrap_or_default();
                        is_word(list, &fold(word).0)
                    })
            }
            When::PlainPermalink => self.parameters().any(|(name, value)| {
                matches!(name, "p" | "page_id" | "attachment_id")
                    && !value.is_empty()
                    && value.bytes().all(|byte| byte.is_ascii_digit())
            }),
            When::Root => self.segments.is_empty(),
            When::Never => false,
        }
    }

    /// Finds the segment, behind nothing but wrapping ones, that is a word of the list and is not the last.
    fn is_below(&self, list: &str) -> Option<usize> {
        let before_last = self.segments.len().saturating_sub(1);
        (0..=self.wrappers)
            .take_while(|&at| at < before_last)
            .find(|&at| {
                self.segments
                    .get(at)
                    .is_some_and(|segment| is_word(list, segment))
            })
    }

    fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
    }
}

/// Decodes a segment, lowers it, takes a page extension off and writes `-` between its words; returns the extension, if any.
fn fold(raw: &str) -> (String, Option<String>) {
    let decoded: Cow<'_, str> = percent_decode_str(raw).decode_utf8_lossy();
    let mut text = decoded.to_lowercase();
    let mut extension = None;
    if let Some((stem, found)) = text.rsplit_once('.')
        && !stem.is_empty()
        && (1..=6).contains(&found.len())
        && found.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        extension = Some(found.to_owned());
        if is_word("page-extension", found) || is_word("asset-extension", found) {
            text = stem.to_owned();
        }
    }
    let mut folded = String::with_capacity(text.len());
    for word in text
        .split(|c: char| c.is_whitespace() || "-_+.".contains(c))
        .filter(|word| !word.is_empty())
    {
        if !folded.is_empty() {
            folded.push('-');
        }
        folded.push_str(word);
    }
    (folded, extension)
}

/// Recognises a language or country prefix: `en`, `pt-br`, `zh-hans`, and the words some sites use.
///
/// Any two letters will do: most pairs are assigned, and taking one too many only shortens the path by it. A word of the lists is
/// none where it stands alone (`/om`, which is Norwegian for "about"), and with a hyphen never (`il-team`).
fn is_locale(segment: &str, is_alone: bool) -> bool {
    let is_letters = |text: &str, lengths: &[usize]| {
        lengths.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    let is_listed = || WORDS.values().any(|words| words.contains(segment));
    match segment.split_once('-') {
        None => {
            (is_letters(segment, &[2]) && !(is_alone && is_listed()))
                || matches!(
                    segment,
                    "english"
                        | "deutsch"
                        | "francais"
                        | "espanol"
                        | "italiano"
                        | "int"
                        | "intl"
                        | "global"
                )
        }
        Some((language, region)) => {
            is_letters(language, &[2]) && is_letters(region, &[2, 4]) && !is_listed()
        }
    }
}

fn is_number(text: &str, range: std::ops::RangeInclusive<u16>, most_digits: usize) -> bool {
    text.len() <= most_digits
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse().is_ok_and(|number| range.contains(&number))
}

#[cfg(test)]
mod tests;
