//! robots.txt: who may fetch what.
//!
//! The rules are RFC 9309's; where it leaves room, or real files break it, Google's published matcher decides, because site
//! owners test their files against that one: missing colons, misspelt `disallow`, `*` followed by more text, lines of 16 KiB,
//! `Allow: /index.html` standing for the folder too.
//!
//! Paths and patterns are compared in one canonical spelling (RFC 9309, section 2.2.2): `%7e` is `~`, `%3A` is `:`, `ä` is
//! `%C3%A4`, and a `%2A` in a pattern is an asterisk of the path, not a wildcard. Only a slash and a question mark that divide
//! the path are not the same as their escapes; within a query, they are.
//!
//! Names of agents have letters, `_` and `-` in that standard. Real ones have digits too (`Acme3Bot`), which are told apart; an agent
//! without digits is also meant by its name with a number behind it (`Acme2.0`), as for Google's matcher.
//!
//! Parsing is linear in the file. One answer costs at most the rules of the agent's groups times the length of the path, since
//! a wildcard takes its leftmost match and never goes back.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use url::Url;

use super::percent::{escape_at, is_unreserved, push_escape};

/// How much of a file is read, in bytes: the least that RFC 9309, section 2.5, allows, and what Google reads.
pub const MAX_ROBOTS_BYTES: usize = 500 * 1024;

/// The longest crawl delay reported; a larger one is a mistake or a refusal, and must not stall a host for ever.
pub const MAX_CRAWL_DELAY: Duration = Duration::from_hours(24);

/// How much of one line is read, in bytes, as in Google's parser.
const MAX_LINE_BYTES: usize = 2083 * 8;

/// A parsed robots.txt. The default one allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Robots {
    groups: Vec<Group>,
    sitemaps: Vec<String>,
}

/// Agents that are named together, and their rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    agents: Vec<Agent>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Agent {
    /// The product token in lower case; `None` is `*`.
    token: Option<String>,
    crawl_delay: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    allow: bool,
    /// Canonical, without the final `$`; every `*` in it is a wildcard.
    pattern: String,
    /// The pattern ended in `$`.
    anchored: bool,
    /// The length of the pattern as written: the longest match wins.
    priority: usize,
}

