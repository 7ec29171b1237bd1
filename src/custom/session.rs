//! Questions about statements that diesel cannot put: what a statement takes and yields, and whether its tables may be used so. None of
//! them runs it.

use std::error::Error as StdError;

use bytes::BytesMut;
use diesel::result::Error as DieselError;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Transaction};

use crate::db::DbError;

/// What the server says against a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: SqlState,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn of(error: &tokio_postgres::Error) -> Option<Self> {
        let said = error.as_db_error()?;
        Some(Self {
            code: said.code().clone(),
            message: said.message().to_owned(),
        })
    }

    /// Whether it is for want of a privilege.
    pub(super) fn is_of_privilege(&self) -> bool {
        self.code == SqlState::INSUFFICIENT_PRIVILEGE
    }
}

/// A column that a statement yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Yielded {
    pub(super) name: String,
    pub(super) kind: Type,
}

/// A statement as the server has understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Understood {
    /// How many parameters it takes.
    pub(super) parameters: usize,
    pub(super) yields: Vec<Yielded>,
}

/// The database is in trouble, or does not answer as it should.
pub(super) fn trouble(error: impl StdError + Send + Sync + 'static) -> DbError {
    DbError::Query(DieselError::QueryBuilderError(Box::new(error)))
}

/// A transaction in which nothing is written and nothing is waited for long.
pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, DbError> {
    let transaction = client
        .build_transaction()
        .read_only(true)
        .start()
        .await
        .map_err(trouble)?;
    transaction
        .batch_execute("SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'")
        .await
        .map_err(trouble)?;
    Ok(transaction)
}

/// Has the server read a statement whose first parameters are of these types.
///
/// # Errors
/// When the database does not answer; what it says against the statement is within.
pub(super) async fn understand(
    client: &mut Client,
    sql: &str,
    types: &[Type],
) -> Result<Result<Understood, Refusal>, DbError> {
    let transaction = begin(client).await?;
    let understood = match transaction.prepare_typed(sql, types).await {
        Ok(prepared) => Ok(Understood {
            parameters: prepared.params().len(),
            yields: prepared
                .columns()
                .iter()
                .map(|column| Yielded {
                    name: column.name().to_owned(),
                    kind: column.type_().clone(),
                })
                .collect(),
        }),
        Err(error) => Err(Refusal::of(&error).ok_or_else(|| trouble(error))?),
    };
    transaction.rollback().await.map_err(trouble)?;
    Ok(understood)
}

/// Has the server plan a statement that it understands, for which it looks at the privileges that it takes. `types` are those of all its
/// parameters.
///
/// # Errors
/// As [`understand`].
pub(super) async fn plan(
    client: &mut Client,
    sql: &str,
    types: &[Type],
) -> Result<Result<(), Refusal>, DbError> {
    let transaction = begin(client).await?;
    let planned = async {
        let prepared = transaction
            .prepare_typed(&format!("EXPLAIN {sql}"), types)
            .await?;
        let nothing: Vec<&(dyn ToSql + Sync)> = types.iter().map(|_| &Nothing as _).collect();
        transaction.query(&prepared, &nothing).await
    };
    let planned = match planned.await {
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::of(&error).ok_or_else(|| trouble(error))?),
    };
    transaction.rollback().await.map_err(trouble)?;
    Ok(planned)
}

/// NULL, of any type.
#[derive(Debug)]
struct Nothing;

impl ToSql for Nothing {
    fn to_sql(
        &self,
        _kind: &Type,
        _out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_kind: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
