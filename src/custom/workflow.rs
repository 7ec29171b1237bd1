//! A workflow of the operator's own: rows of a table of theirs → a handler of theirs → what becomes of its answer.
//!
//! `load` reads what handlers are given, `run` has a row worked by the [runner](super::runner), and `store` sets columns, or runs a
//! statement of the operator's, and queues rows for the stages that come next: all in the transaction that settles the batch. A statement
//! that works rows itself is run there too; nothing is done with them before.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel::deserialize::{self, FromSql, QueryableByName};
use diesel::pg::{Pg, PgValue};
use diesel::result::Error as DieselError;
use diesel::row::{Field as _, NamedRow, Row};
use diesel::sql_types::{Array, BigInt, Integer, Jsonb, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;
use futures_util::future::BoxFuture;
use serde_json::Value;
use serde_json::value::RawValue;

use super::limit::{self, Limit};
use super::runner::{Answer, AnyRunner, Columns, Item};
use super::statements::{Answers, Statements};
use super::told::{Told, Written};
use crate::db::locks;
use crate::db::statement::statement;
use crate::workflow::erased::{self, Erased};
use crate::workflow::{Done, ItemId, Progress, WorkflowError};

/// The class of failures that are about what is given of a row.
const ROW: &str = "row";
/// The class of failures that are about an answer.
const ANSWER: &str = "answer";

/// The workflow.
pub struct Custom {
    statements: Arc<Statements>,
    /// Who works its rows; nobody where a statement does.
    runner: Option<Arc<dyn AnyRunner>>,
    /// How long a row is worked at most.
    timeout: Duration,
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom")
            .field("statements", &self.statements)
            .finish_non_exhaustive()
    }
}

/// What is given of a row.
enum Input {
    Row(Item),
    /// It cannot be given, and never will as it is.
    Unfit(String),
}

#[derive(diesel::QueryableByName)]
struct Loaded {
    #[diesel(sql_type = BigInt)]
    handle: ItemId,
    #[diesel(sql_type = SmallInt)]
    attempt: i16,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    bytes: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    columns: Option<String>,
}

/// The key that a statement of the operator's yields, in its first column, whatever that is called.
struct Key(ItemId);

impl QueryableByName<Pg> for Key {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> deserialize::Result<Self> {
        let field = Row::get(row, 0).ok_or("it yields no column")?;
        let value: PgValue<'_> = field.value().ok_or("it yields no key for a row")?;
        let is_short = value.as_bytes().len() == 4;
        Ok(Self(if is_short {
            <i32 as FromSql<Integer, Pg>>::from_sql(value)?.into()
        } else {
            FromSql::<BigInt, Pg>::from_sql(value)?
        }))
    }
}

/// A statement that works rows has not said of one that it is done.
#[derive(Debug, thiserror::Error)]
#[error(
    "the statement in run.sql does not say that it has done this row: it yields other keys, and not its"
)]
struct NotDone;

impl Custom {
    /// One whose rows this runner works. `timeout` is how long one is worked at most.
    #[must_use]
    pub fn new(statements: Arc<Statements>, runner: Arc<dyn AnyRunner>, timeout: Duration) -> Self {
        Self {
            statements,
            runner: Some(runner),
            timeout,
        }
    }

    /// One whose rows a statement works.
    #[must_use]
    pub fn by_statement(statements: Arc<Statements>) -> Self {
        Self {
            statements,
            runner: None,
            timeout: Duration::ZERO,
        }
    }

    async fn read(&self, conn: &mut AsyncPgConnection, ids: &[ItemId]) -> QueryResult<Vec<Loaded>> {
        let most = i64::try_from(self.statements.max_row_bytes).unwrap_or(i64::MAX);
        statement(&self.statements.load)
            .bind::<Array<BigInt>, _>(ids)
            .bind::<BigInt, _>(most)
            .load(conn)
            .await
    }

