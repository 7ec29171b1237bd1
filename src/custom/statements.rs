//! From a section, and the table that it is about, to statements.
//!
//! Names come from the catalogue and are quoted; values are bound, never written. Where a statement of the operator's stands within one of
//! ours, it stands whole, on lines of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::run::Way;
use super::section::{Section, Store, table_and_stage};
use super::table::{Column, Found};
use crate::db::names::{fill, literal, quoted};
use crate::store::stage::{Group, Request};

/// A stage of whatever table: its places are filled in with all others.
const ANY_STAGE: Group = Group::new("{table}", "{stage}");

/// The condition that an answer is one of a row that is done.
const IS_COMPLETED: &str = "(told.answer ->> 'completed')::boolean";

/// What is done with the rows of a workflow in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statements {
    /// The column by which the engine knows rows.
    pub handle: String,
    /// Reads what is given of rows: `$1` their keys (`bigint[]`), `$2` the most bytes of one.
    pub load: String,
    /// Whether that is the operator's statement.
    pub is_load_own: bool,
    /// What becomes of answers.
    pub answers: Answers,
    /// Sets columns and queues rows for other stages: `$1` the answers (`jsonb`), `$2` their keys. Nothing where there is nothing to.
    pub set: Option<String>,
    /// Whether completed rows are queued for other stages.
    pub has_then: bool,
    /// Limit on each statement of the operator's.
    pub timeout: Duration,
    /// At most so many bytes are given of a row.
    pub max_row_bytes: u64,
    /// An answer is at most so many bytes.
    pub max_answer_bytes: u64,
}

/// What becomes of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// They may set these columns.
    Columns(BTreeSet<String>),
    /// This statement of the operator's takes them, `$1` (`jsonb`).
    Statement(String),
    /// There are none: this statement of the operator's works the rows, `$1` (`bigint[]`). Where it yields rows, their first column is the
    /// key of one that is done.
    Sql { text: String, yields_keys: bool },
}

impl Statements {
    /// Those of a section over its table, all of whose names are there. `yields_keys` is about the statement that works rows, if one does.
    #[must_use]
    pub fn of(section: &Section, table: &Found, yields_keys: bool) -> Self {
        let (load, is_load_own) = load(section, table);
        let answers = match (&section.store, section.run.way()) {
            (_, Some(Way::Sql(text))) => Answers::Sql {
                text: text.to_owned(),
                yields_keys,
            },
            (Some(Store::Statement(sql)), _) => Answers::Statement(sql.clone()),
            (Some(Store::Columns(columns)), _) => {
                Answers::Columns(columns.iter().cloned().collect())
            }
            (None, _) => Answers::Columns(BTreeSet::new()),
        };
        Self {
            handle: table.handle().to_owned(),
            load,
            is_load_own,
            set: set(section, table),
            has_then: !section.then.is_empty(),
            answers,
            timeout: section.statement_timeout,
            max_row_bytes: section.max_row_bytes,
            max_answer_bytes: section.max_answer_bytes,
        }
    }
}

fn filled(template: &str, section: &Section, table: &Found, others: &[(&str, &str)]) -> String {
    let (name, handle) = (table.in_statements(), quoted(table.handle()));
    let own = [
        ("table", name.as_str()),
        ("stage", section.stage.as_str()),
        ("handle", handle.as_str()),
    ];
    let places: Vec<(&str, &str)> = own.iter().chain(others).copied().collect();
    fill(template, &places)
}

fn load(section: &Section, table: &Found) -> (String, bool) {
    let (template, place, text) = match (&section.load, &section.columns) {
        (Some(statement), _) => (
            include_str!("load_by_statement.sql"),
            "statement",
            statement.clone(),
        ),
        (None, Some(columns)) => {
            let columns = columns.iter().filter_map(|name| table.column(name));
            let columns: Vec<String> = columns.map(given).collect();
            (include_str!("load.sql"), "columns", columns.join(", "))
        }
        (None, None) => (include_str!("load_keys.sql"), "columns", String::new()),
    };
    let load = filled(template, section, table, &[(place, &text)]);
    (load, section.load.is_some())
}

/// A column as it is given.
fn given(column: &Column) -> String {
    let name = quoted(&column.name);
    if column.is_bytes {
        // PostgreSQL breaks its lines.
        format!("replace(encode(item.{name}, 'base64'), chr(10), '') AS {name}")
    } else {
        format!("item.{name}")
    }
}

