//! Rows of a stage by filter: listed, queued again, cancelled. The operator's door to the stage columns.
//!
//! Rows are changed only as any other software may: by a request, under the guard trigger. A row that a worker has in hand is never taken away from it: queued again, it runs again after;
//! cancelled, the worker's result is dropped. Texts from outside are always bound, never part of a statement.

mod filter;

use crate::db::statement::{Statement, sql_query};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Integer, Jsonb, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;

use super::stage::{Request, Stage};
use crate::db::names;
use crate::db::notify::STAGE_CHANNEL;
use crate::db::sqlstate;

pub use filter::{Filter, Status};

/// Rows changed by one statement, which is one transaction: workers wait for no more than that.
const CHUNK: i64 = 5_000;

/// A deadlock with a worker's batch is tried again this often.
const TRIES: usize = 5;

/// Why rows cannot be found by a filter.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    /// The table has nothing to filter by.
    #[error("rows of {table} have no {what} to filter by")]
    NoColumn {
        table: String,
        /// What it lacks, in words.
        what: &'static str,
    },
    /// What was given for a key is none of the table's.
    #[error("no key of {table}: {message}")]
    BadKey {
        table: String,
        /// What the server says of it.
        message: String,
    },
    /// The statement failed.
    #[error("the database refused a statement")]
    Query(#[from] diesel::result::Error),
}

/// A row in a list.
#[derive(Clone, Debug, QueryableByName, serde::Serialize)]
pub struct Item {
    /// The engine's number for it; none for a row that was never asked for, where that number is not the key.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub id: Option<i64>,
    /// Its key.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// What people know it by: an address, a host, a name.
    #[diesel(sql_type = Nullable<Text>)]
    pub label: Option<String>,
    /// Its status in the stage.
    #[diesel(sql_type = Nullable<Text>)]
    pub status: Option<String>,
    /// Attempts since it was last asked for.
    #[diesel(sql_type = SmallInt)]
    pub attempts: i16,
    /// Seconds until it is due; negative when overdue.
    #[diesel(sql_type = Nullable<Double>)]
    pub due_in_seconds: Option<f64>,
    /// Seconds since the row last changed, where the table says.
    #[diesel(sql_type = Nullable<Double>)]
    pub changed_seconds: Option<f64>,
    /// The last error, or why it was filtered.
    #[diesel(sql_type = Nullable<Text>)]
    pub error: Option<String>,
}

/// A row with all its columns.
#[derive(Clone, Debug, QueryableByName, serde::Serialize)]
pub struct Whole {
    /// The engine's number for it; as [`Item::id`].
    #[diesel(sql_type = Nullable<BigInt>)]
    pub id: Option<i64>,
    /// Its key.
    #[diesel(sql_type = Text)]
    pub key: String,
    /// Every column by name.
    #[diesel(sql_type = Jsonb)]
    pub columns: serde_json::Value,
    /// The process that has it in hand, as node and host.
    #[diesel(sql_type = Nullable<Text>)]
    pub holder: Option<String>,
    /// Seconds until that process's right to it ends; negative when ended.
    #[diesel(sql_type = Nullable<Double>)]
    pub lease_ends_in_seconds: Option<f64>,
}

/// What became of one attempt.
#[derive(Clone, Debug, QueryableByName, serde::Serialize)]
pub struct Attempt {
    /// When it ended, by the database's clock.
    #[diesel(sql_type = Text)]
    pub settled_at: String,
    #[diesel(sql_type = SmallInt)]
    pub attempt: i16,
    /// completed, filtered, retried, …
    #[diesel(sql_type = Text)]
    pub outcome: String,
    /// Class of the failure.
    #[diesel(sql_type = Nullable<Text>)]
    pub class: Option<String>,
    /// How long it took, in milliseconds.
    #[diesel(sql_type = Nullable<Integer>)]
    pub elapsed_ms: Option<i32>,
    /// The error, or the reason.
    #[diesel(sql_type = Nullable<Text>)]
    pub message: Option<String>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    rows: i64,
}

