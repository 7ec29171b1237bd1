//! Rows of a stage by filter: listed, queued again, cancelled. The operator's door to the stage columns.
//!
//! Rows are changed only as any other software may: by a request, under the guard trigger. A row that a worker has in hand is never taken away from it: queued again, it runs again after;
//! cancelled, the worker's result is dropped. Texts from outside are always bound, never part of a statement.

use std::time::Duration;

use crate::db::statement::{Statement, sql_query};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Double, Integer, Jsonb, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;

use super::stage::{Group, Request, Stage};
use crate::db::sqlstate;

/// Rows changed by one statement, which is one transaction: workers wait for no more than that.
const CHUNK: i64 = 5_000;

/// A deadlock with a worker's batch is tried again this often.
const TRIES: usize = 5;

/// The status of a row in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Never asked for (NULL).
    None,
    /// Waits for a worker.
    Queued,
    /// In a worker's hand.
    Processing,
    /// Done.
    Completed,
    /// Given up.
    Error,
    /// Rightly nothing to do.
    Filtered,
    /// Called off.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Queued,
        Self::Processing,
        Self::Completed,
        Self::Error,
        Self::Filtered,
        Self::Cancelled,
    ];

    /// As the column has it, and `None` for NULL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Queued => "Queued",
            Self::Processing => "Processing",
            Self::Completed => "Completed",
            Self::Error => "Error",
            Self::Filtered => "Filtered",
            Self::Cancelled => "Cancelled",
        }
    }

    /// The status of this name, in any case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(name))
    }
}

/// Which rows are meant: those for which all that is given holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// One of these; empty for any.
    pub statuses: Vec<Status>,
    /// One of these; empty for any.
    pub ids: Vec<i64>,
    /// The last error contains this, in any case.
    pub error: Option<String>,
    /// Not changed for this long.
    pub older_than: Option<Duration>,
    /// What a person made of the row.
    pub user_status: Option<String>,
    /// A host, or a registrable domain with all its hosts.
    pub domain: Option<String>,
    /// The address contains this, in any case.
    pub url_contains: Option<String>,
    /// No more than this many.
    pub limit: Option<i64>,
}

/// Why rows cannot be found by a filter.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    /// The table has nothing to filter by.
    #[error("rows of {table} have no {what} to filter by")]
    NoColumn {
        table: &'static str,
        /// What it lacks, in words.
        what: &'static str,
    },
    /// The statement failed.
    #[error("the database refused a statement")]
    Query(#[from] diesel::result::Error),
}

