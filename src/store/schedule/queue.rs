//! Schedules that queue rows: a batch at a time, in the order of the table's key, each batch in a transaction of its own.
//!
//! A firing goes once over the rows that are there when it begins, up to the highest key there is then, and takes each into account once:
//! how far it has come is written in the transaction that queues the rows up to there. So whoever goes on after a crash goes on at the next
//! row. A row that is refused, by a rule of somebody's own, is passed over and told; the others are queued.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use serde::{Deserialize, Serialize};

use super::definition::{Action, Defined, StageName, key};
use super::record::{Made, Occasion, Step, is_gone, is_in_the_way, put_back, record, set_up, told};
use crate::db;
use crate::db::statement::{Statement, sql_query, statement};
use crate::store::stage::{Request, ask};

/// Rows of one batch.
const BATCH: i64 = 2_000;
/// So many rows refused one after the other, and none queued in between, are not at fault themselves.
const LONELY_AT_MOST: u32 = 20;

/// How far a firing has come.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Progress {
    #[serde(flatten)]
    occasion: Occasion,
    /// The schedule that it is a firing of.
    definition: String,
    /// The key of the last row that was taken into account; none before the first.
    after: Option<Vec<String>>,
    /// The highest key there was when it began.
    until: Vec<String>,
    queued: i64,
    refused: i64,
    /// Why the first row was refused.
    error: Option<String>,
}

/// The table, as statements have to name it.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(super) struct Target {
    /// With its schema.
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Bool)]
    is_table: bool,
    /// Whether it has the columns and the triggers of the stage.
    #[diesel(sql_type = Bool)]
    is_stage: bool,
    /// The columns of its key, and their types.
    #[diesel(sql_type = Array<Text>)]
    columns: Vec<String>,
    #[diesel(sql_type = Array<Text>)]
    types: Vec<String>,
}

impl Target {
    /// Looks the stage up.
    ///
    /// # Errors
    /// Whatever the database answers; within, what is wrong with the stage.
    pub(super) async fn find(
        conn: &mut AsyncPgConnection,
        stage: &StageName,
    ) -> QueryResult<Result<Self, String>> {
        let found: Option<Self> = sql_query(include_str!("target.sql"))
            .bind::<Text, _>(stage.quoted_table())
            .bind::<Text, _>(&stage.stage)
            .load(conn)
            .await?
            .pop();
        let name = stage.table.join(".");
        Ok(match found {
            None => Err(format!(
                "there is no table {name} here; see the schema and the search_path of database.url"
            )),
            Some(target) if !target.is_table => Err(format!("{name} is no table")),
            Some(target) if !target.is_stage => Err(format!(
                "the table {name} has no stage {stage}: SELECT gleaner_add_stage('{quoted}', '{stage}') makes it one",
                stage = stage.stage,
                quoted = target.table_name.replace('\'', "''"),
            )),
            Some(target) if target.columns.is_empty() => Err(format!(
                "the table {name} has no primary key, nor another unique one without NULL: rows are queued in its order"
            )),
            Some(target) => Ok(target),
        })
    }

    /// The statement that queues the next batch: `$1` so many rows, `$2` up to this key, and `$3` after this one, if there is one.
    pub(super) fn statement(&self, stage: &str, condition: Option<&str>, is_first: bool) -> String {
        self.filled(include_str!("queue.sql"), stage, condition, is_first)
    }

    /// The statement that looks for the row which a batch would begin with. Takes the same.
    fn look(&self, stage: &str, condition: Option<&str>, is_first: bool) -> String {
        self.filled(include_str!("peek.sql"), stage, condition, is_first)
    }