fn set(section: &Section, table: &Found) -> Option<String> {
    let names: &[String] = match &section.store {
        Some(Store::Columns(names)) => names,
        _ => &[],
    };
    let columns: Vec<&Column> = names.iter().filter_map(|name| table.column(name)).collect();
    let assigned = columns.iter().map(|column| {
        let name = quoted(&column.name);
        let value = if column.is_bytes {
            format!("decode(given.{name}, 'base64')")
        } else {
            format!("given.{name}")
        };
        let key = literal(&column.name);
        format!(
            "{name} = CASE WHEN (told.answer -> 'columns') ? {key} THEN {value} ELSE item.{name} END"
        )
    });
    let queued = section.then.iter().filter_map(|name| {
        let (_, stage) = table_and_stage(name)?;
        let request = ANY_STAGE.ask("{set}", &[Request::QueueIf(IS_COMPLETED)]);
        Some(fill(&request, &[("stage", stage)]))
    });
    let set: Vec<String> = assigned.chain(queued).collect();
    if set.is_empty() {
        return None;
    }
    let kinds = columns.iter().map(|column| {
        let kind = if column.is_bytes {
            "pg_catalog.text"
        } else {
            &column.kind
        };
        format!("{} {kind}", quoted(&column.name))
    });
    let kinds: Vec<String> = kinds.collect();
    let given = if kinds.is_empty() {
        String::new()
    } else {
        format!(
            ", LATERAL jsonb_to_record(told.answer -> 'columns') AS given({})",
            kinds.join(", ")
        )
    };
    let set = set.join(", ");
    let others = [("set", set.as_str()), ("given", given.as_str())];
    Some(filled(include_str!("store.sql"), section, table, &others))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            is_bytes: kind == "bytea",
            is_generated: false,
            can_select: true,
            can_update: true,
        }
    }

    fn table() -> Found {
        Found {
            oid: 1,
            schema: "Billing Dept".to_owned(),
            name: "in\"voice".to_owned(),
            is_table: true,
            role: "me".to_owned(),
            stages: vec!["ocr".to_owned(), "ship".to_owned()],
            columns: vec![
                column("id", "bigint"),
                column("{set}", "numeric(10,2)"),
                column("it's", "text"),
                column("scan", "bytea"),
            ],
        }
    }

    fn section(text: &str) -> Section {
        toml::from_str(&format!(
            "table = 't'\nstage = 'ocr'\nrun = {{ pull = true }}\n{text}"
        ))
        .unwrap()
    }

    fn last_lines(sql: &str) -> String {
        let lines = sql.lines().filter(|line| !line.starts_with("--"));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn names_are_quoted_and_stand_once_for_all() {
        let text =
            "columns = ['{set}', 'scan']\nstore = ['{set}', \"it's\", 'scan']\nthen = ['t/ship']";
        let statements = Statements::of(&section(text), &table(), false);
        assert_eq!(
            last_lines(statements.set.as_deref().unwrap()),
            "UPDATE \"Billing Dept\".\"in\"\"voice\" AS item SET \
             \"{set}\" = CASE WHEN (told.answer -> 'columns') ? '{set}' THEN given.\"{set}\" ELSE item.\"{set}\" END, \
             \"it's\" = CASE WHEN (told.answer -> 'columns') ? 'it''s' THEN given.\"it's\" ELSE item.\"it's\" END, \
             \"scan\" = CASE WHEN (told.answer -> 'columns') ? 'scan' THEN decode(given.\"scan\", 'base64') ELSE item.\"scan\" END, \
             ship_status = CASE WHEN (told.answer ->> 'completed')::boolean THEN 'Queued' ELSE item.ship_status END\n\
             FROM jsonb_array_elements($1) AS told(answer), LATERAL jsonb_to_record(told.answer -> 'columns') \
             AS given(\"{set}\" numeric(10,2), \"it's\" text, \"scan\" pg_catalog.text)\n\
             WHERE item.\"id\" = (told.answer ->> 'handle')::bigint AND item.\"id\" = ANY ((SELECT $2::bigint[])::bigint[])"
        );
        assert!(
            statements.load.contains(
                "(SELECT item.\"{set}\", replace(encode(item.\"scan\", 'base64'), chr(10), '') AS \"scan\") AS picked"
            ),
            "{}",
            statements.load
        );
        assert!(statements.has_then && !statements.is_load_own);
    }

    #[test]
    fn what_has_nothing_to_set_has_no_statement_for_it() {
        let nothing = Statements::of(&section("columns = ['scan']"), &table(), false);
        assert_eq!(nothing.set, None);
        assert_eq!(nothing.answers, Answers::Columns(BTreeSet::new()));
        let by_statement = "load = 'SELECT id FROM x WHERE id = ANY($1) -- all'\nstore = 'SELECT f($1)'\nthen = ['t/ship']";
        let statements = Statements::of(&section(by_statement), &table(), false);
        assert!(statements.is_load_own);
        assert!(
            (statements.load)
                .contains("(\nSELECT id FROM x WHERE id = ANY($1) -- all\n        ) AS picked"),
            "{}",
            statements.load
        );
        assert_eq!(
            statements.answers,
            Answers::Statement("SELECT f($1)".to_owned())
        );
        // Nothing of an answer is looked at for what comes then.
        let set = statements.set.unwrap();
        assert!(
            !set.contains("jsonb_to_record") && set.contains("ship_status = CASE"),
            "{set}"
        );
    }
}
