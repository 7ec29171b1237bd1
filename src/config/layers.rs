//! The layers of a configuration, and where in them what stands.
//!
//! What is wrong with a layer is told by key, place and what would be right, and never by what stands there: a value in a wrong
//! place, or a line that cannot be read, may be a secret. So none of the texts of the parsers gets out of here as it is.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::providers::{Format, Toml};
use toml_edit::{DocumentMut, ImDocument, Item, TableLike};

use super::DEFAULTS;
use crate::settings::{ConfigError, KeyPath, Misfit};

/// How far a name may be from a known one to be taken for it, in letters. Nearer is a slip of the pen, and no secret.
const SLIP: usize = 2;
/// What stands in the place of a name that may be a secret.
pub(super) const UNTOLD: &str = "…";
/// The section that holds others, under names that people choose and that are told all the same.
const NAMED_BY_PEOPLE: &str = "custom";
/// The beginning of our variables' names.
const PREFIX: &str = "GLEANER_";

/// All layers, laid over each other.
#[derive(Clone)]
pub(super) struct Layers {
    pub(super) merged: Figment,
    /// Whether `DATABASE_URL` is set, the one variable that is below the file.
    pub(super) has_database_url: bool,
    pub(super) file: Option<File>,
    /// Keys that our variables set.
    pub(super) variables: Vec<String>,
    /// Keys that flags set.
    pub(super) flags: Vec<String>,
}

impl Layers {
    /// One layer that comes from nowhere that people write in.
    pub(super) fn of(merged: Figment) -> Self {
        Self {
            merged,
            has_database_url: false,
            file: None,
            variables: Vec::new(),
            flags: Vec::new(),
        }
    }

    /// Says what is wrong with what was read at `key`: figment puts what leads to the value behind what leads on from it.
    pub(super) fn explain(&self, key: &str, error: &figment::Error) -> ConfigError {
        let leading = key.split('.').count();
        let misfits = error.clone().into_iter().map(|mut one| {
            let parts = leading.min(one.path.len());
            one.path.rotate_right(parts);
            self.misfit(one.path, &one.kind)
        });
        ConfigError::Invalid(misfits.collect())
    }

    /// What an error finds wrong, one by one.
    ///
    /// # Errors
    /// The same error, if it is not about keys.
    pub(super) fn misfits(&self, error: ConfigError) -> Result<Vec<Misfit>, ConfigError> {
        match error {
            ConfigError::Invalid(misfits) => Ok(misfits),
            ConfigError::Inconsistent { key, problem } => {
                let path: Vec<String> = key.split('.').map(str::to_owned).collect();
                Ok(vec![Misfit {
                    place: self.place(&path, true),
                    at: KeyPath(path),
                    key,
                    problem,
                }])
            }
            ConfigError::Unreadable { .. } => Err(error),
        }
    }

    fn misfit(&self, mut path: Vec<String>, kind: &Kind) -> Misfit {
        if let Kind::UnknownField(name, known) = kind {
            if path.last() == Some(name) {
                path.pop();
            }
            return self.stranger(&path, name, known);
        }
        Misfit {
            key: shown(&path),
            problem: problem(kind, &path),
            place: self.place(&path, true),
            at: KeyPath(path),
        }
    }

    /// A name that is no key of the table at `path`. It is repeated only where it is nearly one of those.
    pub(super) fn stranger(&self, path: &[String], name: &str, known: &[&str]) -> Misfit {
        let near = nearest(name, known);
        let whole: Vec<String> = path.iter().cloned().chain([name.to_owned()]).collect();
        let table = shown(path);
        let (key, problem) = match near {
            Some(near) if table.is_empty() => (
                name.to_owned(),
                format!("no such section; did you mean `{near}`?"),
            ),
            Some(near) => (
                format!("{table}.{name}"),
                format!("no such key; did you mean `{near}`?"),
            ),
            None => (
                table,
                format!(
                    "a key that is none here (not repeated, as it may be a secret); there are `{}`",
                    known.join("`, `")
                ),
            ),
        };
        Misfit {
            key,
            problem,
            place: self.place(&whole, near.is_some()),
            at: KeyPath(whole),
        }
    }

