//! Statements given as text that each connection prepares once.
//!
//! diesel prepares a `sql_query` anew at every call, which is another round trip and another parse. Right for a statement
//! that runs now and then; the claim and the settle run for every batch. Only for texts from a closed set: each stays
//! prepared for as long as its connection lives.

use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error as DieselError;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use serde::Serialize;

/// A statement whose text names its parameters `$1`, `$2` …
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    sql: &'a str,
}

/// A statement with one more parameter bound.
#[derive(Clone, Copy, Debug)]
pub struct Bound<Inner, SqlType, Value> {
    inner: Inner,
    value: Value,
    sql_type: PhantomData<SqlType>,
}

/// The statement with this text.
#[must_use]
pub fn statement(sql: &str) -> Statement<'_> {
    Statement { sql }
}

/// What a batch stores, as an array of objects, each a row's key (`id`) with its columns: for `jsonb_to_recordset`.
///
/// # Errors
/// When a value cannot be written as JSON.
pub fn records<T: Serialize>(outputs: &[(i64, &T)]) -> QueryResult<serde_json::Value> {
    #[derive(Serialize)]
    struct Record<'a, T> {
        id: i64,
        #[serde(flatten)]
        columns: &'a T,
    }
    let records: Vec<Record<'_, T>> = outputs
        .iter()
        .map(|&(id, columns)| Record { id, columns })
        .collect();
    serde_json::to_value(records).map_err(|error| DieselError::SerializationError(error.into()))
}

impl Statement<'_> {
    /// Binds `$1`.
    pub fn bind<SqlType, Value>(self, value: Value) -> Bound<Self, SqlType, Value> {
        Bound {
            inner: self,
            value,
            sql_type: PhantomData,
        }
    }
}

impl<Inner, SqlType, Value> Bound<Inner, SqlType, Value> {
    /// Binds the next parameter.
    pub fn bind<NextType, Next>(self, value: Next) -> Bound<Self, NextType, Next> {
        Bound {
            inner: self,
            value,
            sql_type: PhantomData,
        }
    }
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.sql);
        Ok(())
    }
}

impl<Inner, SqlType, Value> QueryFragment<Pg> for Bound<Inner, SqlType, Value>
where
    Inner: QueryFragment<Pg>,
    Pg: HasSqlType<SqlType>,
    Value: ToSql<SqlType, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.inner.walk_ast(out.reborrow())?;
        // diesel writes `$n` wherever a value is bound. The text has its own already, so diesel's goes into a comment.
        out.push_sql(" /*");
        out.push_bind_param::<SqlType, Value>(&self.value)?;
        out.push_sql("*/");
        Ok(())
    }
}

/// Found again by its text.
impl QueryId for Statement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Inner, SqlType, Value> QueryId for Bound<Inner, SqlType, Value> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

impl<Inner, SqlType, Value> Query for Bound<Inner, SqlType, Value> {
    type SqlType = Untyped;
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use diesel::sql_types::{BigInt, Text};

    use super::*;

    #[test]
    fn values_are_bound_in_order_and_the_text_stays() {
        let query = statement("SELECT $2 || $1")
            .bind::<BigInt, _>(7_i64)
            .bind::<Text, _>("x");
        assert_eq!(
            debug_query::<Pg, _>(&query).to_string(),
            r#"SELECT $2 || $1 /*$1*/ /*$2*/ -- binds: [7, "x"]"#
        );
        assert!(
            query
                .is_safe_to_cache_prepared(&Pg)
                .expect("a valid fragment")
        );
    }
}
