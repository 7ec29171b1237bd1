//! Statements given as text, with what is bound to them.
//!
//! A [`statement`] is prepared once by each connection and stays prepared for as long as it lives: only for texts from a closed
//! set. A [`sql_query`] is prepared anew at every call, which is another round trip and another parse, and right for a statement
//! that runs now and then.
//!
//! diesel builds a type of its own for every statement and its parameters, and asynchronous code for each of these. Here all
//! are of one type. With the pipeline's (`workflow::erased`) that took a quarter of the program's code away before optimisation.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use diesel::QueryResult;
use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::Error as DieselError;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A statement whose text names its parameters `$1`, `$2` …
pub struct Statement<'a> {
    sql: Cow<'a, str>,
    binds: Vec<Box<dyn Bind + Send + Sync + 'a>>,
    is_kept: bool,
}

/// A value to bind.
trait Bind {
    fn walk<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
}

struct Bound<SqlType, Value> {
    value: Value,
    sql_type: PhantomData<fn() -> SqlType>,
}

impl<SqlType, Value> Bind for Bound<SqlType, Value>
where
    Pg: HasSqlType<SqlType>,
    Value: ToSql<SqlType, Pg>,
{
    fn walk<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<SqlType, Value>(&self.value)
    }
}

/// The statement with this text, which connections keep prepared.
#[must_use]
pub fn statement(sql: &str) -> Statement<'_> {
    Statement {
        is_kept: true,
        ..sql_query(sql)
    }
}

/// The statement with this text, for this once.
#[must_use]
pub fn sql_query<'a>(sql: impl Into<Cow<'a, str>>) -> Statement<'a> {
    Statement {
        sql: sql.into(),
        binds: Vec::new(),
        is_kept: false,
    }
}

/// No span is longer for a statement: more than this, taken from now, is no time that PostgreSQL knows.
const LONGEST_SPAN: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// A configured span in seconds, for `make_interval`; a hundred years at most, which is as good as for ever.
#[must_use]
pub fn seconds(span: Duration) -> f64 {
    span.min(LONGEST_SPAN).as_secs_f64()
}

/// What a batch stores, as an array of objects, each a row's key (`id`) with its columns: for `jsonb_to_recordset`.
///
/// # Errors
/// When a value cannot be written as JSON.
pub fn records<T: Serialize>(outputs: &[(i64, &T)]) -> QueryResult<Value> {
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

/// The same without NUL, which JSON may hold and PostgreSQL does not store. As deep as the parser allowed.
#[must_use]
pub fn storable(value: &Value) -> Value {
    let clean = |text: &str| text.replace('\0', "\u{fffd}");
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(all) => Value::Array(all.iter().map(storable).collect()),
        Value::Object(all) => {
            let fields = all.iter().map(|(name, own)| (clean(name), storable(own)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// [`storable`], of JSON that is kept as it was written.
#[must_use]
pub fn storable_text(written: &RawValue) -> Cow<'_, RawValue> {
    const NUL: &str = "\\u0000";
    let text = written.get();
    if !text.contains(NUL) {
        return Cow::Borrowed(written);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        clean.push_str(before);
        rest = if let Some(after) = after.strip_prefix("u0000") {
            clean.push_str("\\ufffd");
            after
        } else {
            // What follows is part of this, be it another of these signs.
            let mut signs = after.chars();
            clean.push('\\');
            clean.extend(signs.next());
            signs.as_str()
        };
    }
    clean.push_str(rest);
    RawValue::from_string(clean).map_or(Cow::Borrowed(written), Cow::Owned)
}

type Row = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// Apart from [`Statement::load`], so that it is compiled once and not for every type of row.
async fn rows(conn: &mut AsyncPgConnection, statement: Statement<'_>) -> QueryResult<Vec<Row>> {
    let stream = AsyncConnectionCore::load(conn, statement).await?;
    stream.try_collect().await
}

impl<'a> Statement<'a> {
    /// Binds the next parameter: `$1` first.
    #[must_use]
    pub fn bind<SqlType, Value>(mut self, value: Value) -> Self
    where
        SqlType: 'a,
        Pg: HasSqlType<SqlType>,
        Value: ToSql<SqlType, Pg> + Send + Sync + 'a,
    {
        self.binds.push(Box::new(Bound {
            value,
            sql_type: PhantomData,
        }));
        self
    }

    /// All rows that it yields.
    ///
    /// # Errors
    /// Whatever the database answers, and a row that is not as `T` expects it.
    pub async fn load<T: QueryableByName<Pg>>(
        self,
        conn: &mut AsyncPgConnection,
    ) -> QueryResult<Vec<T>> {
        let rows = rows(conn, self).await?;
        rows.iter()
            .map(|row| T::build(row).map_err(DieselError::DeserializationError))
            .collect()
    }

    /// The first row that it yields.
    ///
    /// # Errors
    /// As [`Statement::load`]; [`DieselError::NotFound`] when it yields none.
    pub async fn get_result<T: QueryableByName<Pg>>(
        self,
        conn: &mut AsyncPgConnection,
    ) -> QueryResult<T> {
        let rows = rows(conn, self).await?;
        let row = rows.first().ok_or(DieselError::NotFound)?;
        T::build(row).map_err(DieselError::DeserializationError)
    }

    /// How many rows it changes.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn execute(self, conn: &mut AsyncPgConnection) -> QueryResult<usize> {
        AsyncConnectionCore::execute_returning_count(conn, self).await
    }
}

impl fmt::Debug for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Statement").field(&self.sql).finish()
    }
}

impl QueryFragment<Pg> for Statement<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.is_kept {
            out.unsafe_to_cache_prepared();
        }
        out.push_sql(&self.sql);
        for bind in &self.binds {
            // diesel writes `$n` wherever a value is bound. The text has its own already, so diesel's goes into a comment.
            out.push_sql(" /*");
            bind.walk(out.reborrow())?;
            out.push_sql("*/");
        }
        Ok(())
    }
}

/// Found again by its text.
impl QueryId for Statement<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement<'_> {
    type SqlType = Untyped;
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use diesel::sql_types::{BigInt, Text};

    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn nul_is_taken_out_at_any_depth() {
        let value = json!({"a\0": ["x\0y", {"b": "\0"}], "c\\u0000": "\\\0\\\\", "n": 1.5, "t": true, "z": null});
        let clean = json!({"a\u{fffd}": ["x\u{fffd}y", {"b": "\u{fffd}"}], "c\\u0000": "\\\u{fffd}\\\\", "n": 1.5, "t": true, "z": null});
        assert_eq!(storable(&value), clean);
        let written = to_raw_value(&value).expect("JSON");
        let kept: Value = serde_json::from_str(storable_text(&written).get()).expect("JSON");
        assert_eq!(kept, clean);
    }

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