impl Robots {
    /// Reads a file as served. Never fails: what is not understood is passed over.
    ///
    /// A byte order mark is removed and UTF-16 is decoded. Only the first [`MAX_ROBOTS_BYTES`] count; a line cut by that limit
    /// is dropped, since half a path would match more than was meant.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let bytes = match bytes.get(..MAX_ROBOTS_BYTES) {
            Some(head) if bytes.len() > MAX_ROBOTS_BYTES => {
                let end = head
                    .iter()
                    .rposition(|&byte| byte == b'\n' || byte == b'\r');
                head.get(..end.unwrap_or(0)).unwrap_or_default()
            }
            _ => bytes,
        };
        let text = as_ascii_compatible(bytes);
        let mut builder = Builder::default();
        let mut rest = &*text;
        while !rest.is_empty() {
            let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = rest.get(..end.min(MAX_LINE_BYTES)).unwrap_or_default();
            if let Some((key, value)) = key_and_value(line) {
                builder.take(key, value);
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        builder.finish()
    }

    /// Returns the rules of a host whose robots.txt cannot be reached (RFC 9309, section 2.3.1.4): nothing is allowed.
    #[must_use]
    pub fn refuse_everything() -> Self {
        Self::parse(b"user-agent: *\ndisallow: /")
    }

    /// Says whether `user_agent` may fetch `url`.
    ///
    /// Of `user_agent` the leading product token counts (`Gleaner` in `Gleaner/1.0 (+https://…)`), without regard to case. All
    /// groups naming it apply together; only if there is none, those for `*`. The longest matching rule wins, and of two equal
    /// ones the one that allows. `/robots.txt` itself is always allowed.
    #[must_use]
    pub fn is_allowed(&self, user_agent: &str, url: &Url) -> bool {
        if url.path() == "/robots.txt" {
            return true;
        }
        let (path, other_path) = spellings(url);
        let is_met = |rule: &Rule| {
            matches(&path, rule) || other_path.as_ref().is_some_and(|path| matches(path, rule))
        };
        let (mut allow, mut disallow) = (0, 0);
        for rule in self
            .groups_for(user_agent)
            .into_iter()
            .flat_map(|(group, _)| &group.rules)
        {
            let best = if rule.allow {
                &mut allow
            } else {
                &mut disallow
            };
            if rule.priority > *best && is_met(rule) {
                *best = rule.priority;
            }
        }
        disallow <= allow
    }

    /// Returns the longest `Crawl-delay` that the file asks of `user_agent`, at most [`MAX_CRAWL_DELAY`].
    #[must_use]
    pub fn crawl_delay(&self, user_agent: &str) -> Option<Duration> {
        self.groups_for(user_agent)
            .into_iter()
            .filter_map(|(_, agent)| agent.crawl_delay)
            .max()
    }

    /// Returns the `Sitemap:` values in the order of the file, each once, as written (they may be relative).
    #[must_use]
    pub fn sitemaps(&self) -> &[String] {
        &self.sitemaps
    }

    /// Finds the groups that apply, each with the entry that named the agent.
    fn groups_for(&self, user_agent: &str) -> Vec<(&Group, &Agent)> {
        let token = product_token(user_agent.trim().as_bytes());
        let naming = |is_meant: &dyn Fn(Option<&str>) -> bool| -> Vec<(&Group, &Agent)> {
            self.groups
                .iter()
                .flat_map(|group| group.agents.iter().map(move |agent| (group, agent)))
                .filter(|(_, agent)| is_meant(agent.token.as_deref()))
                .collect()
        };
        let specific = token
            .map(|token| naming(&|named| named.is_some_and(|named| names(named, &token))))
            .unwrap_or_default();
        if specific.is_empty() {
            naming(&|named| named.is_none())
        } else {
            specific
        }
    }
}

/// Collects lines into groups.
#[derive(Default)]
struct Builder {
    robots: Robots,
    /// A rule was seen since the last user-agent line, so the next one opens a new group.
    closed: bool,
    /// The agents of the open group, and how many of them have had their crawl delay.
    agents: HashSet<Option<String>>,
    delayed: usize,
    sitemaps: HashSet<String>,
}

impl Builder {
    fn take(&mut self, key: &[u8], value: &[u8]) {
        match Key::of(key) {
            Some(Key::UserAgent) => self.user_agent(value),
            Some(Key::Allow) => self.rule(true, value),
            Some(Key::Disallow) => self.rule(false, value),
            Some(Key::CrawlDelay) => self.crawl_delay(value),
            Some(Key::Sitemap) => self.sitemaps(&String::from_utf8_lossy(value)),
            // Lines that RFC 9309 does not define never end a group.
            None => {}
        }
    }

    fn sitemaps(&mut self, value: &str) {
        for address in addresses(value) {
            if self.sitemaps.insert(address.to_owned()) {
                self.robots.sitemaps.push(address.to_owned());
            }
        }
    }

    fn user_agent(&mut self, value: &[u8]) {
        if self.closed || self.robots.groups.is_empty() {
            self.robots.groups.push(Group::default());
            self.closed = false;
            self.agents.clear();
            self.delayed = 0;
        }
        let is_any = match value {
            [b'*'] => true,
            [b'*', next, ..] => next.is_ascii_whitespace(),
            _ => false,
        };
        let token = product_token(value);
        if !is_any && token.is_none() {
            return;
        }
        let token = if is_any { None } else { token };
        if self.agents.insert(token.clone())
            && let Some(group) = self.robots.groups.last_mut()
        {
            group.agents.push(Agent {
                token,
                crawl_delay: None,
            });
        }
    }