    fn filled(
        &self,
        template: &str,
        stage: &str,
        condition: Option<&str>,
        is_first: bool,
    ) -> String {
        let each = |form: &dyn Fn(&str) -> String| -> String {
            let all: Vec<String> = self.columns.iter().map(|column| form(column)).collect();
            all.join(", ")
        };
        let bound = |parameter: &str| -> String {
            let parts = self.types.iter().enumerate();
            let parts =
                parts.map(|(at, kind)| format!("({parameter}::text[])[{}]::{kind}", at + 1));
            parts.collect::<Vec<_>>().join(", ")
        };
        let keys = each(&|column| column.to_owned());
        let mut range = format!("({keys}) <= ({})", bound("$2"));
        if !is_first {
            range.push_str(&format!(" AND ({keys}) > ({})", bound("$3")));
        }
        let matching: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("item.{column} = picked.{column}"))
            .collect();
        // The user's text last: what it holds is not to be filled in.
        ask(&self.table_name, stage, template, &[Request::Queue])
            .replace("{keys}", &keys)
            .replace("{descending}", &each(&|column| format!("{column} DESC")))
            .replace("{texts}", &each(&|column| format!("{column}::text")))
            .replace("{range}", &range)
            .replace("{matching}", &matching.join(" AND "))
            .replacen("{condition}", condition.unwrap_or("true"), 1)
    }

    /// The highest key there is.
    async fn last(&self, conn: &mut AsyncPgConnection) -> QueryResult<Option<Vec<String>>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Array<Text>)]
            last: Vec<String>,
        }
        let list = |form: &dyn Fn(&String) -> String| {
            let all: Vec<String> = self.columns.iter().map(form).collect();
            all.join(", ")
        };
        let rows: Vec<Row> = sql_query(format!(
            "SELECT ARRAY[{}] AS last FROM {} ORDER BY {} LIMIT 1",
            list(&|column| format!("{column}::text")),
            self.table_name,
            list(&|column| format!("{column} DESC")),
        ))
        .load(conn)
        .await?;
        Ok(rows.into_iter().next().map(|row| row.last))
    }
}

/// What became of a batch.
#[derive(Debug, QueryableByName)]
struct Batch {
    #[diesel(sql_type = BigInt)]
    picked: i64,
    #[diesel(sql_type = BigInt)]
    queued: i64,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    last: Option<Vec<String>>,
}

/// Begins a firing, and queues its first rows.
pub(super) async fn begin(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    node: i64,
    occasion: Occasion,
) -> QueryResult<Step> {
    let Action::Queue { stage, .. } = &defined.action else {
        return Ok(Step::NotDue);
    };
    let target = match Target::find(conn, stage).await? {
        Ok(target) => target,
        Err(problem) => {
            return record(conn, defined, node, &occasion, Made::failed(None, problem)).await;
        }
    };
    let last = conn
        .transaction(async |conn| {
            let before = set_up(conn, defined, occasion.due_at).await?;
            let last = target.last(conn).await?;
            put_back(conn, &before).await?;
            Ok::<_, diesel::result::Error>(last)
        })
        .await;
    let until = match last {
        Ok(Some(until)) => until,
        Ok(None) => return record(conn, defined, node, &occasion, Made::completed(0)).await,
        Err(error) if is_gone(&error) => return Err(error),
        Err(error) => {
            let made = Made::failed(None, told(&error, defined));
            return record(conn, defined, node, &occasion, made).await;
        }
    };
    let progress = Progress {
        occasion,
        definition: defined.definition.clone(),
        after: None,
        until,
        queued: 0,
        refused: 0,
        error: None,
    };
    next(conn, defined, node, &target, progress).await
}

/// Goes on with a firing that this process or another has begun.
pub(super) async fn go_on(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    node: i64,
    progress: &str,
) -> QueryResult<Step> {
    let Ok(progress) = serde_json::from_str::<Progress>(progress) else {
        // Somebody else's hand. Without it, its time is still due.
        statement("UPDATE schedule SET progress = NULL WHERE name = $1")
            .bind::<Text, _>(key(&defined.name))
            .execute(conn)
            .await?;
        return Ok(Step::NotDue);
    };
    let occasion = progress.occasion;
    let queued = Some(progress.queued);
    let Action::Queue { stage, .. } = &defined.action else {
        let made = Made::failed(queued, "it was changed while its rows were queued");
        return record(conn, defined, node, &occasion, made).await;
    };
    if progress.definition != defined.definition {
        let made = Made::failed(queued, "it was changed while its rows were queued");
        return record(conn, defined, node, &occasion, made).await;
    }
    match Target::find(conn, stage).await? {
        Ok(target) => next(conn, defined, node, &target, progress).await,
        Err(problem) => {
            record(
                conn,
                defined,
                node,
                &occasion,
                Made::failed(queued, problem),
            )
            .await
        }
    }
}