#[derive(QueryableByName)]
struct Changed {
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

/// The rows of one stage, with what its table can be filtered by.
#[derive(Clone, Debug)]
pub struct Items {
    stage: Stage,
    columns: Vec<String>,
}

impl Items {
    /// Reads which columns the stage's table has.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn of(conn: &mut AsyncPgConnection, stage: &Stage) -> QueryResult<Self> {
        #[derive(QueryableByName)]
        struct Column {
            #[diesel(sql_type = Text)]
            name: String,
        }
        let columns: Vec<Column> = sql_query(
            // Columns that are called so and hold something else are none to filter by.
            "SELECT attname::text AS name FROM pg_attribute \
             WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped \
               AND CASE attname WHEN 'updated_at' THEN atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype) \
                   WHEN 'domain_id' THEN atttypid = 'bigint'::regtype ELSE true END",
        )
        .bind::<Text, _>(stage.table())
        .load(conn)
        .await?;
        Ok(Self {
            stage: stage.clone(),
            columns: columns.into_iter().map(|column| column.name).collect(),
        })
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|own| own == column)
    }

    /// The first of these that the table has.
    fn first(&self, candidates: &[&'static str]) -> Option<&'static str> {
        candidates.iter().copied().find(|column| self.has(column))
    }

    /// The column with the address, where there is one.
    fn url_column(&self) -> Option<&'static str> {
        self.first(&["url", "website", "domain"])
    }

    /// The condition, with the filter's texts as parameters 1 to 7; see [`Self::bound`].
    fn condition(&self, filter: &Filter) -> Result<String, ItemsError> {
        let stage = self.stage.column_group();
        let lacks = |what| ItemsError::NoColumn {
            table: self.stage.table().to_owned(),
            what,
        };
        let mut all: Vec<String> = Vec::new();
        if !filter.statuses.is_empty() {
            // Written out, so that the partial indexes over Queued and Processing rows can serve.
            let mut any: Vec<String> = Vec::new();
            for status in &filter.statuses {
                any.push(match status {
                    Status::None => format!("item.{stage}_status IS NULL"),
                    stored => format!("item.{stage}_status = '{}'", stored.as_str()),
                });
            }
            all.push(format!("({})", any.join(" OR ")));
        }
        if !filter.ids.is_empty() {
            all.push(format!("item.{} = ANY ($1)", self.stage.key().column()));
        }
        if !filter.keys.is_empty() {
            all.push(self.stage.key().is_among("item", "$7"));
        }
        if filter.error.is_some() {
            all.push(format!("strpos(lower(item.{stage}_error), lower($2)) > 0"));
        }
        if filter.older_than.is_some() {
            if !self.has("updated_at") {
                return Err(lacks("time of their last change"));
            }
            all.push("item.updated_at < now() - make_interval(secs => $3)".to_owned());
        }
        if filter.user_status.is_some() {
            if !self.has("status") {
                return Err(lacks("user status"));
            }
            all.push("item.status::text = $4".to_owned());
        }
        if filter.domain.is_some() {
            if self.has("registrable_domain") {
                all.push(
                    "(item.domain::text = $5 OR item.registrable_domain::text = $5)".to_owned(),
                );
            } else if self.has("domain_id") {
                all.push(
                    "item.domain_id IN (SELECT domain.id FROM domain \
                     WHERE domain.domain = $5 OR domain.registrable_domain = $5)"
                        .to_owned(),
                );
            } else {
                return Err(lacks("domain"));
            }
        }
        if filter.url_contains.is_some() {
            let column = self.url_column().ok_or_else(|| lacks("address"))?;
            all.push(format!("strpos(lower(item.{column}::text), lower($6)) > 0"));
        }
        if all.is_empty() {
            all.push("true".to_owned());
        }
        Ok(all.join(" AND "))
    }

    /// A statement with the filter's parameters. All are bound every time, and named once in a harmless place, because a
    /// parameter that a statement does not mention has no type.
    fn bound(statement: &str, filter: &Filter) -> Statement<'static> {
        let parameters = "parameters AS (SELECT $1::bigint[], $2::text, $3::float8, $4::text, $5::text, $6::text, $7::text[])";
        sql_query(format!("WITH {parameters} {statement}"))
            .bind::<Array<BigInt>, _>(filter.ids.clone())
            .bind::<Nullable<Text>, _>(filter.error.clone())
            .bind::<Nullable<Double>, _>(filter.older_than.map(|age| age.as_secs_f64()))
            .bind::<Nullable<Text>, _>(filter.user_status.clone())
            .bind::<Nullable<Text>, _>(filter.domain.clone())
            .bind::<Nullable<Text>, _>(filter.url_contains.clone())
            .bind::<Array<Text>, _>(filter.keys.clone())
    }

    /// What went wrong with a statement over what was given for keys.
    fn refused(&self, filter: &Filter, error: diesel::result::Error) -> ItemsError {
        // A data exception: a value that its type does not know.
        let is_of_a_value = sqlstate::code(&error).is_some_and(|code| code.starts_with("22"));
        if filter.keys.is_empty() || !is_of_a_value {
            return ItemsError::Query(error);
        }
        ItemsError::BadKey {
            table: self.stage.table().to_owned(),
            message: error.to_string(),
        }
    }

    /// How many rows are meant.
    ///
    /// # Errors
    /// [`ItemsError`].
    pub async fn count(
        &self,
        conn: &mut AsyncPgConnection,
        filter: &Filter,
    ) -> Result<i64, ItemsError> {
        let (table, condition) = (self.stage.table_in_statements(), self.condition(filter)?);
        let count: Count = Self::bound(
            &format!(
                "SELECT count(*) AS rows FROM (SELECT 1 FROM {table} AS item WHERE {condition} LIMIT $8) AS found"
            ),
            filter,
        )
        .bind::<Nullable<BigInt>, _>(filter.limit)
        .get_result(conn)
        .await
        .map_err(|error| self.refused(filter, error))?;
        Ok(count.rows)
    }

    /// The rows meant, last changed first.
    ///
    /// # Errors
    /// [`ItemsError`].
    pub async fn list(
        &self,
        conn: &mut AsyncPgConnection,
        filter: &Filter,
    ) -> Result<Vec<Item>, ItemsError> {
        let condition = self.condition(filter)?;
        let (table, stage) = (self.stage.table_in_statements(), self.stage.column_group());
        let key = self.stage.key();
        let (number, own, own_order) = (key.column(), key.text("item"), key.order("item"));
        let label = self
            .first(&["url", "domain", "website", "name"])
            .map_or_else(
                || "NULL".to_owned(),
                |column| format!("item.{column}::text"),
            );
        let name = if self.has("name") {
            format!("coalesce(nullif(item.name::text, ''), {label})")
        } else {
            label
        };
        let (changed, order) = if self.has("updated_at") {
            (
                "extract(epoch FROM now() - CASE WHEN isfinite(item.updated_at) THEN item.updated_at END)::float8",
                format!("item.updated_at DESC, {own_order}"),
            )
        } else {
            ("NULL::float8", own_order)
        };
        let items = Self::bound(
            &format!(
                "SELECT item.{number}::bigint AS id, {own} AS key, ({name})::text AS label, item.{stage}_status AS status, \
                 item.{stage}_attempts AS attempts, \
                 extract(epoch FROM CASE WHEN isfinite(item.{stage}_due_at) THEN item.{stage}_due_at END - now())::float8 AS due_in_seconds, \
                 {changed} AS changed_seconds, item.{stage}_error AS error \
                 FROM {table} AS item WHERE {condition} ORDER BY {order} LIMIT $8"
            ),
            filter,
        )
        .bind::<Nullable<BigInt>, _>(filter.limit)
        .load(conn)
        .await
        .map_err(|error| self.refused(filter, error))?;
        Ok(items)
    }

    /// Queues the rows meant again, as if asked for the first time: attempts from 0, no error, due now. Rows in hand run again
    /// after. Returns how many.
    ///
    /// # Errors
    /// [`ItemsError`]; what was changed before stays changed.
    pub async fn retry(
        &self,
        conn: &mut AsyncPgConnection,
        filter: &Filter,
    ) -> Result<i64, ItemsError> {
        // Told to the workers once, not for each row.
        let tell = format!(
            "pg_notify('{STAGE_CHANNEL}', {})",
            names::literal(&self.stage.name())
        );
        self.change(conn, filter, Request::QueueAfresh, &tell).await
    }

    /// Calls the rows meant off, of those that wait or are in hand. Returns how many.
    ///
    /// # Errors
    /// [`ItemsError`]; what was changed before stays changed.
    pub async fn cancel(
        &self,
        conn: &mut AsyncPgConnection,
        filter: &Filter,
    ) -> Result<i64, ItemsError> {
        self.change(conn, filter, Request::Cancel, "NULL").await
    }

    /// Changes the rows meant in chunks, by ascending number, each chunk once.
    async fn change(
        &self,
        conn: &mut AsyncPgConnection,
        filter: &Filter,
        request: Request,
        tell: &str,
    ) -> Result<i64, ItemsError> {
        let (table, condition) = (self.stage.table_in_statements(), self.condition(filter)?);
        let (key, set) = (self.stage.key(), self.stage.group().set(&[request]));
        let number = key.column();
        let statement = format!(
            ", chosen AS MATERIALIZED (\
                SELECT item.{number} AS number FROM {table} AS item WHERE {condition} AND item.{number} > $8 \
                ORDER BY item.{number} LIMIT $9 FOR UPDATE), \
             changed AS (UPDATE {table} AS item SET {set} FROM chosen WHERE item.{number} = chosen.number RETURNING item.{number} AS number) \
             SELECT count(*) AS rows, max(number)::bigint AS last FROM changed, (SELECT {tell}) AS told"
        );
        let (mut total, mut last) = (0, i64::MIN);
        let limit = filter.limit.unwrap_or(i64::MAX);
        while total < limit {
            let most = CHUNK.min(limit - total);
            let changed = self.chunk(conn, &statement, filter, last, most).await?;
            total += changed.rows;
            match changed.last {
                Some(number) if changed.rows == most => last = number,
                _ => break,
            }
        }
        if !key.has_handle() || total >= limit {
            return Ok(total);
        }
        // Rows without a number: those that were never asked for. They are asked for now, or not meant any more, and either way no
        // longer found.
        let own = key.order("item");
        let chosen_own: Vec<String> = (0..key.own().len()).map(|at| format!("own{at}")).collect();
        let chosen_own = chosen_own.join(", ");
        let statement = format!(
            ", chosen({chosen_own}) AS MATERIALIZED (\
                SELECT {own} FROM {table} AS item WHERE {condition} AND item.{number} IS NULL \
                ORDER BY {own} LIMIT $9 FOR UPDATE), \
             changed AS (UPDATE {table} AS item SET {set} FROM chosen \
                WHERE ({own}) = ({chosen_own}) AND item.{number} IS NULL AND {condition} RETURNING 1) \
             SELECT count(*) AS rows, NULL::bigint AS last FROM changed, (SELECT {tell}, $8::bigint) AS told"
        );
        while total < limit {
            let most = CHUNK.min(limit - total);
            let changed = self.chunk(conn, &statement, filter, 0, most).await?;
            total += changed.rows;
            if changed.rows == 0 {
                break;
            }
        }
        Ok(total)
    }

    async fn chunk(
        &self,
        conn: &mut AsyncPgConnection,
        statement: &str,
        filter: &Filter,
        after: i64,
        most: i64,
    ) -> Result<Changed, ItemsError> {
        let mut tried = 1;
        loop {
            let changed = Self::bound(statement, filter)
                .bind::<BigInt, _>(after)
                .bind::<BigInt, _>(most)
                .get_result(conn)
                .await;
            match changed {
                Err(error) if tried < TRIES && is_deadlock(&error) => tried += 1,
                done => return done.map_err(|error| self.refused(filter, error)),
            }
        }
    }

    /// One row with all its columns; none if no row is meant. Of several, as a key may have that no index keeps unique, the first.
    ///
    /// # Errors
    /// [`ItemsError`].
    pub async fn whole(
        &self,
        conn: &mut AsyncPgConnection,
        filter: &Filter,
    ) -> Result<Option<Whole>, ItemsError> {
        let condition = self.condition(filter)?;
        let (table, stage) = (self.stage.table_in_statements(), self.stage.column_group());
        let key = self.stage.key();
        let (number, own, order) = (key.column(), key.text("item"), key.order("item"));
        let statement = format!(
            "SELECT item.{number}::bigint AS id, {own} AS key, to_jsonb(item) AS columns, node.id || '@' || node.host AS holder, \
             extract(epoch FROM CASE WHEN isfinite(lease.expires_at) THEN lease.expires_at END - now())::float8 AS lease_ends_in_seconds \
             FROM {table} AS item LEFT JOIN lease ON lease.id = item.{stage}_lease \
             LEFT JOIN node ON node.id = lease.node_id WHERE {condition} ORDER BY {order} LIMIT 1"
        );
        Self::bound(&statement, filter)
            .get_result(conn)
            .await
            .optional()
            .map_err(|error| self.refused(filter, error))
    }

    /// The attempts at one row that the history still holds, the last first.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn attempts(
        &self,
        conn: &mut AsyncPgConnection,
        id: i64,
        most: i64,
    ) -> QueryResult<Vec<Attempt>> {
        sql_query(
            "SELECT to_char(settled_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS settled_at, \
             attempt, outcome, class, elapsed_ms, message FROM attempt AS history \
             WHERE item_id = $1 AND stage = $2 ORDER BY history.settled_at DESC LIMIT $3",
        )
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(self.stage.name())
        .bind::<BigInt, _>(most)
        .load(conn)
        .await
    }
}

