//! Pages that are none: a notice stands where the site should.
//!
//! A demand to switch scripts on or to agree to cookies, the empty frame of a page that its scripts would fill, what a web server
//! shows where it has no site. Each is told by what it says, in the languages of `notice_words.txt`, **and** by how little else there
//! is: a page with a banner, or with a word for those without scripts, is a page.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use scraper::node::Element;
use serde::Serialize;

use super::html::{Attributes, Page, is_for_others, node_text};
use super::table::rows;

/// A page with more text than this says more than a notice does, in bytes.
const MAX_TEXT_BYTES: usize = 12 * 1024;
/// So many letters may stand beside a notice: a name, a heading, what is linked below.
const MAX_BESIDE: usize = 160;
/// So many may be shown by a page whose notice only those without scripts are to see.
const MAX_SHOWN: usize = 30;
/// A piece of text up to so many letters is a button or a line of its own, and not a sentence about something else.
const SHORT: usize = 60;
/// With so many pictures there is something to be seen.
const MANY_PICTURES: usize = 5;
/// An ideograph says as much as so many letters.
const IDEOGRAPH: usize = 3;
/// Most of a heading, and of a text for those without scripts, that is read, in characters.
const MAX_HEADING: usize = 200;
const MAX_NOSCRIPT: usize = 4_000;

/// What stands there instead of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// That scripts are to be switched on, or nothing at all: its scripts would make the page.
    Script,
    /// That cookies are to be agreed to, or to be kept.
    Consent,
    /// What a web server has where there is no site.
    Default,
}

impl Notice {
    /// What it is, for a sentence about a page.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Script => "nothing is shown before its scripts have run",
            Self::Consent => "only a notice about cookies or consent is shown",
            Self::Default => "only a web server's default page is shown",
        }
    }

    /// Whether a browser may get to see the page behind it.
    #[must_use]
    pub fn needs_browser(self) -> bool {
        self != Self::Default
    }
}

/// The classes of a phrase, as bits.
const SCRIPT: u8 = 1;
const COOKIE: u8 = 2;
const ASK: u8 = 4;
const WAIT: u8 = 8;
const AROUND: u8 = 16;
const DEFAULT: u8 = 32;

struct Phrases {
    automaton: AhoCorasick,
    /// The class of each, and whether it counts within a word.
    known: Vec<(u8, bool)>,
}

static PHRASES: LazyLock<Option<Phrases>> = LazyLock::new(|| {
    let (mut phrases, mut known) = (Vec::new(), Vec::new());
    for row in rows(include_str!("data/notice_words.txt")) {
        let [class, _, listed] = row.as_slice() else {
            continue;
        };
        for phrase in listed.split(" | ") {
            phrases.push(phrase);
            known.push((class_of(class), is_found_within(phrase)));
        }
    }
    let automaton = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(phrases)
        .ok()?;
    Some(Phrases { automaton, known })
});

fn class_of(name: &str) -> u8 {
    match name {
        "script" => SCRIPT,
        "cookie" => COOKIE,
        "ask" => ASK,
        "wait" => WAIT,
        "around" => AROUND,
        "default" => DEFAULT,
        _ => 0,
    }
}

/// Whether a sign is of a script that parts its words and puts nothing before them: Latin, Greek, Cyrillic, Armenian.
fn parts_words(sign: char) -> bool {
    sign < '\u{590}'
}

fn is_found_within(phrase: &str) -> bool {
    phrase
        .chars()
        .next()
        .is_some_and(|first| !parts_words(first))
}

/// The classes of all phrases in a text of lower case.
fn classes(text: &str) -> u8 {
    let Some(phrases) = PHRASES.as_ref() else {
        return 0;
    };
    let begins_word = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|sign| sign.is_alphanumeric() && parts_words(sign))
    };
    phrases
        .automaton
        .find_overlapping_iter(text)
        .filter_map(|found| {
            let (class, is_anywhere) = phrases.known.get(found.pattern().as_usize())?;
            (*is_anywhere || begins_word(found.start())).then_some(*class)
        })
        .fold(0, |all, class| all | class)
}

/// The notice that this page is, if it is one.
#[must_use]
pub fn notice_of(page: &Page) -> Option<Notice> {
    let size: usize = page.blocks().iter().map(|block| block.text.len()).sum();
    if size > MAX_TEXT_BYTES {
        return None;
    }
    if is_default(page) {
        return Some(Notice::Default);
    }
    let for_others: Vec<String> = page
        .elements()
        .filter(|(_, element)| element.name() == "noscript")
        .map(|(node, _)| node_text(node, MAX_NOSCRIPT))
        .collect();
    let mut said = Said::default();
    for block in page.blocks() {
        let text = block.plain();
        let is_for_others = for_others.iter().any(|own| own.contains(text.as_ref()));
        said.add(&text.to_lowercase(), is_for_others);
    }
    said.judged(&Sight::of(page))
}

