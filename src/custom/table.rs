//! The table of a section, as the database has it.

use serde::Deserialize;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::session::{self, Refusal};
use crate::db::DbError;
use crate::db::names::quoted;

/// What the engine's own column is called, on tables whose key is no whole number.
const HANDLE: &str = "gleaner_id";
/// The key of all other tables.
const KEY: &str = "id";

/// The columns of a stage, behind its name.
const STAGE_COLUMNS: [&str; 6] = [
    "_status",
    "_priority",
    "_due_at",
    "_attempts",
    "_lease",
    "_error",
];

/// A table, with what concerns those who read and write its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number in the catalogue.
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// Whether it is one, and no view or sequence.
    pub is_table: bool,
    /// Who asks.
    pub role: String,
    /// Its stages.
    pub stages: Vec<String>,
    pub columns: Vec<Column>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Column {
    pub name: String,
    /// Its type, as statements name it whatever their `search_path`; of a domain the type beneath.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds bytes, which JSON has no word for.
    pub is_bytes: bool,
    /// Whether the server alone gives it its values.
    pub is_generated: bool,
    pub can_select: bool,
    pub can_update: bool,
}

impl Found {
    /// Looks up the table that SQL means by this name; none where there is no such.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn look(client: &mut Client, name: &str) -> Result<Option<Self>, DbError> {
        let transaction = session::begin(client).await?;
        let found = transaction
            .query_one("SELECT to_regclass($1::text)::oid AS oid", &[&name])
            .await;
        let oid: Option<u32> = match found {
            Ok(row) => row.try_get("oid").map_err(session::trouble)?,
            Err(error) if is_no_name(&error) => None,
            Err(error) => return Err(session::trouble(error)),
        };
        let Some(oid) = oid else {
            return Ok(None);
        };
        // From here on no name depends on where the session looks for it.
        transaction
            .batch_execute("SET LOCAL search_path = pg_catalog")
            .await
            .map_err(session::trouble)?;
        let row = transaction
            .query_opt(include_str!("table.sql"), &[&oid])
            .await
            .map_err(session::trouble)?;
        transaction.rollback().await.map_err(session::trouble)?;
        row.map(|row| Self::read(oid, &row)).transpose()
    }

    fn read(oid: u32, row: &tokio_postgres::Row) -> Result<Self, DbError> {
        let columns: String = row.try_get("columns").map_err(session::trouble)?;
        let read = || {
            Ok::<_, tokio_postgres::Error>(Self {
                oid,
                schema: row.try_get("schema_name")?,
                name: row.try_get("table_name")?,
                is_table: row.try_get("is_table")?,
                role: row.try_get("role_name")?,
                stages: row.try_get("stages")?,
                columns: Vec::new(),
            })
        };
        let found = read().map_err(session::trouble)?;
        let columns = serde_json::from_str(&columns).map_err(session::trouble)?;
        Ok(Self { columns, ..found })
    }

    /// As statements name it.
    #[must_use]
    pub fn in_statements(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    /// The column by which the engine knows its rows: the key of the table where that is a whole number, else the engine's own.
    #[must_use]
    pub fn handle(&self) -> &str {
        self.column(HANDLE).map_or(KEY, |_| HANDLE)
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether a column belongs to a stage: the engine alone writes it.
    #[must_use]
    pub fn is_of_stage(&self, column: &str) -> bool {
        self.stages.iter().any(|stage| {
            let rest = column.strip_prefix(stage.as_str());
            rest.is_some_and(|rest| STAGE_COLUMNS.contains(&rest))
        })
    }
}

/// Whether the server says of a text that it cannot be the name of a table: a quote without its other, too many parts, another database.
fn is_no_name(error: &tokio_postgres::Error) -> bool {
    Refusal::of(error).is_some_and(|refusal| {
        let codes = [
            SqlState::SYNTAX_ERROR,
            SqlState::INVALID_NAME,
            SqlState::FEATURE_NOT_SUPPORTED,
        ];
        codes.contains(&refusal.code)
    })
}