/// A worker's batch and this chunk each held a row that the other wanted; the database ended ours, nothing was changed.
fn is_deadlock(error: &diesel::result::Error) -> bool {
    sqlstate::code(error) == Some(sqlstate::DEADLOCK_DETECTED)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn items(columns: &[&str]) -> Items {
        Items {
            stage: Stage::new("page", "curation", true),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn a_filter_becomes_a_condition() {
        let page = items(&["id", "url", "domain_id", "status", "updated_at"]);
        let text = || Some("x'; DROP".to_owned());
        for (filter, expected) in [
            (Filter::default(), "true"),
            (
                Filter {
                    statuses: vec![Status::Error, Status::None],
                    ids: vec![1],
                    ..Filter::default()
                },
                "(item.curation_status = 'Error' OR item.curation_status IS NULL) AND item.id = ANY ($1)",
            ),
            (
                Filter {
                    error: text(),
                    older_than: Some(Duration::from_secs(1)),
                    user_status: text(),
                    url_contains: text(),
                    ..Filter::default()
                },
                "strpos(lower(item.curation_error), lower($2)) > 0 \
                 AND item.updated_at < now() - make_interval(secs => $3) AND item.status::text = $4 \
                 AND strpos(lower(item.url::text), lower($6)) > 0",
            ),
        ] {
            assert_eq!(page.condition(&filter).unwrap(), expected);
        }
    }

    #[test]
    fn a_table_without_the_column_says_so() {
        let bare = items(&["id"]);
        let text = || Some("x".to_owned());
        for filter in [
            Filter {
                domain: text(),
                ..Filter::default()
            },
            Filter {
                url_contains: text(),
                ..Filter::default()
            },
            Filter {
                user_status: text(),
                ..Filter::default()
            },
        ] {
            let error = bare.condition(&filter).unwrap_err();
            assert!(
                error.to_string().starts_with("rows of page have no "),
                "{error}"
            );
        }
    }
}