    /// Where what is in force at a path was written; `None` where nobody wrote it. Later layers win.
    fn place(&self, path: &[String], is_named: bool) -> Option<String> {
        let key = path.join(".");
        let leads_to = |own: &String| {
            let (own, key) = (format!("{own}."), format!("{key}."));
            own.starts_with(&key) || key.starts_with(&own)
        };
        if self.flags.iter().any(leads_to) {
            return Some("the command line".to_owned());
        }
        if let Some(own) = self.variables.iter().find(|own| leads_to(own)) {
            return Some(variable(own, &key, is_named));
        }
        let in_file = self.file.as_ref().and_then(|file| file.place(path));
        let is_below = self.has_database_url && key == "database.url";
        in_file.or_else(|| is_below.then(|| "the environment variable DATABASE_URL".to_owned()))
    }
}

/// The variable of our own that sets `own`, as it is told of `key`: without what may be a secret in its name.
fn variable(own: &str, key: &str, is_named: bool) -> String {
    let name = |key: &str| {
        let key = key.replace('.', "__").replace('-', "_");
        format!("{PREFIX}{}", key.to_uppercase())
    };
    let begins = match key.rsplit_once('.') {
        _ if is_named && key.starts_with(own) => {
            return format!("the environment variable {}", name(own));
        }
        _ if is_named => format!("{}__", name(key)),
        Some((table, _)) => format!("{}__", name(table)),
        None => PREFIX.to_owned(),
    };
    format!("an environment variable that begins with {begins}")
}

/// The file given with `--config`.
#[derive(Clone)]
pub(super) struct File {
    path: PathBuf,
    document: ImDocument<String>,
}

impl File {
    /// Reads it.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`]; [`ConfigError::Invalid`] where it is no TOML.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::metadata(path)
            .and_then(|_| std::fs::read_to_string(path))
            .map_err(|source| ConfigError::Unreadable {
                path: path.to_owned(),
                source,
            })?;
        Self::parse(path, &text)
    }

    /// Takes it from its text.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] where it is no TOML.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        match text.parse::<ImDocument<String>>() {
            Ok(document) => Ok(Self {
                path: path.to_owned(),
                document,
            }),
            Err(error) => {
                let at = error.span().map_or(text.len(), |span| span.start);
                Err(ConfigError::Invalid(vec![Misfit {
                    key: key_before(text, at),
                    problem: format!("cannot be read as TOML: {}", grammar(error.message())),
                    place: Some(position(path, text, at)),
                    at: KeyPath::default(),
                }]))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        self.document.raw()
    }

    pub(super) fn layer(&self) -> figment::providers::Data<Toml> {
        Toml::string(self.text())
    }

    /// All keys that it sets, dotted, with the bytes that their values take, in the order in which they stand.
    pub(super) fn keys(&self) -> Vec<(String, Range<usize>)> {
        let mut keys = Vec::new();
        collect("", self.document.as_table(), &mut keys);
        keys.sort_by_key(|(_, span)| span.start);
        keys
    }

    /// Where a path stands, or as much of it as does.
    fn place(&self, path: &[String]) -> Option<String> {
        let mut found = None;
        let mut item = Some(self.document.as_item());
        for part in path {
            let next = item.and_then(|item| match item.as_table_like() {
                Some(table) => table.get_key_value(part),
                None => None,
            });
            let Some((key, inner)) = next else { break };
            found = key.span().or_else(|| inner.span()).or(found);
            item = Some(inner);
        }
        found.map(|span| position(&self.path, self.text(), span.start))
    }
}

fn collect(path: &str, table: &dyn TableLike, into: &mut Vec<(String, Range<usize>)>) {
    for (name, item) in table.iter() {
        let key = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        match item.as_table_like() {
            Some(inner) if !inner.is_empty() => collect(&key, inner, into),
            // An empty table has no place of its own where it only leads on to others.
            Some(_) if item.is_table() => {}
            _ => into.push((key, item.span().unwrap_or_default())),
        }
    }
}

/// File, line and column, counted from 1 and in characters.
fn position(path: &Path, text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    format!("{}, line {line}, column {column}", path.display())
}

