//! Whether schedules can do what they are to do, without doing it: a look at the database.

use diesel_async::AsyncPgConnection;
use tokio_postgres::Client;

use super::definition::{Action, Defined, Problem};
use super::queue::Target;
use crate::db::DbError;

/// What is wrong with a schedule in this database, by its key and what would be right.
///
/// Nothing, as far as that can be told before it fires. `client` is a session on the same database, for questions that change nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn problem(
    conn: &mut AsyncPgConnection,
    client: &Client,
    defined: &Defined,
) -> Result<Option<Problem>, DbError> {
    let zone = defined.zone.name().replace('\'', "''");
    if let Err(error) = client
        .batch_execute(&format!("SET TimeZone = '{zone}'"))
        .await
    {
        let why = refusal(error)?;
        return Ok(Some(problem_at("time_zone", &why)));
    }
    match &defined.action {
        Action::Sql(sql) => match client.prepare(sql).await {
            Ok(prepared) if !prepared.params().is_empty() => Ok(Some(problem_at(
                "sql",
                "has parameters, and nothing is bound to them; the time that it fires for is current_setting('gleaner.due_at')",
            ))),
            Ok(_) => Ok(None),
            Err(error) => {
                let why = refusal(error)?;
                Ok(Some(problem_at(
                    "sql",
                    &format!("cannot be prepared: {why}"),
                )))
            }
        },
        Action::Queue { stage, condition } => {
            let target = match Target::find(conn, stage).await? {
                Ok(target) => target,
                Err(why) => return Ok(Some(problem_at("queue.stage", &why))),
            };
            let sql = target.statement(&stage.stage, condition.as_deref(), true);
            match client.prepare(&sql).await {
                Ok(_) => Ok(None),
                Err(error) => {
                    let why = refusal(error)?;
                    let (key, what) = match condition {
                        Some(_) => ("queue.where", "is no condition over the table's columns"),
                        None => ("queue.stage", "its rows cannot be queued"),
                    };
                    Ok(Some(problem_at(key, &format!("{what}: {why}"))))
                }
            }
        }
    }
}

fn problem_at(key: &str, told: &str) -> Problem {
    (key.to_owned(), told.to_owned())
}

/// What the server says against a statement.
///
/// # Errors
/// The error, where it is not the server that says it.
fn refusal(error: tokio_postgres::Error) -> Result<String, DbError> {
    let Some(said) = error.as_db_error() else {
        let error = diesel::result::Error::QueryBuilderError(Box::new(error));
        return Err(DbError::Query(error));
    };
    Ok(format!("{} [{}]", said.message(), said.code().code()))
}