/// A row in a list.
#[derive(Clone, Debug, QueryableByName, serde::Serialize)]
pub struct Item {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
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
    table: &'static str,
    stage: &'static str,
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
            "SELECT attname::text AS name FROM pg_attribute \
             WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        )
        .bind::<Text, _>(stage.table())
        .load(conn)
        .await?;
        Ok(Self {
            table: stage.table(),
            stage: stage.column_group(),
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

    /// The condition, with the filter's texts as parameters 1 to 6; see [`Self::bound`].
    fn condition(&self, filter: &Filter) -> Result<String, ItemsError> {
        let (table, stage) = (self.table, self.stage);
        let lacks = |what| ItemsError::NoColumn { table, what };
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
            all.push("item.id = ANY ($1)".to_owned());
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
            all.push("item.status = $4".to_owned());
        }
        if filter.domain.is_some() {
            if self.has("registrable_domain") {
                all.push("(item.domain = $5 OR item.registrable_domain = $5)".to_owned());
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
            all.push(format!("strpos(lower(item.{column}), lower($6)) > 0"));
        }
        if all.is_empty() {
            all.push("true".to_owned());
        }
        Ok(all.join(" AND "))
    }

    /// A statement with the filter's parameters. All are bound every time, and named once in a harmless place, because a
    /// parameter that a statement does not mention has no type.
    fn bound(statement: &str, filter: &Filter) -> Statement<'static> {
        let parameters = "parameters AS (SELECT $1::bigint[], $2::text, $3::float8, $4::text, $5::text, $6::text)";
        sql_query(format!("WITH {parameters} {statement}"))
            .bind::<Array<BigInt>, _>(filter.ids.clone())
            .bind::<Nullable<Text>, _>(filter.error.clone())
            .bind::<Nullable<Double>, _>(filter.older_than.map(|age| age.as_secs_f64()))
            .bind::<Nullable<Text>, _>(filter.user_status.clone())
            .bind::<Nullable<Text>, _>(filter.domain.clone())
            .bind::<Nullable<Text>, _>(filter.url_contains.clone())
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
        let (table, condition) = (self.table, self.condition(filter)?);
        let count: Count = Self::bound(
            &format!(
                "SELECT count(*) AS rows FROM (SELECT 1 FROM {table} AS item WHERE {condition} LIMIT $7) AS found"
            ),
            filter,
        )
        .bind::<Nullable<BigInt>, _>(filter.limit)
        .get_result(conn)
        .await?;
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
        let (table, stage, condition) = (self.table, self.stage, self.condition(filter)?);
        let label = self
            .first(&["url", "domain", "website", "name"])
            .map_or_else(|| "NULL".to_owned(), |column| format!("item.{column}"));
        let name = if self.has("name") {
            format!("coalesce(nullif(item.name, ''), {label})")
        } else {
            label
        };
        let (changed, order) = if self.has("updated_at") {
            (
                "extract(epoch FROM now() - CASE WHEN isfinite(item.updated_at) THEN item.updated_at END)::float8",
                "item.updated_at DESC, item.id",
            )
        } else {
            ("NULL::float8", "item.id")
        };
        let items = Self::bound(
            &format!(
                "SELECT item.id::bigint AS id, ({name})::text AS label, item.{stage}_status AS status, \
                 item.{stage}_attempts AS attempts, \
                 extract(epoch FROM CASE WHEN isfinite(item.{stage}_due_at) THEN item.{stage}_due_at END - now())::float8 AS due_in_seconds, \
                 {changed} AS changed_seconds, item.{stage}_error AS error \
                 FROM {table} AS item WHERE {condition} ORDER BY {order} LIMIT $7"
            ),
            filter,
        )
        .bind::<Nullable<BigInt>, _>(filter.limit)
        .load(conn)
        .await?;
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
        let (table, stage) = (self.table, self.stage);
        // Told to the workers once, not for each row.
        self.change(
            conn,
            filter,
            Request::QueueAfresh,
            &format!("pg_notify('gleaner_stage', '{table}/{stage}')"),
        )
        .await
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

    /// Changes the rows meant in chunks, by ascending key, each chunk once.
    async fn change(
        &self,
        conn: &mut AsyncPgConnection,
        filter: &Filter,
        request: Request,
        tell: &str,
    ) -> Result<i64, ItemsError> {
        let (table, condition) = (self.table, self.condition(filter)?);
        let template = format!(
            ", chosen AS MATERIALIZED (\
                SELECT item.id FROM {table} AS item WHERE {condition} AND item.id > $7 \
                ORDER BY item.id LIMIT $8 FOR UPDATE), \
             changed AS (UPDATE {table} AS item SET {{set}} FROM chosen WHERE item.id = chosen.id RETURNING item.id) \
             SELECT count(*) AS rows, max(id)::bigint AS last FROM changed, (SELECT {tell}) AS told"
        );
        let statement = Group::new(table, self.stage).ask(&template, &[request]);
        let (mut total, mut last) = (0, i64::MIN);
        let limit = filter.limit.unwrap_or(i64::MAX);
        while total < limit {
            let most = CHUNK.min(limit - total);
            let changed = chunk(conn, &statement, filter, last, most).await?;
            total += changed.rows;
            match changed.last {
                Some(id) if changed.rows == most => last = id,
                _ => break,
            }
        }
        Ok(total)
    }

    /// One row with all its columns; none if there is no such row.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn whole(&self, conn: &mut AsyncPgConnection, id: i64) -> QueryResult<Option<Whole>> {
        let (table, stage) = (self.table, self.stage);
        sql_query(format!(
            "SELECT to_jsonb(item) AS columns, node.id || '@' || node.host AS holder, \
             extract(epoch FROM CASE WHEN isfinite(lease.expires_at) THEN lease.expires_at END - now())::float8 AS lease_ends_in_seconds \
             FROM {table} AS item LEFT JOIN lease ON lease.id = item.{stage}_lease \
             LEFT JOIN node ON node.id = lease.node_id WHERE item.id = $1"
        ))
        .bind::<BigInt, _>(id)
        .get_result(conn)
        .await
        .optional()
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
        .bind::<Text, _>(format!("{}/{}", self.table, self.stage))
        .bind::<BigInt, _>(most)
        .load(conn)
        .await
    }
}

async fn chunk(
    conn: &mut AsyncPgConnection,
    statement: &str,
    filter: &Filter,
    after: i64,
    most: i64,
) -> QueryResult<Changed> {
    let mut tried = 1;
    loop {
        let changed = Items::bound(statement, filter)
            .bind::<BigInt, _>(after)
            .bind::<BigInt, _>(most)
            .get_result(conn)
            .await;
        match changed {
            Err(error) if tried < TRIES && is_deadlock(&error) => tried += 1,
            done => return done,
        }
    }
}

/// A worker's batch and this chunk each held a row that the other wanted; the database ended ours, nothing was changed.
fn is_deadlock(error: &diesel::result::Error) -> bool {
    sqlstate::code(error) == Some(sqlstate::DEADLOCK_DETECTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(columns: &[&str]) -> Items {
        Items {
            table: "page",
            stage: "curation",
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
                 AND item.updated_at < now() - make_interval(secs => $3) AND item.status = $4 \
                 AND strpos(lower(item.url), lower($6)) > 0",
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