/// What a parser of TOML expected. Its causes name keys, so of them only the kind is told.
fn grammar(message: &str) -> String {
    if message.contains("duplicate key") {
        return "a key or section that stands there before".to_owned();
    }
    if message.contains("dotted key") {
        return "a key below one that has a value".to_owned();
    }
    let told: Vec<&str> = message
        .lines()
        .filter(|line| line.starts_with("invalid ") || line.starts_with("expected "))
        .collect();
    if told.is_empty() {
        "what stands here is none".to_owned()
    } else {
        told.join(", ")
    }
}

/// The key that is set by the last line before this that sets a key known from the defaults; empty if there is none.
fn key_before(text: &str, at: usize) -> String {
    let end = text
        .get(at..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |more| at + more);
    let (mut section, mut last) = (String::new(), String::new());
    for line in text.get(..end).unwrap_or(text).lines() {
        let line = line.trim_start();
        if let Some(header) = line.strip_prefix('[') {
            let name = header.split(']').next().unwrap_or_default().trim();
            section = if known(name).is_some_and(Item::is_table_like) {
                name.to_owned()
            } else {
                String::new()
            };
            last.clone_from(&section);
        } else if let Some((name, _)) = line.split_once('=') {
            let key = format!("{section}.{}", name.trim());
            let key = key.trim_start_matches('.');
            if known(key).is_some() {
                key.clone_into(&mut last);
            }
        }
    }
    last
}

fn defaults() -> &'static DocumentMut {
    static DOCUMENT: LazyLock<DocumentMut> = LazyLock::new(|| DEFAULTS.parse().unwrap_or_default());
    &DOCUMENT
}

/// What the defaults have at a dotted key.
fn known(key: &str) -> Option<&'static Item> {
    key.split('.').try_fold(defaults().as_item(), |item, part| {
        item.as_table_like()?.get(part)
    })
}

/// A path as it may be repeated. Of names that people choose themselves, such as the sites' that have rules of their own, only
/// that there is one.
fn shown(path: &[String]) -> String {
    let mut table: Option<&dyn TableLike> = Some(defaults().as_table());
    let mut shown = Vec::with_capacity(path.len());
    for part in path {
        let item = table.and_then(|table| table.get(part));
        // Keys that are not set stand in the defaults as comments only.
        let is_key = || {
            part.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let is_index = part.len() < 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        // Of workflows of the operator's own people see the names everywhere, and their keys are those of all of them.
        let is_of_custom = path.first().is_some_and(|first| first == NAMED_BY_PEOPLE)
            && if shown.len() == 1 {
                is_section_name(part)
            } else {
                is_key()
            };
        let is_ours = item.is_some()
            || is_index
            || is_of_custom
            || (is_key() && table.is_some_and(|table| !table.is_empty()));
        shown.push(if is_ours { part.as_str() } else { UNTOLD });
        table = item.and_then(Item::as_table_like);
    }
    shown.join(".")
}

/// Whether a name can be that of a section below [`NAMED_BY_PEOPLE`]. Others may be a secret in a wrong place.
fn is_section_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 40
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    let near = known.iter().copied().min_by_key(|known| distance(known))?;
    (distance(near) <= SLIP && distance(near) * 3 <= near.len()).then_some(near)
}

/// What is wrong with a value, by what would be right.
fn problem(kind: &Kind, path: &[String]) -> String {
    let told = match kind {
        Kind::InvalidType(found, expected) => {
            let quotes = match found {
                Actual::Bool(_) | Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_)
                    if expected.contains("string") =>
                {
                    "; it takes quotes"
                }
                _ => "",
            };
            format!("expected {expected}, found {}{quotes}", sort(found))
        }
        Kind::InvalidValue(found, expected) => {
            format!("expected {expected}, found {} that is none", sort(found))
        }
        Kind::InvalidLength(_, expected) => format!("expected {expected}, found more or fewer"),
        Kind::UnknownVariant(_, known) => format!("expected one of `{}`", known.join("`, `")),
        Kind::MissingField(name) => return format!("`{name}` is missing"),
        Kind::DuplicateField(name) => return format!("`{name}` is there twice"),
        Kind::ISizeOutOfRange(_) | Kind::USizeOutOfRange(_) => "a number out of range".to_owned(),
        Kind::Message(_)
        | Kind::UnknownField(..)
        | Kind::Unsupported(_)
        | Kind::UnsupportedKey(..) => "found a value that cannot stand there".to_owned(),
    };
    let default = known(&path.join("."))
        .and_then(Item::as_value)
        .map(|value| value.clone().decorated("", "").to_string())
        .filter(|text| text != "\"\"");
    match default {
        Some(default) => format!("{told}; the default is {default}"),
        None => told,
    }
}

