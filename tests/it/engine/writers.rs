//! One writer of stage columns: every statement in the source that assigns one is found, and must stand where it may.
//!
//! A scanner, not a parser: it knows UPDATE, INSERT, MERGE, COPY, assignments in triggers, lists of assignments that are put
//! together from parts, and diesel's own `update` and `insert_into`. Texts that only read these columns are nobody's business.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gleaner::areas;

/// Who may write stage columns, and why. A folder stands for all that is in it.
const WRITERS: &[(&str, &str)] = &[
    (
        "src/store/stage/",
        "the stage: its statements, and the text of requests",
    ),
    (
        "src/bench/",
        "fills scratch databases beforehand, as users' software does",
    ),
    ("migrations/", "the triggers"),
];

/// Who may take rows for a worker, besides the stage: the hand-out to bots.
const HANDS_OUT: &[&str] = &[
    "src/store/stage.rs",
    "src/prices/bot.rs",
    "src/store/stage/request.rs",
    "src/store/stage/share.rs",
];

const COLUMNS: &[&str] = &["status", "priority", "due_at", "attempts", "lease", "error"];

/// What the stage fills in.
const FILLED_IN: &[&str] = &["{set}", "{columns}", "{values}"];

#[test]
fn only_the_stage_writes_stage_columns() {
    let stages = Stages::known();
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for path in ["src", "migrations"].into_iter().flat_map(files) {
        let text = fs::read_to_string(root().join(&path)).expect("a source file");
        let written = if path.ends_with(".sql") {
            stages.written_by_sql(&text)
        } else {
            stages.written_by_rust(&text)
        };
        if written.is_empty() {
            continue;
        }
        match WRITERS.iter().find(|(own, _)| path.starts_with(own)) {
            Some((own, _)) => {
                used.insert(*own);
            }
            None => wrong.push(format!("{path} assigns {}", written.join(", "))),
        }
    }
    assert_eq!(
        wrong,
        Vec::<String>::new(),
        "stage columns are written through Group::ask; see src/store/stage/request.rs"
    );
    for (own, why) in WRITERS {
        assert!(
            used.contains(own),
            "{own} ({why}) writes none: strike it out"
        );
    }
}

#[test]
fn only_the_stage_and_the_bots_take_rows() {
    let takers: Vec<String> = files("src")
        .filter(|path| {
            fs::read_to_string(root().join(path))
                .expect("a source file")
                .contains("claim_under(")
                || fs::read_to_string(root().join(path))
                    .expect("a source file")
                    .contains("taken(\"")
        })
        .filter(|path| !HANDS_OUT.contains(&path.as_str()))
        .collect();
    assert_eq!(takers, Vec::<String>::new());
}

#[test]
fn the_stages_own_statements_are_found() {
    let stages = Stages::known();
    for name in [
        "disown",
        "excuse",
        "readopt",
        "rescue",
        "rescue_foreign",
        "settle",
        "take_back",
    ] {
        let path = root().join(format!("src/store/stage/{name}.sql"));
        let text = fs::read_to_string(path).expect("a statement of the stage");
        let written = stages.written_by_sql(&text);
        assert!(
            written.contains(&"{stage}_status".to_owned()),
            "{name}: {written:?}"
        );
    }
}

#[test]
fn writers_in_sql_are_found() {
    for (sql, expected) in [
        (
            "UPDATE crawl_job SET crawl_status = 'Queued'",
            &["crawl_status"][..],
        ),
        (
            "update only public.crawl_job job set plan = 1, \"crawl_due_at\"=now() where true",
            &["crawl_due_at"],
        ),
        (
            "UPDATE crawl_job SET plan = a IS DISTINCT FROM b, crawl_error = NULL FROM x",
            &["crawl_error"],
        ),
        (
            "UPDATE page AS p SET (title, curation_status) = (SELECT a, b FROM c), curation_lease = NULL",
            &["curation_status", "curation_lease"],
        ),
        (
            "WITH x AS (UPDATE site SET pattern_status = CASE WHEN a THEN 'Queued' END RETURNING id) SELECT 1",
            &["pattern_status"],
        ),
        (
            "INSERT INTO page AS known (url, curation_priority) SELECT 1, 2",
            &["curation_priority"],
        ),
        (
            "INSERT INTO page (url) VALUES (1) ON CONFLICT (url) DO UPDATE SET curation_attempts = 0",
            &["curation_attempts"],
        ),
        ("INSERT INTO page SELECT * FROM old_page", &["every column"]),
        (
            "COPY crawl_result (id, auto_record_status) FROM STDIN",
            &["auto_record_status"],
        ),
        (
            "MERGE INTO place USING x ON true WHEN MATCHED THEN UPDATE SET deep_scan_status = 'Queued' \
             WHEN NOT MATCHED THEN INSERT (place_id, deep_scan_priority) VALUES (1, 2)",
            &["deep_scan_status", "deep_scan_priority"],
        ),
        (
            "BEGIN NEW.pattern_status := 'Queued'; RETURN NEW; END",
            &["pattern_status"],
        ),
        (
            "UPDATE {table} AS item SET {stage}_status = 'Queued', updated_at = now()",
            &["{stage}_status"],
        ),
        ("UPDATE {table} SET {column} = 'Queued'", &["{column}"]),
        (
            "UPDATE page SET title = 'x', {assignments} WHERE id = 1",
            &["{assignments}"],
        ),
        // A table that is not known may be any.
        ("SET metadata_error = 'x'", &["metadata_error"]),
        (
            "UPDATE crawl_job SET -- crawl_status = 'x',\n crawl_lease = 1 /* crawl_error = 2 */",
            &["crawl_lease"],
        ),
    ] {
        assert_eq!(Stages::known().written_by_sql(sql), expected, "{sql}");
    }
}