    async fn load_rows(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, erased::Input)>> {
        let rows = if self.statements.is_load_own {
            let limit = self.statements.timeout;
            limit::begin_reading(conn, limit).await?;
            let since = Instant::now();
            let read = self.read(conn, ids).await;
            let read = read.map_err(|error| limit::judged_reading(error, "load", limit, since));
            locks::end(conn, read).await?
        } else {
            self.read(conn, ids).await?
        };
        let mut seen = HashSet::with_capacity(rows.len());
        let several: HashSet<ItemId> = rows
            .iter()
            .map(|row| row.handle)
            .filter(|handle| !seen.insert(*handle))
            .collect();
        let inputs = rows.into_iter().map(|row| {
            let handle = row.handle;
            let input = if several.contains(&handle) {
                Input::Unfit("the statement in load yields several rows for it: let it yield one, with jsonb_agg for what is several".to_owned())
            } else {
                self.input(row)
            };
            (handle, Box::new(input) as erased::Input)
        });
        Ok(inputs.collect())
    }

    fn input(&self, row: Loaded) -> Input {
        let Some(columns) = row.columns else {
            return Input::Unfit(match row.bytes {
                Some(bytes) => format!(
                    "what is given of the row has {bytes} bytes, and max_row_bytes is {}",
                    self.statements.max_row_bytes
                ),
                None => "the statement in load yields no row for it".to_owned(),
            });
        };
        let read = || {
            let key: Value = serde_json::from_str(&row.key)?;
            Ok::<_, serde_json::Error>((key, RawValue::from_string(columns)?))
        };
        match read() {
            Ok((key, columns)) => Input::Row(Item {
                key,
                attempt: row.attempt,
                columns,
                deadline: None,
                on_progress: None,
            }),
            Err(error) => Input::Unfit(format!("what is given of the row is no JSON: {error}")),
        }
    }

    async fn work(&self, input: Input) -> Result<Done<erased::Output>, WorkflowError> {
        let mut item = match input {
            Input::Row(item) => item,
            Input::Unfit(problem) => return Err(WorkflowError::permanent(ROW, problem)),
        };
        let Some(runner) = &self.runner else {
            return Ok(Done::Completed(Box::new(Told::new(true, &Columns::new()))));
        };
        item.deadline = tokio::time::Instant::now().checked_add(self.timeout);
        Ok(match runner.run(item).await? {
            Answer::Completed(columns) => Done::Completed(Box::new(self.told(true, &columns)?)),
            Answer::Filtered(reason, columns) => {
                let told = columns
                    .map(|columns| self.told(false, &columns))
                    .transpose()?;
                Done::Filtered(reason, told.map(|told| Box::new(told) as erased::Output))
            }
        })
    }

    /// What is kept of an answer.
    ///
    /// # Errors
    /// When it is not as the section has it, which the next attempt would not mend.
    fn told(&self, is_completed: bool, columns: &Columns) -> Result<Told, WorkflowError> {
        let bytes = columns
            .iter()
            .map(|(name, value)| name.len().saturating_add(value.get().len()))
            .fold(0, usize::saturating_add);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes > self.statements.max_answer_bytes {
            let most = self.statements.max_answer_bytes;
            let problem = format!("the answer has {bytes} bytes, and max_answer_bytes is {most}");
            return Err(WorkflowError::permanent(ANSWER, problem));
        }
        let stray = columns.keys().find(|name| match &self.statements.answers {
            Answers::Columns(may_set) => !may_set.contains(*name),
            Answers::Statement(_) => **name == self.statements.handle,
            Answers::Sql { .. } => true,
        });
        match stray {
            None => Ok(Told::new(is_completed, columns)),
            Some(name) => {
                let why = match &self.statements.answers {
                    Answers::Statement(_) => "which is the key of the row",
                    _ => "which is not among the columns of store",
                };
                let problem = format!("the answer sets {}, {why}", printable(name));
                Err(WorkflowError::permanent(ANSWER, problem))
            }
        }
    }

