//! What `gleaner doctor` asks of the database. Reads only.

use crate::db::statement::sql_query;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text};
use diesel_async::AsyncPgConnection;

use super::stage::Stage;

/// The server as a whole.
#[derive(Clone, Debug, Default, PartialEq, QueryableByName)]
pub struct Server {
    /// Version as a number: 150020 is 15.20.
    #[diesel(sql_type = Integer)]
    pub version_num: i32,
    #[diesel(sql_type = Text)]
    pub version: String,
    /// Whether it is a replica.
    #[diesel(sql_type = Bool)]
    pub in_recovery: bool,
    /// Whether our transactions may not write.
    #[diesel(sql_type = Bool)]
    pub read_only: bool,
    #[diesel(sql_type = Text)]
    pub encoding: String,
    /// Whether autovacuum runs, and has the counts it needs.
    #[diesel(sql_type = Bool)]
    pub autovacuum: bool,
    /// Settings that are off and keep what was committed safe when on.
    #[diesel(sql_type = Array<Text>)]
    pub careless: Vec<String>,
    /// Connections there may be, without those reserved for superusers.
    #[diesel(sql_type = Integer)]
    pub most_connections: i32,
    #[diesel(sql_type = Integer)]
    pub connections: i32,
    /// Connections this database may have; -1 for no limit.
    #[diesel(sql_type = Integer)]
    pub database_limit: i32,
    /// Whether this user sees what other users' sessions do.
    #[diesel(sql_type = Bool)]
    pub sees_all: bool,
    /// Transactions prepared more than five minutes ago and neither committed nor rolled back.
    #[diesel(sql_type = BigInt)]
    pub prepared_transactions: i64,
    /// Replication slots that nobody reads.
    #[diesel(sql_type = BigInt)]
    pub idle_slots: i64,
    /// Its clock, in seconds since 1970.
    #[diesel(sql_type = Double)]
    pub server_seconds: f64,
}

/// Reads [`Server`].
///
/// # Errors
/// Whatever the database answers.
pub async fn server(conn: &mut AsyncPgConnection) -> QueryResult<Server> {
    sql_query(include_str!("doctor/server.sql"))
        .get_result(conn)
        .await
}

#[derive(QueryableByName)]
struct Missing {
    #[diesel(sql_type = Text)]
    missing: String,
}

/// What a migrated database must have and this one lacks: columns, indexes, triggers, privileges.
///
/// # Errors
/// Whatever the database answers.
pub async fn drift(conn: &mut AsyncPgConnection, stages: &[&Stage]) -> QueryResult<Vec<String>> {
    let tables: Vec<&str> = stages.iter().map(|stage| stage.table()).collect();
    let groups: Vec<&str> = stages.iter().map(|stage| stage.column_group()).collect();
    let missing: Vec<Missing> = sql_query(include_str!("doctor/drift.sql"))
        .bind::<Array<Text>, _>(tables)
        .bind::<Array<Text>, _>(groups)
        .load(conn)
        .await?;
    Ok(missing.into_iter().map(|row| row.missing).collect())
}

/// How a table is vacuumed.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Vacuum {
    #[diesel(sql_type = Text)]
    pub name: String,
    /// Rows, estimated.
    #[diesel(sql_type = BigInt)]
    pub live: i64,
    /// Dead row versions, estimated.
    #[diesel(sql_type = BigInt)]
    pub dead: i64,
    /// Dead row versions at which autovacuum sets out, by the server's settings and the table's own.
    #[diesel(sql_type = Double)]
    pub threshold: f64,
    /// Whether autovacuum is switched off for the table.
    #[diesel(sql_type = Bool)]
    pub is_off: bool,
    /// Seconds since it was last vacuumed.
    #[diesel(sql_type = Nullable<Double>)]
    pub vacuumed_seconds: Option<f64>,
}

