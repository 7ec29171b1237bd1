//! The stages that a database has, by its own word: which table, which key, what each has added.
//!
//! A table of the users' own becomes a stage while the program runs, or long before. What it is the arguments of its trigger tell, which
//! `gleaner_stages` reads.

use diesel::sql_types::{Array, BigInt, Bool, Text};
use diesel::{OptionalExtension as _, QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;

use super::{Key, KeyColumn, Stage};
use crate::db::names::Table;
use crate::db::sqlstate;
use crate::db::statement::sql_query;

/// Codes for what cannot be the name of a table: a quote without its other, too many parts, another database.
const NO_NAME: [&str; 3] = ["42601", "42602", "0A000"];

/// A stage of the database.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName, serde::Serialize)]
pub struct Listed {
    #[diesel(sql_type = Text)]
    pub schema_name: String,
    #[diesel(sql_type = Text)]
    pub table_name: String,
    /// As people name the table.
    #[diesel(sql_type = Text)]
    pub table_label: String,
    #[diesel(sql_type = Text)]
    pub stage: String,
    /// `table/stage` or `schema.table/stage`, as notifications and the history have it.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// The columns of the key.
    #[diesel(sql_type = Array<Text>)]
    pub key_columns: Vec<String>,
    /// Their types.
    #[diesel(sql_type = Array<Text>)]
    pub key_types: Vec<String>,
    /// Whether rows have a number of the engine's besides.
    #[diesel(sql_type = Bool)]
    pub has_handle: bool,
    /// The columns that the stage has added.
    #[diesel(sql_type = Array<Text>)]
    pub added: Vec<String>,
    /// Whether the engine keeps the table's `updated_at` true.
    #[diesel(sql_type = Bool)]
    pub touches: bool,
    #[diesel(sql_type = Bool)]
    pub is_partitioned: bool,
}

/// A table of the database.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Found {
    #[diesel(sql_type = Text)]
    pub schema_name: String,
    #[diesel(sql_type = Text)]
    pub table_name: String,
    /// As people name it.
    #[diesel(sql_type = Text)]
    pub label: String,
    /// Its number in the catalogue.
    #[diesel(sql_type = BigInt)]
    pub oid: i64,
    /// About how many rows it has, by the last ANALYZE.
    #[diesel(sql_type = BigInt)]
    pub rows: i64,
}

/// Why a stage is not found.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// There is no such table.
    #[error(
        "there is no table {name}: write it as SQL does, with its schema where it is not on the search path, and in double quotes where it has capitals, spaces or other signs"
    )]
    NoTable { name: String },
    /// The table has no such stage.
    #[error("table {table} has no stage \"{stage}\": {known}")]
    NoStage {
        table: String,
        stage: String,
        /// What it has, or what to do, in words.
        known: String,
    },
    /// A statement failed.
    #[error("the database refused a statement")]
    Query(#[from] diesel::result::Error),
}

impl Listed {
    /// The stage, ready to be worked.
    #[must_use]
    pub fn stage(&self) -> Stage {
        let own: Vec<KeyColumn> = self
            .key_columns
            .iter()
            .zip(&self.key_types)
            .map(|(name, kind)| KeyColumn {
                name: name.clone(),
                kind: kind.clone(),
            })
            .collect();
        let key = match own.first() {
            Some(one) if !self.has_handle && own.len() == 1 => Key::number(one.clone()),
            _ => Key::with_handle(own),
        };
        let table = Table::new(&self.schema_name, &self.table_name, &self.table_label);
        Stage::keyed(table, self.stage.as_str(), key, self.touches)
    }
}

impl Found {
    /// As statements name it, and people.
    #[must_use]
    pub fn table(&self) -> Table {
        Table::new(&self.schema_name, &self.table_name, &self.label)
    }
}

/// All stages of the database, by their names.
///
/// # Errors
/// Whatever the database answers.
pub async fn all(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Listed>> {
    sql_query(concat!(
        include_str!("catalogue/stages.sql"),
        " ORDER BY name"
    ))
    .load(conn)
    .await
}

/// The table of this name, as SQL writes it.
///
/// # Errors
/// [`CatalogueError::NoTable`], and whatever the database answers.
pub async fn table(conn: &mut AsyncPgConnection, name: &str) -> Result<Found, CatalogueError> {
    let none = || CatalogueError::NoTable {
        name: name.to_owned(),
    };
    let found = sql_query(include_str!("catalogue/table.sql"))
        .bind::<Text, _>(name)
        .get_result(conn)
        .await
        .optional();
    match found {
        // What cannot be read as a name at all.
        Err(error) if sqlstate::code(&error).is_some_and(|code| NO_NAME.contains(&code)) => {
            Err(none())
        }
        found => found?.ok_or_else(none),
    }
}

/// The stages of one table.
///
/// # Errors
/// Whatever the database answers.
pub async fn of_table(conn: &mut AsyncPgConnection, table: &Found) -> QueryResult<Vec<Listed>> {
    let sql = concat!(
        include_str!("catalogue/stages.sql"),
        " WHERE known.stage_table::oid::bigint = $1 ORDER BY name"
    );
    sql_query(sql).bind::<BigInt, _>(table.oid).load(conn).await
}

/// The stage of this name on the table of this name, as SQL writes it.
///
/// # Errors
/// [`CatalogueError`].
pub async fn find(
    conn: &mut AsyncPgConnection,
    name: &str,
    stage: &str,
) -> Result<Listed, CatalogueError> {
    let table = table(conn, name).await?;
    let all = of_table(conn, &table).await?;
    let names: Vec<&str> = all.iter().map(|own| own.stage.as_str()).collect();
    let known = if names.is_empty() {
        format!("`gleaner stage add '{name}' {stage}` makes it one")
    } else {
        format!("it has {}", names.join(", "))
    };
    all.iter()
        .find(|own| own.stage == stage)
        .cloned()
        .ok_or_else(|| CatalogueError::NoStage {
            table: table.label,
            stage: stage.to_owned(),
            known,
        })
}