#[test]
fn what_only_reads_or_asks_is_let_be() {
    for sql in [
        "UPDATE {table} AS item SET {set} WHERE {stage}_status = 'Error'",
        "UPDATE crawl_job AS item SET plan = 1, {set}, next_run_at = CASE WHEN crawl_status = 'Queued' THEN now() END",
        "INSERT INTO page (url, {columns}) SELECT url, {values} FROM given",
        "UPDATE page SET status = 'Selected' WHERE curation_status = 'Error' AND curation_lease IS NULL",
        "SELECT 1 FROM crawl_job WHERE crawl_status = 'Queued', crawl_error = 'x' FOR UPDATE OF crawl_job SKIP LOCKED",
        // Other tables' columns of the same name.
        "UPDATE product_url AS known SET crawl_error = 'x' FROM url WHERE known.id = url.id",
        "INSERT INTO page AS known (url, sitemap_priority) SELECT 1, 2 ON CONFLICT (url) DO UPDATE SET sitemap_priority = 1",
        "UPDATE crawl_result SET history_record_status = 'recorded' WHERE auto_record_status = 'Queued'",
        "INSERT INTO workflow_control (workflow, {column}) VALUES (1, 2) ON CONFLICT (workflow) DO UPDATE SET {column} = 1",
        "SET LOCAL enable_sort = off",
        "SELECT 'UPDATE crawl_job SET crawl_status = 1'",
    ] {
        assert_eq!(
            Stages::known().written_by_sql(sql),
            Vec::<String>::new(),
            "{sql}"
        );
    }
}

#[test]
fn writers_in_rust_are_found() {
    for (rust, expected) in [
        (
            r#"sql_query("UPDATE crawl_job \
              SET crawl_status = 'Queued'")"#,
            &["crawl_status"][..],
        ),
        (
            "fn f<'a>() { let quote = '\"'; q(r#\"UPDATE page SET curation_lease = 1\"#) }",
            &["curation_lease"],
        ),
        // Parts of a statement.
        (
            r#"change(&format!("{stage}_status = 'Cancelled', {stage}_due_at = NULL"))"#,
            &["{stage}_status", "{stage}_due_at"],
        ),
        (
            r#"text.push_str(", updated_at = now(), crawl_lease = NULL")"#,
            &["crawl_lease"],
        ),
        (
            r#"format!("UPDATE {table} SET {{set}}, {stage}_lease = 7")"#,
            &["{stage}_lease"],
        ),
        (
            "diesel::update(page::table.filter(page::curation_status.eq(1))).set((page::title.eq(2), page::curation_error.eq(3))).execute(c);",
            &["curation_error"],
        ),
        (
            "insert_into(place::table).values(place::deep_scan_status.eq(1)).execute(c);",
            &["deep_scan_status"],
        ),
        (
            "#[derive(Debug, AsChangeset)]\n#[diesel(table_name = page)]\nstruct Facts { title: String, pub curation_status: String }",
            &["curation_status"],
        ),
    ] {
        assert_eq!(Stages::known().written_by_rust(rust), expected, "{rust}");
    }
    for rust in [
        "// UPDATE page SET curation_lease = 1\n/// \"UPDATE page SET curation_lease = 1\"",
        "/* \"UPDATE page SET curation_lease = 1\" */",
        r#"all.push("item.curation_status = 'Error', x")"#,
        r#"let text = "WHERE crawl_status = 'Queued'";"#,
        "diesel::update(page::table.filter(page::curation_status.eq(1))).set(page::title.eq(2)).execute(c);",
        "#[derive(Debug, Queryable)]\nstruct State { auto_record_status: String }",
    ] {
        assert_eq!(
            Stages::known().written_by_rust(rust),
            Vec::<String>::new(),
            "{rust}"
        );
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The .rs and .sql files below a folder of the source, by their paths from the root.
fn files(folder: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|kind| kind == "rs" || kind == "sql")
            {
                let own = path.strip_prefix(root()).expect("below the root");
                found.push(own.to_str().expect("a plain name").to_owned());
            }
        }
    }
    found.sort();
    found.into_iter()
}