    async fn store_all(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &erased::Output)],
    ) -> QueryResult<()> {
        let told: Vec<(ItemId, &Told)> = outputs
            .iter()
            .map(|&(id, output)| (id, own(output)))
            .collect();
        match &self.statements.answers {
            Answers::Statement(sql) => {
                let for_it = told.iter().copied();
                let for_it: Vec<_> = for_it
                    .filter(|(_, told)| told.is_completed || told.sets())
                    .collect();
                if !for_it.is_empty() {
                    let written =
                        Written::for_statement(&self.statements.handle, for_it.into_iter());
                    let limit = Limit::set(conn, "store", self.statements.timeout).await?;
                    let done = statement(sql).bind::<Jsonb, _>(written).execute(conn).await;
                    limit.over(conn, done).await?;
                }
            }
            Answers::Sql { text, yields_keys } => {
                let ids: Vec<ItemId> = told.iter().map(|(id, _)| *id).collect();
                let limit = Limit::set(conn, "run.sql", self.statements.timeout).await?;
                let done = work_rows(conn, text, *yields_keys, &ids).await;
                limit.over(conn, done).await?;
            }
            Answers::Columns(_) => {}
        }
        let Some(set) = &self.statements.set else {
            return Ok(());
        };
        let sets_columns = matches!(self.statements.answers, Answers::Columns(_));
        let concerned: Vec<(ItemId, &Told)> = told
            .into_iter()
            .filter(|(_, told)| {
                (sets_columns && told.sets()) || (self.statements.has_then && told.is_completed)
            })
            .collect();
        if concerned.is_empty() {
            return Ok(());
        }
        let ids: Vec<ItemId> = concerned.iter().map(|(id, _)| *id).collect();
        statement(set)
            .bind::<Jsonb, _>(Written::for_set(concerned.into_iter()))
            .bind::<Array<BigInt>, _>(ids)
            .execute(conn)
            .await?;
        Ok(())
    }
}

/// Has a statement work these rows.
///
/// # Errors
/// Whatever the database answers; where it yields keys and not all of these, that one of them is not done.
async fn work_rows(
    conn: &mut AsyncPgConnection,
    sql: &str,
    yields_keys: bool,
    ids: &[ItemId],
) -> QueryResult<()> {
    let working = statement(sql).bind::<Array<BigInt>, _>(ids);
    if !yields_keys {
        working.execute(conn).await?;
        return Ok(());
    }
    let done: Vec<Key> = working.load(conn).await?;
    let done: HashSet<ItemId> = done.into_iter().map(|Key(id)| id).collect();
    if ids.iter().all(|id| done.contains(id)) {
        Ok(())
    } else {
        Err(DieselError::SerializationError(Box::new(NotDone)))
    }
}

/// A name of a handler's, in an error: not longer than PostgreSQL has them, and on one line.
fn printable(name: &str) -> String {
    const LONGEST: usize = 63;
    let signs = name
        .chars()
        .take(LONGEST)
        .map(|sign| if sign.is_control() { '\u{fffd}' } else { sign });
    format!("\"{}\"", signs.collect::<String>())
}

/// What this workflow yielded, as it yielded it.
fn own(output: &erased::Output) -> &Told {
    (**output)
        .downcast_ref()
        .unwrap_or_else(|| unreachable!("it is given what it yielded itself"))
}

impl Erased for Custom {
    fn ready(&self) -> Result<(), String> {
        self.runner.as_ref().map_or(Ok(()), |runner| runner.ready())
    }

    fn load<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        ids: &'a [ItemId],
    ) -> BoxFuture<'a, QueryResult<Vec<(ItemId, erased::Input)>>> {
        Box::pin(self.load_rows(conn, ids))
    }

    fn run<'a>(
        &'a self,
        input: erased::Input,
        _progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Done<erased::Output>, WorkflowError>> {
        let input: Input = *input
            .downcast()
            .unwrap_or_else(|_| unreachable!("it is given what it loaded itself"));
        Box::pin(self.work(input))
    }

    fn store<'a>(
        &'a self,
        conn: &'a mut AsyncPgConnection,
        outputs: &'a [(ItemId, &'a erased::Output)],
    ) -> BoxFuture<'a, QueryResult<()>> {
        Box::pin(self.store_all(conn, outputs))
    }
}
