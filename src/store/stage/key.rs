//! Keys: by what the engine knows a row of a stage, and by what people do.
//!
//! The engine knows each by a number. Where the key of the table is one, that is it. Where it is something else, or is kept unique
//! by no index, rows have a number of the engine's own beside it, in the column [`HANDLE`], which they are given when they are first
//! asked for. People name rows by the key of the table either way.

use std::collections::HashMap;

use diesel::QueryResult;
use diesel::QueryableByName;
use diesel::sql_types::{Array, BigInt, Text};
use diesel_async::AsyncPgConnection;
use gleaner_actors::port::ItemId;

use super::Stage;
use crate::db::names;
use crate::db::statement::sql_query;

/// The column with the engine's own numbers, on tables whose keys are none.
pub const HANDLE: &str = "gleaner_id";

/// A column of a table's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    pub name: String,
    /// Its type, as the server names it.
    pub kind: String,
}

/// The key of a stage's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The column with the numbers, as statements name it.
    column: String,
    own: Vec<KeyColumn>,
    has_handle: bool,
}

/// A text that cannot be a row's key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no number.
    #[error("\"{text}\" is no key of {table}: its {column} is a whole number")]
    NoNumber {
        text: String,
        table: String,
        column: String,
    },
    /// It has too many or too few parts.
    #[error(
        "\"{text}\" is no key of {table}: write {form}, with double quotes around values that hold a comma"
    )]
    NoRow {
        text: String,
        table: String,
        form: String,
    },
}

impl Default for Key {
    /// The number `id`.
    fn default() -> Self {
        Self {
            column: "id".to_owned(),
            own: vec![KeyColumn {
                name: "id".to_owned(),
                kind: "bigint".to_owned(),
            }],
            has_handle: false,
        }
    }
}

impl Key {
    /// A key that is one number, in this column.
    #[must_use]
    pub fn number(own: KeyColumn) -> Self {
        Self {
            column: names::quoted(&own.name),
            own: vec![own],
            has_handle: false,
        }
    }

    /// Any other key: rows have a handle.
    #[must_use]
    pub fn with_handle(own: Vec<KeyColumn>) -> Self {
        Self {
            column: HANDLE.to_owned(),
            own,
            has_handle: true,
        }
    }

    /// The column by which the engine knows rows, as statements name it.
    #[must_use]
    pub fn column(&self) -> &str {
        &self.column
    }

    /// The columns by which people know rows.
    #[must_use]
    pub fn own(&self) -> &[KeyColumn] {
        &self.own
    }

    /// Whether these two are not the same.
    #[must_use]
    pub fn has_handle(&self) -> bool {
        self.has_handle
    }

    /// What people write to name a row, in words: `id`, or `(account,number)`.
    #[must_use]
    pub fn form(&self) -> String {
        let all: Vec<String> = self.own.iter().map(|own| names::plain(&own.name)).collect();
        match all.as_slice() {
            [one] => one.clone(),
            all => format!("({})", all.join(",")),
        }
    }

    /// Whether several keys in one text are told apart by commas, since none of these can be part of one.
    #[must_use]
    pub fn has_no_commas(&self) -> bool {
        const KINDS: [&str; 4] = ["smallint", "integer", "bigint", "uuid"];
        matches!(self.own.as_slice(), [one] if KINDS.contains(&one.kind.as_str()))
    }

    fn columns(&self, row: &str) -> String {
        let columns: Vec<String> = self
            .own
            .iter()
            .map(|own| format!("{row}.{}", names::quoted(&own.name)))
            .collect();
        columns.join(", ")
    }

    /// A row's key as people write it: SQL over `row`.
    #[must_use]
    pub fn text(&self, row: &str) -> String {
        let columns = self.columns(row);
        match self.own.len() {
            1 => format!("{columns}::text"),
            _ => format!("ROW({columns})::text"),
        }
    }

    /// The order of the keys that people know: SQL over `row`.
    #[must_use]
    pub fn order(&self, row: &str) -> String {
        self.columns(row)
    }

    /// The condition that a row is one of those named by a parameter, the texts that [`Key::parsed`] makes. They are looked up as values
    /// of the columns' types, so by the index that keeps them unique.
    #[must_use]
    pub fn is_among(&self, row: &str, parameter: &str) -> String {
        let columns = self.columns(row);
        match self.own.as_slice() {
            [one] => format!("{columns} = ANY ({parameter}::text[]::{}[])", one.kind),
            all => {
                let parts: Vec<String> = all
                    .iter()
                    .enumerate()
                    .map(|(at, own)| format!("(part->>{at})::{}", own.kind))
                    .collect();
                format!(
                    "({columns}) IN (SELECT {} FROM unnest({parameter}::text[]) AS named(parts), \
                     LATERAL (SELECT parts::jsonb AS part) AS one)",
                    parts.join(", ")
                )
            }
        }
    }

    /// What people wrote, for [`Key::is_among`]. `table` is for the message.
    ///
    /// # Errors
    /// [`KeyError`]. What the server makes of a value it says itself.
    pub fn parsed(&self, text: &str, table: &str) -> Result<String, KeyError> {
        if self.own.len() == 1 {
            return Ok(text.to_owned());
        }
        let parts = row_of(text).filter(|parts| parts.len() == self.own.len());
        let parts = parts.ok_or_else(|| KeyError::NoRow {
            text: text.to_owned(),
            table: table.to_owned(),
            form: self.form(),
        })?;
        Ok(serde_json::Value::from(parts).to_string())
    }