    fn rule(&mut self, allow: bool, value: &[u8]) {
        // A rule before the first user-agent line belongs to nobody.
        let Some(group) = self.robots.groups.last_mut() else {
            return;
        };
        self.closed = true;
        if value.is_empty() {
            return;
        }
        if allow && let Some(folder) = folder_of_index_page(value) {
            group.rules.push(Rule {
                anchored: true,
                priority: folder.len() + 1,
                ..Rule::new(allow, folder)
            });
        }
        group.rules.push(Rule::new(allow, value));
    }

    fn crawl_delay(&mut self, value: &[u8]) {
        let Some(seconds) = seconds(value) else {
            return;
        };
        let delay = Duration::from_secs_f64(seconds.min(MAX_CRAWL_DELAY.as_secs_f64()));
        let Some(group) = self.robots.groups.last_mut() else {
            return;
        };
        // Only agents named so far: a later one in the same group did not ask for it.
        for agent in group.agents.iter_mut().skip(self.delayed) {
            agent.crawl_delay = Some(delay);
        }
        self.delayed = group.agents.len();
    }

    fn finish(self) -> Robots {
        self.robots
    }
}

impl Rule {
    fn new(allow: bool, value: &[u8]) -> Self {
        let (pattern, anchored) = match value {
            [head @ .., b'$'] => (head, true),
            _ => (value, false),
        };
        // Octets outside ASCII count as the three characters of their percent-encoding.
        let high = value.iter().filter(|byte| !byte.is_ascii()).count();
        Self {
            allow,
            pattern: canonical_pattern(pattern),
            anchored,
            priority: value.len() + 2 * high,
        }
    }
}

#[derive(Clone, Copy)]
enum Key {
    UserAgent,
    Allow,
    Disallow,
    Sitemap,
    CrawlDelay,
}

impl Key {
    /// Keys are recognised by how they begin, without regard to case; the misspellings of `user-agent` and `disallow` are those
    /// that Google's parser knows.
    const NAMES: [(&str, Self); 16] = [
        ("user-agent", Self::UserAgent),
        ("useragent", Self::UserAgent),
        ("user agent", Self::UserAgent),
        ("allow", Self::Allow),
        ("disallow", Self::Disallow),
        ("dissallow", Self::Disallow),
        ("dissalow", Self::Disallow),
        ("disalow", Self::Disallow),
        ("diasllow", Self::Disallow),
        ("disallaw", Self::Disallow),
        ("sitemap", Self::Sitemap),
        ("site-map", Self::Sitemap),
        ("crawl-delay", Self::CrawlDelay),
        ("crawldelay", Self::CrawlDelay),
        ("crawl delay", Self::CrawlDelay),
        ("crawl_delay", Self::CrawlDelay),
    ];

    fn of(key: &[u8]) -> Option<Self> {
        let first = key.first()?.to_ascii_lowercase();
        Self::NAMES
            .iter()
            .filter(|(name, _)| name.as_bytes().first() == Some(&first))
            .find(|(name, _)| {
                key.get(..name.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
            })
            .map(|&(_, key)| key)
    }
}

/// Removes a byte order mark, and decodes UTF-16 (with a mark, or recognised by its zero bytes).
fn as_ascii_compatible(bytes: &[u8]) -> Cow<'_, [u8]> {
    let utf16 = match bytes {
        // Also one that was cut, as Google's parser has it.
        [0xef, 0xbb, 0xbf, rest @ ..] | [0xef, 0xbb, rest @ ..] | [0xef, rest @ ..] => {
            return Cow::Borrowed(rest);
        }
        [0xff, 0xfe, ..] => encoding_rs::UTF_16LE,
        [0xfe, 0xff, ..] => encoding_rs::UTF_16BE,
        [first, 0, ..] if *first != 0 => encoding_rs::UTF_16LE,
        [0, second, ..] if *second != 0 => encoding_rs::UTF_16BE,
        _ => return Cow::Borrowed(bytes),
    };
    let (text, _) = utf16.decode_with_bom_removal(bytes);
    Cow::Owned(text.into_owned().into_bytes())
}

