//! Names that are known only at run time, of tables and columns of the users': how statements hold them, and how people read them.
//!
//! Nothing else puts such a name into a statement. Values are bound, never written.

use std::fmt;
use std::sync::Arc;

/// A name as a statement holds it, whatever it is: in double quotes.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name as people read it, and as labels have it: in double quotes unless it is lower-case letters, digits and underscores. The
/// same as `gleaner_plain` in the schema.
#[must_use]
pub fn plain(name: &str) -> String {
    let mut letters = name.chars();
    let is_plain = letters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && letters.all(|own| own.is_ascii_lowercase() || own.is_ascii_digit() || own == '_');
    if is_plain {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A text as a statement holds it, whatever the server's settings are.
#[must_use]
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// A template with its places filled in: `{name}` by what stands beside that name. In one go, so that what is filled in is never
/// taken for a place; what is not among the names stays.
#[must_use]
pub fn fill(template: &str, places: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let place = after.split_once('}').and_then(|(name, behind)| {
            let value = places.iter().find(|(own, _)| *own == name)?.1;
            Some((value, behind))
        });
        rest = if let Some((value, behind)) = place {
            filled.push_str(value);
            behind
        } else {
            filled.push('{');
            after
        };
    }
    filled.push_str(rest);
    filled
}

/// A table: as statements name it, and as people do.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Table {
    statement: Arc<str>,
    label: Arc<str>,
}

impl Table {
    /// A table of this schema. `label` is what `gleaner_label` says of it.
    #[must_use]
    pub fn new(schema: &str, name: &str, label: &str) -> Self {
        Self {
            statement: format!("{}.{}", quoted(schema), quoted(name)).into(),
            label: label.into(),
        }
    }

    /// As statements name it.
    #[must_use]
    pub fn statement(&self) -> &str {
        &self.statement
    }

    /// As people, notifications and the history name it: `table`, or `schema.table` where it is not beside the engine's own. The
    /// server finds it by this, too (`to_regclass`).
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// A table that the program itself names: beside the engine's own, by a name that needs no quotes.
impl From<&'static str> for Table {
    fn from(name: &'static str) -> Self {
        Self {
            statement: name.into(),
            label: name.into(),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_are() {
        for (name, in_statements, for_people) in [
            ("invoice", "\"invoice\"", "invoice"),
            ("_1", "\"_1\"", "_1"),
            ("order", "\"order\"", "order"),
            ("Invoice", "\"Invoice\"", "\"Invoice\""),
            ("1st", "\"1st\"", "\"1st\""),
            ("a b", "\"a b\"", "\"a b\""),
            ("a\".b", "\"a\"\".b\"", "\"a\"\".b\""),
            ("größe", "\"größe\"", "\"größe\""),
            ("", "\"\"", "\"\""),
        ] {
            assert_eq!(quoted(name), in_statements);
            assert_eq!(plain(name), for_people);
        }
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'"), "E'a\\\\'''");
    }

    #[test]
    fn what_is_filled_in_is_no_place() {
        assert_eq!(
            fill(
                "SELECT {key} FROM {table} WHERE {stage}_x = '{}' {other} {",
                &[
                    ("table", "\"{key}{stage}\""),
                    ("key", "\"{table}\""),
                    ("stage", "ocr")
                ]
            ),
            "SELECT \"{table}\" FROM \"{key}{stage}\" WHERE ocr_x = '{}' {other} {"
        );
    }
}