/// The stages whose columns are looked for.
struct Stages {
    /// As (table, stage).
    all: Vec<(&'static str, &'static str)>,
}

/// What a statement consists of, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A keyword or name in lower case; names may have placeholders in them.
    Name(String),
    /// A text in quotes.
    Text,
    /// Anything else.
    Sign(char),
}

impl Token {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Text | Self::Sign(_) => None,
        }
    }
}

fn is_name(token: Option<&Token>, name: &str) -> bool {
    token.and_then(Token::name) == Some(name)
}

fn is_sign(token: Option<&Token>, sign: char) -> bool {
    token == Some(&Token::Sign(sign))
}

impl Stages {
    fn known() -> Self {
        let all: Vec<(&str, &str)> = areas::workflows()
            .iter()
            .map(|workflow| (workflow.stage.table(), workflow.stage.column_group()))
            .collect();
        assert!(!all.is_empty());
        Self { all }
    }

    fn is_stage_table(&self, table: &str) -> bool {
        self.all.iter().any(|(own, _)| *own == table)
    }

    /// Whether this target of an assignment is, or may be, a stage column. The table is `None` where it is not known.
    fn is_stage_column(&self, table: Option<&str>, name: &str) -> bool {
        if FILLED_IN.contains(&name) {
            return false;
        }
        // Said at run time. Sentences for people have such, too, but name no table.
        if name.starts_with('{') && name.ends_with('}') {
            return table.is_some_and(|table| table.contains('{') || self.is_stage_table(table));
        }
        let table = table.filter(|table| !table.contains('{'));
        COLUMNS.iter().any(|column| {
            name.strip_suffix(column)
                .and_then(|rest| rest.strip_suffix('_'))
                .is_some_and(|group| {
                    group.contains('{')
                        || self.all.iter().any(|(own, stage)| {
                            *stage == group && table.is_none_or(|table| table == *own)
                        })
                })
        })
    }

    /// The stage columns that SQL assigns.
    fn written_by_sql(&self, sql: &str) -> Vec<String> {
        self.written_by(&tokens(sql))
    }

    fn written_by(&self, tokens: &[Token]) -> Vec<String> {
        let mut written = Vec::new();
        let mut table: Option<String> = None;
        let at = |place: usize| tokens.get(place);
        for place in 0..tokens.len() {
            let Some(word) = at(place).and_then(Token::name) else {
                continue;
            };
            match word {
                "update" | "merge" | "copy" => {
                    let target = target(tokens, place + 1);
                    if let Some((name, next)) = target.filter(|(name, _)| name != "set") {
                        if word == "copy" && is_sign(at(next), '(') {
                            self.note(Some(&name), &listed(tokens, next), &mut written);
                        }
                        table = Some(name);
                    }
                }
                "insert" => {
                    let mut next = place + 1;
                    if is_name(at(next), "into")
                        && let Some((name, after)) = target(tokens, next)
                    {
                        next = after;
                        if is_name(at(next), "as") {
                            next += 2;
                        }
                        let copies = is_name(at(next), "select") || is_name(at(next), "values");
                        if copies && self.is_stage_table(&name) {
                            written.push("every column".to_owned());
                        }
                        table = Some(name);
                    }
                    if is_sign(at(next), '(') {
                        self.note(table.as_deref(), &listed(tokens, next), &mut written);
                    }
                }
                "set" => self.note(table.as_deref(), &assigned(tokens, place + 1), &mut written),
                "new" if is_sign(at(place + 1), '.') && is_sign(at(place + 3), ':') => {
                    let column = at(place + 2).and_then(Token::name).unwrap_or_default();
                    self.note(None, &[column.to_owned()], &mut written);
                }
                _ => {}
            }
        }
        written
    }