/// How these tables are vacuumed.
///
/// # Errors
/// Whatever the database answers.
pub async fn vacuum(conn: &mut AsyncPgConnection, tables: &[&str]) -> QueryResult<Vec<Vacuum>> {
    sql_query(
        "SELECT named.name || CASE WHEN pg_class.oid = to_regclass(named.name) THEN '' ELSE ' (' || relid::regclass || ')' END AS name, \
         n_live_tup AS live, n_dead_tup AS dead, \
         (coalesce(own->>'autovacuum_vacuum_threshold', current_setting('autovacuum_vacuum_threshold'))::float8 \
          + coalesce(own->>'autovacuum_vacuum_scale_factor', current_setting('autovacuum_vacuum_scale_factor'))::float8 \
            * greatest(reltuples, 0))::float8 AS threshold, \
         NOT coalesce((own->>'autovacuum_enabled')::boolean, true) AS is_off, \
         extract(epoch FROM now() - greatest(last_vacuum, last_autovacuum))::float8 AS vacuumed_seconds \
         FROM unnest($1) AS named(name) CROSS JOIN LATERAL ( \
                SELECT to_regclass(named.name) AS oid UNION SELECT relid FROM pg_partition_tree(to_regclass(named.name)) \
              ) AS part JOIN pg_class USING (oid) JOIN pg_stat_user_tables ON relid = pg_class.oid, \
              LATERAL (SELECT jsonb_object_agg(option_name, option_value) AS own \
                       FROM pg_options_to_table(reloptions)) AS options \
         WHERE relkind <> 'p' ORDER BY 1",
    )
    .bind::<Array<Text>, _>(tables)
    .load(conn)
    .await
}

/// A session whose transaction has been open for long.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct LongTransaction {
    /// Its process on the server.
    #[diesel(sql_type = Integer)]
    pub pid: i32,
    #[diesel(sql_type = Text)]
    pub who: String,
    /// `active`, `idle in transaction`, …
    #[diesel(sql_type = Text)]
    pub state: String,
    /// Age of the transaction in seconds.
    #[diesel(sql_type = Double)]
    pub seconds: f64,
}

/// Transactions in this database that are older than five minutes, or idle for more than one: they keep vacuum from its work.
/// The oldest first, ten at most.
///
/// # Errors
/// Whatever the database answers.
pub async fn long_transactions(conn: &mut AsyncPgConnection) -> QueryResult<Vec<LongTransaction>> {
    sql_query(
        "SELECT pid, concat_ws(' ', usename, nullif(application_name, ''), host(client_addr)) AS who, \
         coalesce(state, 'unknown') AS state, extract(epoch FROM now() - xact_start)::float8 AS seconds \
         FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' \
           AND (xact_start < now() - interval '5 minutes' \
                OR (state LIKE 'idle in transaction%' AND state_change < now() - interval '1 minute')) \
         ORDER BY xact_start LIMIT 10",
    )
    .load(conn)
    .await
}

/// Rows that say they are being worked while nobody has a right to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, QueryableByName)]
pub struct Stuck {
    /// Their lease has ended.
    #[diesel(sql_type = BigInt)]
    pub orphaned: i64,
    /// They never had one: other software set them to Processing.
    #[diesel(sql_type = BigInt)]
    pub foreign: i64,
    /// Age of the oldest of these, in seconds.
    #[diesel(sql_type = Nullable<Double>)]
    pub foreign_seconds: Option<f64>,
}

/// Counts the stuck rows of a stage.
///
/// # Errors
/// Whatever the database answers.
pub async fn stuck(conn: &mut AsyncPgConnection, stage: &Stage) -> QueryResult<Stuck> {
    let (table, stage) = (stage.table_in_statements(), stage.column_group());
    sql_query(format!(
        "SELECT count(*) FILTER (WHERE {stage}_lease IS NOT NULL AND lease.id IS NULL) AS orphaned, \
         count(*) FILTER (WHERE {stage}_lease IS NULL) AS \"foreign\", \
         extract(epoch FROM now() - min(greatest({stage}_due_at, '1900-01-01Z')) FILTER (WHERE {stage}_lease IS NULL AND isfinite({stage}_due_at)))::float8 AS foreign_seconds \
         FROM {table} LEFT JOIN lease ON lease.id = {stage}_lease AND lease.expires_at > now() \
         WHERE {stage}_lease IS NOT NULL OR {stage}_status = 'Processing'"
    ))
    .get_result(conn)
    .await
}

/// The partitions of the history.
#[derive(Clone, Copy, Debug, PartialEq, QueryableByName)]
pub struct History {
    #[diesel(sql_type = Bool)]
    pub has_today: bool,
    #[diesel(sql_type = Bool)]
    pub has_tomorrow: bool,
    /// Whether rows lie where they go without one.
    #[diesel(sql_type = Bool)]
    pub has_strays: bool,
}

/// Reads [`History`].
///
/// # Errors
/// Whatever the database answers.
pub async fn history(conn: &mut AsyncPgConnection) -> QueryResult<History> {
    sql_query(
        "SELECT to_regclass('attempt_' || to_char(today, 'YYYYMMDD')) IS NOT NULL AS has_today, \
         to_regclass('attempt_' || to_char(today + 1, 'YYYYMMDD')) IS NOT NULL AS has_tomorrow, \
         EXISTS (SELECT 1 FROM attempt_default) AS has_strays \
         FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) AS day",
    )
    .get_result(conn)
    .await
}