/// Splits a line at its colon; without one, at white space if that leaves exactly two words. A comment or a NUL ends it.
fn key_and_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr2(b'#', 0, line).unwrap_or(line.len());
    let line = line.get(..end)?.trim_ascii();
    let (key, value) = match memchr::memchr(b':', line) {
        Some(colon) => (line.get(..colon)?, line.get(colon + 1..)?),
        None => {
            let space = line.iter().position(|byte| b" \t".contains(byte))?;
            let (key, value) = line.split_at(space);
            if value.trim_ascii().iter().any(|byte| b" \t".contains(byte)) {
                return None;
            }
            (key, value)
        }
    };
    let key = key.trim_ascii();
    (!key.is_empty()).then_some((key, value.trim_ascii()))
}

/// Reads the number at the beginning of a text, with a point or a comma before its decimals: `1,5` is one and a half in most of Europe.
fn seconds(text: &[u8]) -> Option<f64> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = text.split_at(digits(text));
    let decimals = match rest {
        [b'.' | b',', rest @ ..] => rest.get(..digits(rest))?,
        _ => &[],
    };
    let number = [whole, b".", decimals].concat();
    std::str::from_utf8(&number).ok()?.parse().ok()
}

/// The addresses on one line, which is to have one: without the quotes and brackets around them, whatever separates them.
fn addresses(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (address, behind) = rest.split_at(end_of_address(rest));
            rest = behind;
            let address = unwrapped(address);
            if !address.is_empty() {
                return Some(address);
            }
        }
        None
    })
}

/// Where the first address of a text ends.
///
/// Commas and brackets may be part of an address, and so may a space in a wrong one: they end it where another one begins behind them.
fn end_of_address(text: &str) -> usize {
    let mut at = text.len() - text.trim_start_matches(is_between).len();
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let Some(start) = rest.find(is_between).map(|start| at + start) else {
            return text.len();
        };
        let behind = text.get(start..).unwrap_or_default();
        let next = behind.trim_start_matches(is_between);
        at = text.len() - next.len();
        let between = text.get(start..at).unwrap_or_default();
        let divides = between.contains(is_separator) || between.chars().nth(1).is_some();
        let is_path = next.starts_with('/') && between.contains(char::is_whitespace);
        if divides && (is_path || is_full(next)) {
            return start;
        }
    }
}

fn is_between(sign: char) -> bool {
    is_separator(sign) || is_wrapping(sign)
}

fn is_separator(sign: char) -> bool {
    sign.is_whitespace() || ",;|".contains(sign)
}

fn is_wrapping(sign: char) -> bool {
    is_quote(sign) || "<>()[]{}".contains(sign)
}

fn is_quote(sign: char) -> bool {
    "\"'`“”„«»‘’".contains(sign)
}

fn is_full(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    })
}

/// An address without what is put around it. Brackets at its end alone may be its own.
fn unwrapped(address: &str) -> &str {
    let bare = address.trim_start_matches(is_between);
    let before = address.strip_suffix(bare).unwrap_or_default();
    let is_wrapped = before.contains(is_wrapping);
    bare.trim_end_matches(|sign| {
        is_separator(sign) || is_quote(sign) || is_wrapped && is_wrapping(sign)
    })
}

/// Whether a name in the file means an agent: its own name, or that of one without digits and a number behind it.
fn names(named: &str, agent: &str) -> bool {
    let has_digit = || agent.bytes().any(|byte| byte.is_ascii_digit());
    named.strip_prefix(agent).is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(|sign: char| sign.is_ascii_digit()) && !has_digit()
    })
}