    fn note(&self, table: Option<&str>, targets: &[String], written: &mut Vec<String>) {
        for name in targets {
            if self.is_stage_column(table, name) {
                written.push(name.clone());
            }
        }
    }

    /// The stage columns that a file of Rust assigns: in its texts, and by diesel.
    fn written_by_rust(&self, rust: &str) -> Vec<String> {
        let (code, texts) = split(rust);
        let mut written = Vec::new();
        for text in texts {
            let tokens = tokens(&text.replace("{{", "{").replace("}}", "}"));
            written.extend(self.written_by(&tokens));
            // Part of a list of assignments, that some other text takes in.
            let start = usize::from(is_sign(tokens.first(), ','));
            let is_assignment = tokens.get(start).and_then(Token::name).is_some()
                && is_sign(tokens.get(start + 1), '=')
                && !is_sign(tokens.get(start + 2), '=');
            if is_assignment {
                self.note(None, &assigned(&tokens, start), &mut written);
            }
        }
        written.extend(self.written_by_diesel(&tokens(&code)));
        written
    }

    fn written_by_diesel(&self, tokens: &[Token]) -> Vec<String> {
        let mut written = Vec::new();
        let at = |place: usize| tokens.get(place);
        for place in 0..tokens.len() {
            // .set(page::column.eq(…)), .values(…): all up to the end of the statement.
            let is_given = is_sign(at(place), '.')
                && (is_name(at(place + 1), "set") || is_name(at(place + 1), "values"))
                && is_sign(at(place + 2), '(');
            if is_given {
                let rest = tokens.get(place + 3..).unwrap_or_default();
                let end = rest.iter().position(|token| *token == Token::Sign(';'));
                let rest = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                for window in rest.windows(7) {
                    if let [
                        Token::Name(table),
                        Token::Sign(':'),
                        Token::Sign(':'),
                        Token::Name(column),
                        Token::Sign('.'),
                        Token::Name(eq),
                        Token::Sign('('),
                    ] = window
                        && eq == "eq"
                    {
                        self.note(Some(table), std::slice::from_ref(column), &mut written);
                    }
                }
            }
            // The fields of a struct that is a row.
            if is_name(at(place), "aschangeset") || is_name(at(place), "insertable") {
                let rest = tokens.get(place..).unwrap_or_default();
                let body = rest
                    .iter()
                    .skip_while(|token| **token != Token::Sign('{'))
                    .take_while(|token| **token != Token::Sign('}'));
                let body: Vec<&Token> = body.collect();
                for pair in body.windows(2) {
                    if let [Token::Name(field), Token::Sign(':')] = pair {
                        self.note(None, std::slice::from_ref(field), &mut written);
                    }
                }
            }
        }
        written
    }
}

/// The table named here, after ONLY or INTO and without its schema, and the place after it.
fn target(tokens: &[Token], mut place: usize) -> Option<(String, usize)> {
    while is_name(tokens.get(place), "only") || is_name(tokens.get(place), "into") {
        place += 1;
    }
    while is_sign(tokens.get(place + 1), '.') {
        place += 2;
    }
    let name = tokens.get(place)?.name()?;
    Some((name.to_owned(), place + 1))
}

/// The names in this list in brackets.
fn listed(tokens: &[Token], open: usize) -> Vec<String> {
    tokens
        .iter()
        .skip(open + 1)
        .take_while(|token| **token != Token::Sign(')'))
        .filter_map(|token| token.name().map(str::to_owned))
        .collect()
}

/// The targets of a list of assignments that begins here.
fn assigned(tokens: &[Token], start: usize) -> Vec<String> {
    let mut targets = Vec::new();
    let mut is_target = true;
    let mut depth = 0_u32;
    let mut place = start;
    while let Some(token) = tokens.get(place) {
        match token {
            Token::Sign(';') => break,
            Token::Sign('(') if is_target && depth == 0 => {
                targets.extend(listed(tokens, place));
                is_target = false;
                depth += 1;
            }
            Token::Sign('(') => depth += 1,
            Token::Sign(')') if depth == 0 => break,
            Token::Sign(')') => depth -= 1,
            Token::Sign(',') if depth == 0 => is_target = true,
            Token::Name(name) if depth == 0 => {
                let is_end = match name.as_str() {
                    "where" | "returning" => true,
                    "from" => !is_name(tokens.get(place.saturating_sub(1)), "distinct"),
                    _ => false,
                };
                if is_end {
                    break;
                }
                if is_target {
                    targets.push(name.clone());
                    is_target = false;
                }
            }
            Token::Name(_) | Token::Text | Token::Sign(_) => {}
        }
        place += 1;
    }
    targets
}