/// Queues the next rows, and writes down how far that is.
async fn next(
    conn: &mut AsyncPgConnection,
    defined: &Defined,
    node: i64,
    target: &Target,
    mut progress: Progress,
) -> QueryResult<Step> {
    let Action::Queue { stage, condition } = &defined.action else {
        return Ok(Step::NotDue);
    };
    let (stage, condition) = (stage.stage.as_str(), condition.as_deref());
    let occasion = progress.occasion;
    let (mut limit, mut lonely, mut tries) = (BATCH, 0, 0);
    let is_last = loop {
        let is_first = progress.after.is_none();
        let batch = conn
            .transaction(async |conn| {
                let before = set_up(conn, defined, occasion.due_at).await?;
                let sql = target.statement(stage, condition, is_first);
                let batch: Batch = bound(&sql, limit, &progress).get_result(conn).await?;
                put_back(conn, &before).await?;
                Ok::<_, diesel::result::Error>(batch)
            })
            .await;
        let error = match batch {
            Ok(batch) => {
                progress.queued += batch.queued;
                progress.after = batch.last.or(progress.after);
                break batch.picked < limit;
            }
            Err(error) if is_gone(&error) => return Err(error),
            Err(error) => error,
        };
        if is_in_the_way(&error) && tries < 2 {
            tries += 1;
        } else if db::is_of_a_row(&error) && limit > 1 {
            limit /= 2;
        } else if db::is_of_a_row(&error)
            && lonely < LONELY_AT_MOST
            && let Some(row) = at_fault(conn, target, stage, condition, &progress).await?
        {
            lonely += 1;
            progress.refused += 1;
            let keys = row.join(", ");
            let told = || format!("the first, {keys}: {}", told(&error, defined));
            progress.error.get_or_insert_with(told);
            progress.after = Some(row);
        } else {
            let made = Made::failed(Some(progress.queued), told(&error, defined));
            return record(conn, defined, node, &occasion, made).await;
        }
    };
    if is_last {
        let made = match &progress.error {
            None => Made::completed(progress.queued),
            Some(error) => {
                let told = format!("{} rows were refused; {error}", progress.refused);
                Made::failed(Some(progress.queued), told)
            }
        };
        return record(conn, defined, node, &occasion, made).await;
    }
    let written = serde_json::to_string(&progress).unwrap_or_default();
    statement("UPDATE schedule SET progress = $2::text::jsonb WHERE name = $1")
        .bind::<Text, _>(key(&defined.name))
        .bind::<Text, _>(written)
        .execute(conn)
        .await?;
    Ok(Step::More)
}

fn bound<'a>(sql: &'a str, limit: i64, progress: &'a Progress) -> Statement<'a> {
    let bound = sql_query(sql)
        .bind::<BigInt, _>(limit)
        .bind::<Array<Text>, _>(&progress.until);
    match &progress.after {
        Some(after) => bound.bind::<Array<Text>, _>(after),
        None => bound,
    }
}

/// The key of the row that a batch of one was refused for; none if it is gone.
async fn at_fault(
    conn: &mut AsyncPgConnection,
    target: &Target,
    stage: &str,
    condition: Option<&str>,
    progress: &Progress,
) -> QueryResult<Option<Vec<String>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Array<Text>)]
        next: Vec<String>,
    }
    let sql = target.look(stage, condition, progress.after.is_none());
    let looked = conn
        .transaction(async |conn| bound(&sql, 1, progress).load::<Row>(conn).await)
        .await;
    match looked {
        Ok(rows) => Ok(rows.into_iter().next().map(|row| row.next)),
        Err(error) if is_gone(&error) => Err(error),
        // The condition itself is what a row breaks: the error that it was refused with tells.
        Err(_refused) => Ok(None),
    }
}
