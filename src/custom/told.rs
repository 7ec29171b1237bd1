//! What answers come to, as it is kept until their batch is stored and as PostgreSQL is given it.
//!
//! The text of each value stays as its handler wrote it, so that a number keeps its digits.

use std::io::Write as _;

use diesel::pg::Pg;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Jsonb;

use super::runner::Columns;
use crate::db::statement::storable_text;

/// What is kept of a row's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Whether the row is done, rather than rightly left.
    pub(super) is_completed: bool,
    /// `"name":value,…`; empty where the answer sets nothing.
    fields: String,
}

impl Told {
    pub(super) fn new(is_completed: bool, columns: &Columns) -> Self {
        let fields = columns.iter().map(|(name, value)| {
            // PostgreSQL stores no NUL.
            let name = serde_json::Value::from(name.replace('\0', "\u{fffd}"));
            format!("{name}:{}", storable_text(value).get())
        });
        Self {
            is_completed,
            fields: fields.collect::<Vec<_>>().join(","),
        }
    }

    /// Whether there is anything that is to be set.
    pub(super) fn sets(&self) -> bool {
        !self.fields.is_empty()
    }
}

/// JSON that is written already.
#[derive(Debug)]
pub(super) struct Written(String);

impl Written {
    /// For the statement that sets columns.
    pub(super) fn for_set<'a>(answers: impl Iterator<Item = (i64, &'a Told)>) -> Self {
        Self::list(answers.map(|(handle, told)| {
            format!(
                "{{\"handle\":{handle},\"completed\":{},\"columns\":{{{}}}}}",
                told.is_completed, told.fields
            )
        }))
    }

    /// For a statement of the operator's: each answer with the key of its row, under the name of that column.
    pub(super) fn for_statement<'a>(
        handle_column: &str,
        answers: impl Iterator<Item = (i64, &'a Told)>,
    ) -> Self {
        let name = serde_json::Value::from(handle_column).to_string();
        Self::list(answers.map(|(handle, told)| {
            let comma = if told.sets() { "," } else { "" };
            format!("{{{name}:{handle}{comma}{}}}", told.fields)
        }))
    }

    fn list(all: impl Iterator<Item = String>) -> Self {
        let mut text = String::from("[");
        for (at, one) in all.enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(&one);
        }
        text.push(']');
        Self(text)
    }
}

impl ToSql<Jsonb, Pg> for Written {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        // The version of the format: <https://www.postgresql.org/docs/current/datatype-json.html> is sent as text behind it.
        out.write_all(&[1])?;
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn columns(pairs: &[(&str, &str)]) -> Columns {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), raw(text)))
            .collect()
    }

    #[test]
    fn values_stay_as_they_were_written_but_for_nul() {
        let some = Told::new(
            true,
            &columns(&[
                ("total", "12345678901234567890.123456789"),
                ("a\"b", "\"x\\u0000y\""),
            ]),
        );
        let none = Told::new(false, &Columns::new());
        let both = || [(7, &some), (8, &none)].into_iter();
        let fields = "\"a\\\"b\":\"x\\ufffdy\",\"total\":12345678901234567890.123456789";
        assert_eq!(
            Written::for_set(both()).0,
            format!(
                "[{{\"handle\":7,\"completed\":true,\"columns\":{{{fields}}}}},\
                 {{\"handle\":8,\"completed\":false,\"columns\":{{}}}}]"
            )
        );
        assert_eq!(
            Written::for_statement("No.", both()).0,
            format!("[{{\"No.\":7,{fields}}},{{\"No.\":8}}]")
        );
        assert_eq!(Written::for_set(std::iter::empty()).0, "[]");
    }
}