/// Whether its title or first heading is a default page's.
fn is_default(page: &Page) -> bool {
    page.elements()
        .filter(|(_, element)| matches!(element.name(), "title" | "h1"))
        .take(2)
        .any(|(node, _)| {
            let heading = node_text(node, MAX_HEADING).to_lowercase();
            classes(&heading) & DEFAULT != 0
        })
}

/// What the text of a page comes to.
#[derive(Default)]
struct Said {
    /// Whether scripts are demanded in what everybody sees, and in what those without scripts see.
    demands_scripts: bool,
    demands_scripts_of_others: bool,
    demands_consent: bool,
    /// Letters of what everybody sees: all, and what has nothing to do with a notice.
    shown: usize,
    beside: usize,
}

impl Said {
    fn add(&mut self, text: &str, is_for_others: bool) {
        let found = classes(text);
        // A text about a programming language may ask for something too, though not in the same breath.
        let demands_scripts = found & SCRIPT != 0
            && text
                .split(['.', '!', '?', '。', '！', '？'])
                .any(|sentence| classes(sentence) & (SCRIPT | ASK) == SCRIPT | ASK);
        if is_for_others {
            self.demands_scripts_of_others |= demands_scripts;
            return;
        }
        self.demands_scripts |= demands_scripts;
        self.demands_consent |= found & (COOKIE | ASK) == COOKIE | ASK;
        let letters = letters(text);
        let is_short = letters <= SHORT;
        if !(is_short && found & WAIT != 0) {
            self.shown += letters;
        }
        let is_about_it = found & (SCRIPT | COOKIE | AROUND) != 0;
        if !(is_about_it || is_short && found & (ASK | WAIT) != 0) {
            self.beside += letters;
        }
    }

    fn judged(&self, sight: &Sight) -> Option<Notice> {
        let is_alone = self.beside <= MAX_BESIDE && sight.pictures < MANY_PICTURES;
        let is_empty = !sight.has_things;
        let needs_scripts = self.demands_scripts_of_others && self.shown <= MAX_SHOWN
            || sight.has_scripts && self.shown == 0;
        if is_alone && self.demands_scripts || is_empty && needs_scripts {
            Some(Notice::Script)
        } else if is_alone && self.demands_consent {
            Some(Notice::Consent)
        } else {
            None
        }
    }
}

/// What there is besides text.
#[derive(Default)]
struct Sight {
    has_scripts: bool,
    pictures: usize,
    /// Pictures, frames, forms, links: anything that a person can see or use.
    has_things: bool,
}

impl Sight {
    fn of(page: &Page) -> Self {
        let mut sight = Self::default();
        for (node, element) in page.elements() {
            match element.name() {
                "script" => sight.has_scripts |= is_program(element),
                "img" | "picture" | "video" if !is_for_others(node) => {
                    sight.pictures += 1;
                    sight.has_things = true;
                }
                "embed" | "form" | "frame" | "iframe" | "input" | "object" => {
                    sight.has_things |= !is_for_others(node);
                }
                "a" => {
                    let leads = element
                        .attribute("href")
                        .is_some_and(|href| !href.is_empty());
                    sight.has_things |= leads && !is_for_others(node);
                }
                _ => {}
            }
        }
        sight
    }
}

/// Whether a script element is run, and not data.
fn is_program(element: &Element) -> bool {
    let kind = element.attribute("type").unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    kind.is_empty() || kind == "module" || kind.ends_with("javascript")
}