    /// What people wrote as the engine's number, of a key that is one.
    ///
    /// # Errors
    /// [`KeyError::NoNumber`].
    pub fn number_of(&self, text: &str, table: &str) -> Result<i64, KeyError> {
        text.trim()
            .parse()
            .map_err(|_not_a_number| KeyError::NoNumber {
                text: text.to_owned(),
                table: table.to_owned(),
                column: self.form(),
            })
    }
}

impl Stage {
    /// The keys by which people know these rows. A row that is gone has none.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn own_keys(
        &self,
        conn: &mut AsyncPgConnection,
        items: &[ItemId],
    ) -> QueryResult<HashMap<ItemId, String>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            id: ItemId,
            #[diesel(sql_type = Text)]
            key: String,
        }
        let key = self.key();
        if !key.has_handle() {
            return Ok(items.iter().map(|item| (*item, item.to_string())).collect());
        }
        let rows: Vec<Row> = sql_query(format!(
            "SELECT item.{column} AS id, {own} AS key FROM {table} AS item WHERE item.{column} = ANY ($1)",
            column = key.column(),
            own = key.text("item"),
            table = self.table_in_statements(),
        ))
        .bind::<Array<BigInt>, _>(items)
        .load(conn)
        .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.key)).collect())
    }
}

/// The values of a row as PostgreSQL writes it, `(7,"a, b")`; the parentheses may be left out. None is NULL in a key.
///
/// Source: <https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX>
fn row_of(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let inner = match text.strip_prefix('(') {
        Some(rest) => rest.strip_suffix(')')?,
        None => text,
    };
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut is_quoted, mut was_quoted) = (false, false);
    let mut signs = inner.chars().peekable();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => part.push(signs.next()?),
            '"' if is_quoted && signs.peek() == Some(&'"') => {
                signs.next();
                part.push('"');
            }
            '"' => {
                is_quoted = !is_quoted;
                was_quoted = true;
            }
            ',' if !is_quoted => {
                // Nothing at all is NULL.
                if part.is_empty() && !was_quoted {
                    return None;
                }
                parts.push(std::mem::take(&mut part));
                was_quoted = false;
            }
            sign => part.push(sign),
        }
    }
    if is_quoted || (part.is_empty() && !was_quoted) {
        return None;
    }
    parts.push(part);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> KeyColumn {
        KeyColumn {
            name: name.to_owned(),
            kind: kind.to_owned(),
        }
    }

    #[test]
    fn people_s_keys_become_sql_of_their_types() {
        let id = Key::default();
        assert_eq!(id.column(), "id");
        assert_eq!(id.text("item"), "item.\"id\"::text");
        assert_eq!(id.number_of(" -7", "page"), Ok(-7));
        assert_eq!(
            id.number_of("x", "page").unwrap_err().to_string(),
            "\"x\" is no key of page: its id is a whole number"
        );

        let no = Key::with_handle(vec![column("No.", "uuid")]);
        assert_eq!(no.column(), HANDLE);
        assert_eq!(
            no.is_among("item", "$8"),
            "item.\"No.\" = ANY ($8::text[]::uuid[])"
        );
        assert_eq!(no.form(), "\"No.\"");
        assert!(no.has_no_commas());
        assert!(!Key::with_handle(vec![column("code", "text")]).has_no_commas());

        let both = Key::with_handle(vec![column("account", "text"), column("day", "date")]);
        assert_eq!(both.form(), "(account,day)");
        assert_eq!(
            both.text("item"),
            "ROW(item.\"account\", item.\"day\")::text"
        );
        assert_eq!(
            both.is_among("item", "$1"),
            "(item.\"account\", item.\"day\") IN (SELECT (part->>0)::text, (part->>1)::date \
             FROM unnest($1::text[]) AS named(parts), LATERAL (SELECT parts::jsonb AS part) AS one)"
        );
    }

    #[test]
    fn keys_of_several_columns_are_written_as_rows() {
        let both = Key::with_handle(vec![column("account", "text"), column("day", "date")]);
        for (text, expected) in [
            ("(a,2026-01-02)", Some(r#"["a","2026-01-02"]"#)),
            ("a,2026-01-02", Some(r#"["a","2026-01-02"]"#)),
            (r#"("a ""b"", \"c\\",x)"#, Some(r#"["a \"b\", \"c\\","x"]"#)),
            (r#"("",x)"#, Some(r#"["","x"]"#)),
            ("(,x)", None),
            ("(a,)", None),
            ("(a,b,c)", None),
            ("(a", None),
            ("\"a,b", None),
            ("a\\", None),
            ("", None),
        ] {
            assert_eq!(
                both.parsed(text, "entry").ok().as_deref(),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            both.parsed("x", "billing.entry").unwrap_err().to_string(),
            "\"x\" is no key of billing.entry: write (account,day), with double quotes around values that hold a comma"
        );
    }
}