/// Takes the leading `[A-Za-z0-9_-]+` of a user agent in lower case: the product token of RFC 9309, section 2.2.1, with digits.
fn product_token(user_agent: &[u8]) -> Option<String> {
    let is_token = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte == b'-';
    let token: String = user_agent
        .iter()
        .take_while(is_token)
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    (!token.is_empty()).then_some(token)
}

/// Returns `/a/` for `/a/index.html` and the like.
fn folder_of_index_page(value: &[u8]) -> Option<&[u8]> {
    let slash = value.iter().rposition(|&byte| byte == b'/')?;
    let (folder, page) = value.split_at(slash + 1);
    page.starts_with(b"index.htm").then_some(folder)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wildcards {
    /// In a pattern, `*` is a wildcard.
    Special,
    /// In a path, `*` is a character.
    Literal,
}

/// What divides a path where it stands plainly, and does not where it is escaped.
const DIVIDERS: &[u8] = b"/?";

/// A path and its query in the spelling in which they are compared, and in another one if they have it. In a query, `%2F` is the same
/// as `/`; but a pattern without a question mark may mean either, and so such an address is compared both ways.
fn spellings(url: &Url) -> (String, Option<String>) {
    let mut path = canonical(url.path().as_bytes(), Wildcards::Literal, DIVIDERS);
    let Some(query) = url.query().map(str::as_bytes) else {
        return (path, None);
    };
    path.push('?');
    let with_query =
        |dividers: &[u8]| path.clone() + &canonical(query, Wildcards::Literal, dividers);
    let one = with_query(&[]);
    let other = query
        .contains(&b'%')
        .then(|| with_query(DIVIDERS))
        .filter(|other| *other != one);
    (one, other)
}

/// A pattern in the spelling in which it is compared: what stands behind its question mark is in a query.
fn canonical_pattern(pattern: &[u8]) -> String {
    let query = memchr::memchr(b'?', pattern).unwrap_or(pattern.len());
    let (path, query) = pattern.split_at(query);
    let mut out = canonical(path, Wildcards::Special, DIVIDERS);
    out.push_str(&canonical(query, Wildcards::Special, &[]));
    out
}

/// Writes a part of a path or pattern in the one spelling in which it is compared: whatever means the same plain and escaped is
/// plain, besides these dividers.
fn canonical(bytes: &[u8], wildcards: Wildcards, dividers: &[u8]) -> String {
    // Most are in that spelling already.
    let as_it_is = |byte: u8| is_plain(byte) || byte == b'*' && wildcards == Wildcards::Special;
    let plain = bytes.iter().take_while(|byte| as_it_is(**byte)).count();
    let (head, mut rest) = bytes.split_at(plain);
    let mut out = String::with_capacity(bytes.len() + 2 * rest.len());
    out.push_str(std::str::from_utf8(head).unwrap_or_default());
    while let [first, tail @ ..] = rest {
        if let Some((byte, tail)) = escape_at(rest) {
            let is_same = is_unreserved(byte) || is_reserved(byte) && !dividers.contains(&byte);
            if is_same {
                out.push(char::from(byte));
            } else {
                push_escape(&mut out, byte);
            }
            rest = tail;
            continue;
        }
        if as_it_is(*first) || *first == b'%' {
            out.push(char::from(*first));
        } else {
            push_escape(&mut out, *first);
        }
        rest = tail;
    }
    out
}

/// The reserved octets that are plain in the canonical spelling. A `#` never stands plainly in what is asked for; `*` and `$` have a
/// meaning in patterns.
fn is_reserved(byte: u8) -> bool {
    b":/?[]@!&'()+,;=".contains(&byte)
}

/// Whether a byte stands for itself in every spelling.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || is_reserved(byte) || byte == b'#'
}

/// Says whether a canonical path matches: the text before the first `*` at its beginning, every other piece at its leftmost
/// place, and, if anchored, the last piece at its end.
fn matches(path: &str, rule: &Rule) -> bool {
    let mut pieces = rule.pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = path.strip_prefix(first) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return !rule.anchored || rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if rule.anchored && pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests;