/// SQL as tokens, without comments.
fn tokens(text: &str) -> Vec<Token> {
    let text: Vec<char> = text.chars().collect();
    let at = |place: usize| text.get(place).copied();
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    let mut place = 0;
    while let Some(letter) = at(place) {
        match (letter, at(place + 1)) {
            ('-', Some('-')) => {
                while at(place).is_some_and(|letter| letter != '\n') {
                    place += 1;
                }
            }
            ('/', Some('*')) => {
                place += 2;
                while at(place).is_some() && (at(place), at(place + 1)) != (Some('*'), Some('/')) {
                    place += 1;
                }
                place += 2;
            }
            ('\'' | '"', _) => {
                let from = place + 1;
                place = from;
                while at(place).is_some_and(|own| own != letter) {
                    place += 1;
                }
                found.push(if letter == '"' {
                    let name: String = text.iter().take(place).skip(from).collect();
                    Token::Name(name)
                } else {
                    Token::Text
                });
                place += 1;
            }
            _ if is_part(letter) || placeholder(&text, place).is_some() => {
                let mut name = String::new();
                while let Some(letter) = at(place) {
                    if let Some(end) = placeholder(&text, place) {
                        name.extend(text.iter().take(end).skip(place));
                        place = end;
                    } else if is_part(letter) {
                        name.extend(letter.to_lowercase());
                        place += 1;
                    } else {
                        break;
                    }
                }
                found.push(Token::Name(name));
            }
            _ => {
                if !letter.is_whitespace() {
                    found.push(Token::Sign(letter));
                }
                place += 1;
            }
        }
    }
    found
}

/// Where the placeholder that begins here ends: `{word}` or `{}`.
fn placeholder(text: &[char], place: usize) -> Option<usize> {
    if text.get(place) != Some(&'{') {
        return None;
    }
    let mut end = place + 1;
    while text
        .get(end)
        .is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':' | '$'))
    {
        end += 1;
    }
    (text.get(end) == Some(&'}')).then_some(end + 1)
}

/// Rust as its code, without comments and texts, and its texts as they are when it runs.
fn split(rust: &str) -> (String, Vec<String>) {
    let rust: Vec<char> = rust.chars().collect();
    let at = |place: usize| rust.get(place).copied();
    let mut code = String::new();
    let mut texts = Vec::new();
    let mut place = 0;
    while let Some(letter) = at(place) {
        let is_word_before = code.ends_with(|own: char| own.is_alphanumeric() || own == '_');
        match (letter, at(place + 1)) {
            ('/', Some('/')) => {
                while at(place).is_some_and(|letter| letter != '\n') {
                    place += 1;
                }
            }
            ('/', Some('*')) => {
                place += 2;
                while at(place).is_some() && (at(place), at(place + 1)) != (Some('*'), Some('/')) {
                    place += 1;
                }
                place += 2;
            }
            ('r', Some('"' | '#')) if !is_word_before => {
                let hashes = rust
                    .iter()
                    .skip(place + 1)
                    .take_while(|own| **own == '#')
                    .count();
                let from = place + 1 + hashes;
                if at(from) != Some('"') {
                    // A raw identifier.
                    place = from;
                    continue;
                }
                let close: String = std::iter::once('"')
                    .chain(std::iter::repeat_n('#', hashes))
                    .collect();
                let rest: String = rust.iter().skip(from + 1).collect();
                let text = rest.split(&close).next().unwrap_or_default();
                place = from + 1 + text.chars().count() + close.len();
                texts.push(text.to_owned());
            }
            ('"', _) => {
                let mut text = String::new();
                place += 1;
                while let Some(own) = at(place).filter(|own| *own != '"') {
                    place += 1;
                    if own != '\\' {
                        text.push(own);
                        continue;
                    }
                    match at(place) {
                        Some('\n') => {
                            while at(place).is_some_and(char::is_whitespace) {
                                place += 1;
                            }
                            continue;
                        }
                        Some('n') => text.push('\n'),
                        Some(other) => text.push(other),
                        None => {}
                    }
                    place += 1;
                }
                place += 1;
                texts.push(text);
            }
            // A letter, rather than a lifetime.
            ('\'', Some('\\')) => {
                place += 3;
                while at(place).is_some_and(|own| own != '\'') {
                    place += 1;
                }
                place += 1;
            }
            ('\'', Some(_)) if at(place + 2) == Some('\'') => place += 3,
            ('\'', _) => place += 1,
            _ => {
                code.push(letter);
                place += 1;
            }
        }
    }
    (code, texts)
}