/// What sort of value it is.
fn sort(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "a value",
    }
}

#[cfg(test)]
#[expect(clippy::result_large_err, reason = "figment::Jail's own signature")]
mod tests {
    use figment::Jail;

    use super::super::{Sources, load};
    use super::*;
    use crate::areas;

    /// Parts of secrets as they were pasted: none of them may be told.
    const PARTS: [&str; 6] = ["hunter", "Tr0ub", "4dor", "90210", "s3cr", "swordfish"];

    fn refused(jail: &mut Jail, text: &str) -> String {
        jail.create_file("mine.toml", text).expect("a file");
        let sources = Sources {
            file: Some("mine.toml".into()),
            flags: Vec::new(),
        };
        let error = load(&sources, areas::schema()).expect_err(text);
        check_told(&error, text)
    }

    /// Neither what is printed nor what is dumped.
    fn check_told(error: &ConfigError, given: &str) -> String {
        let told = crate::telemetry::chain(error);
        for part in PARTS {
            let dumped = format!("{told} {error:?}");
            assert!(!dumped.contains(part), "{given:?} is told: {dumped}");
        }
        told
    }

    #[test]
    fn files_are_refused_by_key_and_place_and_never_by_what_stands_there() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            for (text, key, place) in [
                // A quote is missing: in front, behind, in the middle, over the lines that follow.
                (
                    "[http]\nadmin_token = hunter2\"\n",
                    "http.admin_token",
                    "line 2, column 15",
                ),
                (
                    "[http]\nadmin_token = \"hunter2\nlisten = \"\"\n",
                    "http.admin_token",
                    "line 2",
                ),
                (
                    "[http]\nadmin_token = 'hun'ter2'\n",
                    "http.admin_token",
                    "line 2",
                ),
                (
                    "[database]\nurl = \"\"\"postgres://u:hunter2@h\n[http]\n",
                    "",
                    "line 4",
                ),
                (
                    "[redis]\nurl = redis://u:hunter2@h/0\n",
                    "redis.url",
                    "line 2",
                ),
                (
                    "[http]\nadmin_token = \"hunter2\\q\"\n",
                    "http.admin_token",
                    "line 2",
                ),
                ("[http]\nadmin_token \"hunter2\"\n", "http", "line 2"),
                ("[http\nadmin_token = \"hunter2\"\n", "http", "line 1"),
                ("hunter2swordfish", "", "line 1"),
                // Twice, and below a value.
                (
                    "[http]\nadmin_token = \"hunter2\"\nadmin_token = \"s3cr3t\"\n",
                    "http.admin_token",
                    "line 3",
                ),
                ("[http]\nswordfish = 1\nswordfish = 2\n", "http", "line 3"),
                (
                    "[http]\nadmin_token = \"hunter2\"\nadmin_token.swordfish = \"\"\n",
                    "http",
                    "line 3",
                ),
                // Another sort of value than text.
                (
                    "[http]\nadmin_token = 902104242\n",
                    "http.admin_token: expected a string, found a number",
                    "line 2, column 1",
                ),
                (
                    "[http]\nadmin_token = 90210.4242\n",
                    "http.admin_token: expected",
                    "line 2",
                ),
                (
                    "[http]\nadmin_token = -90210\n",
                    "http.admin_token: expected",
                    "line 2",
                ),
                (
                    "[http]\nadmin_token = true\n",
                    "http.admin_token: expected",
                    "line 2",
                ),
                (
                    "[http]\nadmin_token = 9021-02-10\n",
                    "http.admin_token: ",
                    "line 2",
                ),
                (
                    "[http]\nadmin_token = [\"hunter2\"]\n",
                    "http.admin_token: expected",
                    "line 2",
                ),
                (
                    "[http]\nadmin_token = { swordfish = \"hunter2\" }\n",
                    "http.admin_token: expected",
                    "line 2",
                ),
                (
                    "[http.admin_token]\nswordfish = \"hunter2\"\n",
                    "http.admin_token: expected",
                    "line 1, column 7",
                ),
                (
                    "[database]\nurl = 90210\n",
                    "database.url: expected",
                    "line 2",
                ),
                ("http = \"hunter2\"\n", "http: expected", "line 1"),
                (
                    "[workflows]\ndeep-scan = \"hunter2\"\n",
                    "workflows.deep-scan",
                    "line 2",
                ),
                // In the place of a value of another sort.
                (
                    "[engine]\nlease = \"hunter2\"\n",
                    "engine.lease: ",
                    "line 2",
                ),
                (
                    "[engine]\nsettle_items = \"s3cr3t\"\n",
                    "engine.settle_items: ",
                    "line 2",
                ),
                (
                    "[log]\nformat = \"hunter2\"\n",
                    "log.format: expected one of `text`, `json`",
                    "line 2",
                ),
                (
                    "[fetch]\nallow_networks = [\"10.0.0.0/8\", \"hunter2\"]\n",
                    "fetch.allow_networks",
                    "line 2",
                ),
                (
                    "[fetch]\nproxy_hosts_to = \"u:hunter2@h:1\"\n",
                    "fetch.proxy_hosts_to: ",
                    "line 2",
                ),
                (
                    "[retention]\ndaily = \"hunter2 * * * *\"\n",
                    "retention.daily: ",
                    "line 2",
                ),
                (
                    "[workflows.deep-scan]\nrate = { count = \"hunter2\", per = \"1s\" }\n",
                    "workflows.deep-scan.rate.count: ",
                    "line 2",
                ),
                // A key beside a secret, a secret as a key, as a section, as a name that people choose.
                (
                    "[http]\nadmin_token = \"hunter2\"\nadmin_tokn = \"s3cr3t\"\n",
                    "http.admin_tokn: no such key; did you mean `admin_token`?",
                    "line 3, column 1",
                ),
                (
                    "[http]\nhunter2 = \"x\"\n",
                    "http: a key that is none here",
                    "line 2, column 1",
                ),
                (
                    "[http]\n\"Tr0ub4dor&3\" = 1\n",
                    "http: a key that is none here",
                    "line 2",
                ),
                (
                    "hunter2swordfish = 1\n",
                    "a key that is none here",
                    "line 1",
                ),
                ("[hunter2]\nx = 1\n", "a key that is none here", "line 1"),
                (
                    "[workflows.hunter2]\nx = 1\n",
                    "workflows: a key that is none here",
                    "line 1",
                ),
                (
                    "include = \"/etc/hunter2.toml\"\n",
                    "a key that is none here",
                    "line 1",
                ),
                (
                    "[htpp]\nadmin_token = \"hunter2\"\n",
                    "htpp: no such section; did you mean `http`?",
                    "line 1",
                ),
                (
                    "[workflows.deep-scam.options]\napi_key = \"hunter2\"\n",
                    "did you mean `deep-scan`?",
                    "line 1",
                ),
                (
                    "[workflows.auto-record.options.sites.hunter2]\nenabled = 3\n",
                    "workflows.auto-record.options.sites.…",
                    "line 2",
                ),
            ] {
                let told = refused(jail, text);
                assert!(told.contains(key), "{text:?}: {told}");
                assert!(
                    told.contains("mine.toml") && told.contains(place),
                    "{text:?}: {told}"
                );
                assert!(!told.contains('\n'), "{text:?}: {told}");
            }
            Ok(())
        });
    }

    #[test]
    fn urls_that_are_none_are_not_repeated() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            for (section, key, urls) in [
                (
                    "database",
                    "url",
                    &[
                        "postgres://u:hunter2@h:swordfish/d",
                        "postgres://u@h/d?hunter2=swordfish",
                        "postgres://u:p@hunter2@h/d",
                        "postgres://u:p@swordfish hunter2/d",
                        "host=h hunter2",
                        "host=h password='hunter2",
                        "hunter2",
                        "u:hunter2@h",
                    ][..],
                ),
                ("database", "direct_url", &["postgres://u:x@h:1:hunter2/d"]),
                (
                    "redis",
                    "url",
                    &[
                        "redis://u:hunter2@h:swordfish/0",
                        "redis://u:swordfish@/hunter2",
                        "redis-sentinel://u:hunter2@h:1?node=hunter2:swordfish",
                        "hunter2://u:p@h",
                        "hunter2",
                    ],
                ),
                (
                    "workflows.notification-delivery.options",
                    "smtp_url",
                    &[
                        "hunter2://u:p@h",
                        "smtp://u:hunter2@h:swordfish",
                        "smtp://h?tls=hunter2",
                        "hunter2",
                    ],
                ),
                (
                    "workflows.deep-scan.options",
                    "base_url",
                    &[
                        "https://u:hunter2@h",
                        "hunter2",
                        "hunter2://h",
                        "https://u:hunter2@h:99999",
                    ],
                ),
                ("http", "listen", &["hunter2", "127.0.0.1:hunter2"]),
                ("bots", "listen", &["hunter2"]),
                ("log", "level", &["hunter2=swordfish"]),
            ] {
                for url in urls {
                    let told = refused(jail, &format!("[{section}]\n{key} = \"{url}\"\n"));
                    assert!(
                        told.contains(&format!("{section}.{key}: ")),
                        "{url}: {told}"
                    );
                }
            }
            let site = "[workflows.auto-record.options.sites.hunter2]\nmin_confidence = 7\n";
            let told = refused(jail, site);
            assert!(told.contains("sites.\"…\".min_confidence"), "{told}");
            Ok(())
        });
    }

    #[test]
    fn variables_are_refused_by_name_and_never_by_what_they_hold() {
        Jail::expect_with(|jail| {
            for (name, value, wanted) in [
                (
                    "GLEANER_HTTP__ADMIN_TOKEN",
                    "90210",
                    "http.admin_token: expected a string, found a number; it takes quotes (in the environment variable GLEANER_HTTP__ADMIN_TOKEN)",
                ),
                (
                    "GLEANER_HTTP__ADMIN_TOKEN",
                    "[hunter2]",
                    "http.admin_token: expected a string, found a list",
                ),
                (
                    "GLEANER_HTTP__ADMIN_TOKEN",
                    "{hunter2=1}",
                    "http.admin_token: expected a string, found a table",
                ),
                (
                    "GLEANER_HTTP__ADMIN_TOKEN__HUNTER2",
                    "1",
                    "http.admin_token: expected a string, found a table",
                ),
                (
                    "DATABASE_URL",
                    "90210",
                    "database.url: expected a string, found a number; it takes quotes (in the environment variable DATABASE_URL)",
                ),
                (
                    "GLEANER_DATABASE__URL",
                    "postgres://u:hunter2@h:x/d",
                    "database.url: ",
                ),
                ("GLEANER_DATABASE", "hunter2", "database: expected"),
                (
                    "GLEANER_HTTP__ADMIN_TOKN",
                    "hunter2",
                    "did you mean `admin_token`? (in the environment variable GLEANER_HTTP__ADMIN_TOKN)",
                ),
                (
                    "GLEANER_HTTP__HUNTER2",
                    "x",
                    "an environment variable that begins with GLEANER_HTTP__",
                ),
                (
                    "GLEANER_HUNTER2",
                    "x",
                    "an environment variable that begins with GLEANER_)",
                ),
                (
                    "GLEANER_WORKFLOWS__DEEP_SCAN__BATCH_SIZE",
                    "hunter2",
                    "workflows.deep-scan.batch_size: expected a nonzero u32, found a string; the default is 10 (in the environment variable GLEANER_WORKFLOWS__DEEP_SCAN__BATCH_SIZE)",
                ),
                ("GLEANER_ENGINE__LEASE", "s3cr3t", "engine.lease: "),
            ] {
                jail.clear_env();
                jail.set_env(name, value);
                let error = load(&Sources::default(), areas::schema()).expect_err(name);
                let told = check_told(&error, value);
                let lower = told.to_lowercase();
                assert!(told.contains(wanted), "{name}: {told}");
                assert!(!lower.contains("hunter2"), "{name}: {told}");
            }
            Ok(())
        });
    }

    #[test]
    fn a_flag_is_named_as_one() {
        Jail::expect_with(|jail| {
            jail.clear_env();
            let sources = Sources {
                file: None,
                flags: vec![("database.url".to_owned(), serde_json::json!(90210))],
            };
            let error = load(&sources, areas::schema()).expect_err("a number");
            let told = check_told(&error, "90210");
            assert!(told.contains("(in the command line)"), "{told}");
            Ok(())
        });
    }
}