fn letters(text: &str) -> usize {
    text.chars()
        .filter(|sign| sign.is_alphanumeric())
        .map(|sign| if sign >= '\u{2e80}' { IDEOGRAPH } else { 1 })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(html: &str) -> Option<Notice> {
        notice_of(&Page::parse(html))
    }

    #[test]
    fn a_notice_without_a_page_is_told_from_a_page_with_a_notice() {
        use Notice::{Consent, Default, Script};
        let story =
            "<p>The kettle was invented long ago and is used to boil water for tea.</p>".repeat(4);
        let banner = "<div id=cc>We use cookies. <button>Accept all</button></div>";
        let app = "<noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div>";
        for (html, expected) in [
            // Scripts.
            (app.to_owned(), Some(Script)),
            (format!("<title>Kettles</title><div id=root>Loading…</div>{app}"), Some(Script)),
            ("<div id=app></div><script type=module src=/a.js></script>".to_owned(), Some(Script)),
            ("<body><script>location.replace('/en/')</script>".to_owned(), Some(Script)),
            ("<h1>Please turn JavaScript on and reload the page.</h1>".to_owned(), Some(Script)),
            ("<h2>Kettle GmbH</h2><p>Bitte aktivieren Sie JavaScript in Ihrem Browser.</p><a href=/i>Impressum</a>".to_owned(), Some(Script)),
            ("<p>このサイトを利用するにはJavaScriptを有効にしてください。</p>".to_owned(), Some(Script)),
            ("<p>Для работы сайта необходимо включить JavaScript.</p>".to_owned(), Some(Script)),
            ("<div id=root></div><script src=a.js></script><noscript><img src=//pixel.net/1.gif><iframe src=//tags.net></iframe></noscript>".to_owned(), Some(Script)),
            // Consent.
            ("<title>Please enable cookies</title><h1>Please enable cookies</h1>".to_owned(), Some(Consent)),
            ("<h1>Before you go on</h1><p>We and our 800 partners store cookies on your device. Do you agree?</p><p>Our partners process personal data in order to measure audiences and to develop products, and some do so without asking anybody.</p><button>Accept all</button><button>Reject all</button><a href=/p>Privacy</a>".to_owned(), Some(Consent)),
            ("<p>Wir verwenden Cookies. Bitte stimmen Sie zu: alle Cookies akzeptieren oder ablehnen.</p>".to_owned(), Some(Consent)),
            ("<p>Używamy plików cookie. Wyłącz blokadę i zaakceptuj pliki cookie, aby przejść dalej.</p>".to_owned(), Some(Consent)),
            ("<p>본 사이트는 쿠키를 사용합니다. 쿠키 사용에 동의해 주세요.</p>".to_owned(), Some(Consent)),
            // A server's own.
            ("<title>Welcome to nginx!</title><h1>Welcome to nginx!</h1><p>If you see this page, the server is installed.</p>".to_owned(), Some(Default)),
            ("<title>Index of /</title><h1>Index of /</h1><ul><li><a href=a>a</a></ul>".to_owned(), Some(Default)),
            ("<html><body><h1>It works!</h1></body></html>".to_owned(), Some(Default)),
            // Pages.
            (format!("{story}{banner}"), None),
            (format!("{story}{app}"), None),
            (format!("{banner}<h1>Kettles</h1>{story}"), None),
            ("<p>Nothing here.</p>".to_owned(), None),
            ("<p>Nothing here.</p><script src=/count.js></script>".to_owned(), None),
            ("<title>Up again</title>".to_owned(), None),
            (String::new(), None),
            ("<img src=poster.jpg alt=''><script src=/count.js></script>".to_owned(), None),
            ("<frameset><frame src=a.html></frameset><script src=/a.js></script>".to_owned(), None),
            ("<script type='application/ld+json'>{}</script>".to_owned(), None),
            ("<h1>Grandma's Bakery</h1><p>We bake cookies, bread and pies in Ohio. Every day we are open.</p>".to_owned(), None),
            ("<h1>JavaScript for beginners</h1><p>A course in six evenings.</p>".to_owned(), None),
            (format!("<h1>How to enable JavaScript</h1>{story}"), None),
        ] {
            assert_eq!(notice(&html), expected, "{html}");
        }
        // As long as a notice never is.
        let long = format!(
            "<p>Please enable cookies.</p><p>{}</p>",
            "privacy ".repeat(2_000)
        );
        assert_eq!(notice(&long), None);
    }

    /// No phrase is idle: each makes its class of a page that has none of it otherwise.
    #[test]
    fn every_phrase_decides() {
        let mut seen = 0;
        for row in rows(include_str!("data/notice_words.txt")) {
            let [class, language, phrases] = row.as_slice() else {
                panic!("{row:?}");
            };
            for phrase in phrases.split(" | ") {
                let long = "x".repeat(MAX_BESIDE + 1);
                let html = match *class {
                    "script" => format!("<p>Please enable {phrase}</p>"),
                    "cookie" => format!("<p>Please accept {phrase}</p>"),
                    "ask" => format!("<p>cookie {phrase}</p>"),
                    "wait" => format!("<p>{phrase}</p><script src=a.js></script>"),
                    "around" => format!("<p>Please accept cookies</p><p>{phrase} {long}</p>"),
                    "default" => format!("<h1>{phrase}</h1>"),
                    other => panic!("{other}"),
                };
                assert!(notice(&html).is_some(), "{class} {language} {phrase}");
                seen += 1;
            }
        }
        assert!(seen > 200, "{seen} phrases");
    }
}
