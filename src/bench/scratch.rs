//! The place where a benchmark works: a schema of its own, with the engine's tables and one table to drain.

use crate::db::statement::sql_query;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use serde::Serialize;

use super::{BenchError, median, number, rounded};
use crate::db::connect::Connector;
use crate::db::{self, migrations};
use crate::secret::Secret;

/// The schema that a benchmark makes and drops.
pub const SCHEMA: &str = "gleaner_bench";

/// By this comment a schema left over from a killed run is told from somebody else's.
const MARK: &str = "Made by gleaner bench, which drops it when it ends.";

/// One benchmark per database at a time: any number will do, so long as it stays.
const LOCK: i64 = 4_711_000_003;

/// How long the server's statistics may take to arrive: sessions report them when they end, or every second.
const STATISTICS_DEADLINE: std::time::Duration = std::time::Duration::from_secs(15);

/// Commits whose median is taken for what a commit costs.
const COMMITS: usize = 51;

/// A schema of our own, for as long as this stands.
pub struct Scratch {
    database: db::Config,
    connector: Connector,
    admin: AsyncPgConnection,
}

/// What of the server's settings decides the figures.
#[derive(Clone, Debug, PartialEq, Serialize, QueryableByName)]
pub struct ServerSettings {
    #[diesel(sql_type = Text)]
    pub server_version: String,
    /// `fsync`: off loses data in a power cut.
    #[diesel(sql_type = Text)]
    pub fsync: String,
    /// `synchronous_commit`: off loses the last transactions in a crash of the server.
    #[diesel(sql_type = Text)]
    pub synchronous_commit: String,
    #[diesel(sql_type = Text)]
    pub full_page_writes: String,
    #[diesel(sql_type = Text)]
    pub shared_buffers: String,
    #[diesel(sql_type = Text)]
    pub max_wal_size: String,
    #[diesel(sql_type = Text)]
    pub autovacuum: String,
}

/// Where the server's counters stand.
#[derive(Clone, Copy, Debug, Default, QueryableByName)]
pub(super) struct Meter {
    /// Position in the WAL, in bytes. Of the whole server: others' writes count as well.
    #[diesel(sql_type = BigInt)]
    pub(super) wal: i64,
    /// Row versions of the bench's tables that an update or delete made obsolete.
    #[diesel(sql_type = BigInt)]
    pub(super) dead: i64,
    /// Of these, by updates of `bench_item`.
    #[diesel(sql_type = BigInt)]
    pub(super) updates: i64,
    /// Of these, updates that touched no index (HOT).
    #[diesel(sql_type = BigInt)]
    pub(super) hot_updates: i64,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    is_there: bool,
    #[diesel(sql_type = Nullable<Text>)]
    mark: Option<String>,
}

impl Scratch {
    /// Makes the schema, migrates it and creates `bench_item` in it.
    ///
    /// # Errors
    /// [`BenchError::Busy`], [`BenchError::Occupied`], or whatever the database answers.
    pub async fn open(database: &db::Config) -> Result<Self, BenchError> {
        let outside = Connector::new(database.direct(), database)?;
        let mut admin = outside.connect_patient().await?;
        #[derive(QueryableByName)]
        struct Locked {
            #[diesel(sql_type = Bool)]
            locked: bool,
        }
        let lock: Locked = sql_query("SELECT pg_try_advisory_lock($1) AS locked")
            .bind::<BigInt, _>(LOCK)
            .get_result(&mut admin)
            .await?;
        if !lock.locked {
            return Err(BenchError::Busy);
        }
        let found: Found = sql_query(
            "SELECT to_regnamespace($1) IS NOT NULL AS is_there, \
             obj_description(to_regnamespace($1)::oid, 'pg_namespace') AS mark",
        )
        .bind::<Text, _>(SCHEMA)
        .get_result(&mut admin)
        .await?;
        if found.is_there {
            if found.mark.as_deref() != Some(MARK) {
                return Err(BenchError::Occupied);
            }
            admin
                .batch_execute(&format!("DROP SCHEMA {SCHEMA} CASCADE"))
                .await?;
        }
        admin
            .batch_execute(&format!(
                "CREATE SCHEMA {SCHEMA}; COMMENT ON SCHEMA {SCHEMA} IS '{MARK}'; SET search_path = {SCHEMA}"
            ))
            .await?;

        let url = within_schema(database.direct());
        let database = db::Config {
            direct_url: url.clone(),
            url,
            ..database.clone()
        };
        let connector = Connector::new(&database.url, &database)?;
        let mut scratch = Self {
            database,
            connector,
            admin,
        };
        if let Err(error) = scratch.prepare().await {
            scratch.close().await;
            return Err(error);
        }
        Ok(scratch)
    }

    async fn prepare(&mut self) -> Result<(), BenchError> {
        migrations::run(self.connector.connect_patient().await?).await?;
        // As wide as a row of the real tables' key and URL, and with their fillfactor.
        self.admin
            .batch_execute(
                "CREATE TABLE bench_item (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, url text NOT NULL) \
                 WITH (fillfactor = 80); \
                 SELECT gleaner_add_stage('bench_item', 'noop')",
            )
            .await?;
        Ok(())
    }

    /// Drops the schema. A failure is only told: the next benchmark cleans up.
    pub async fn close(mut self) {
        let drop_schema = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE");
        if let Err(error) = self.admin.batch_execute(&drop_schema).await {
            tracing::warn!(%error, "cannot drop the schema {SCHEMA}; the next benchmark will");
        }
    }

    /// The way into the schema.
    #[must_use]
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// The same as configuration.
    #[must_use]
    pub fn database(&self) -> &db::Config {
        &self.database
    }

    /// The session that holds the lock; within the schema.
    pub(super) fn admin(&mut self) -> &mut AsyncPgConnection {
        &mut self.admin
    }

    /// What of the server's settings decides the figures.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn server_settings(&mut self) -> Result<ServerSettings, BenchError> {
        Ok(sql_query(
            "SELECT current_setting('server_version') AS server_version, current_setting('fsync') AS fsync, \
             current_setting('synchronous_commit') AS synchronous_commit, \
             current_setting('full_page_writes') AS full_page_writes, \
             current_setting('shared_buffers') AS shared_buffers, current_setting('max_wal_size') AS max_wal_size, \
             current_setting('autovacuum') AS autovacuum",
        )
        .get_result(&mut self.admin)
        .await?)
    }

    /// Milliseconds that the smallest durable transaction takes on this server now: what waits for a commit cannot be faster.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn commit_ms(&mut self) -> Result<f64, BenchError> {
        let mut millis = Vec::new();
        for _ in 0..COMMITS {
            let start = tokio::time::Instant::now();
            self.admin
                .batch_execute("INSERT INTO node (host, pid, version) VALUES ('commit', 0, '')")
                .await?;
            millis.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(rounded(median(&millis)))
    }

    /// Empties the tables, puts `rows` queued rows in, and has the planner know them.
    pub(super) async fn fill(&mut self, rows: u64) -> Result<(), BenchError> {
        // Without the trigger, which would do no more than set what is set here. Due in the order of the keys, since long.
        self.admin
            .batch_execute(&format!(
                "TRUNCATE bench_item, attempt; \
                 ALTER TABLE bench_item DISABLE TRIGGER USER; \
                 INSERT INTO bench_item (id, url, noop_status, noop_due_at) \
                 SELECT item, 'https://www.example.org/a/page/' || item, 'Queued', \
                        now() - make_interval(secs => ({rows} - item) * 0.001) \
                 FROM generate_series(1, {rows}) AS item; \
                 ALTER TABLE bench_item ENABLE TRIGGER USER; \
                 ANALYZE bench_item"
            ))
            .await?;
        Ok(())
    }

    /// Reads the counters.
    pub(super) async fn meter(&mut self) -> Result<Meter, BenchError> {
        // Within one transaction the statistics may be a snapshot: each statement here is a transaction of its own.
        Ok(sql_query(
            "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS wal, \
                coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint AS dead, \
                coalesce(sum(n_tup_upd) FILTER (WHERE relname = 'bench_item'), 0)::bigint AS updates, \
                coalesce(sum(n_tup_hot_upd) FILTER (WHERE relname = 'bench_item'), 0)::bigint AS hot_updates \
             FROM pg_stat_user_tables WHERE schemaname = $1",
        )
        .bind::<Text, _>(SCHEMA)
        .get_result(&mut self.admin)
        .await?)
    }

    /// Reads the counters once at least `updates` updates of `bench_item` have been reported, or after a while all the same.
    pub(super) async fn settled_meter(&mut self, updates: i64) -> Result<Meter, BenchError> {
        let deadline = tokio::time::Instant::now() + STATISTICS_DEADLINE;
        loop {
            let meter = self.meter().await?;
            if meter.updates >= updates || tokio::time::Instant::now() > deadline {
                return Ok(meter);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// What `rows` rows cost, by two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Cost {
    pub(super) wal_bytes_per_row: f64,
    pub(super) dead_versions_per_row: f64,
    pub(super) hot_share: f64,
}

impl Meter {
    /// Between an earlier reading, this one of the WAL, and `late`, a later one of the statistics.
    pub(super) fn cost_since(&self, before: &Self, late: &Self, rows: u64) -> Cost {
        let count = |after: i64, before: i64| number((after - before).max(0).unsigned_abs());
        let updates = count(late.updates, before.updates);
        Cost {
            wal_bytes_per_row: rounded(count(self.wal, before.wal) / number(rows)),
            dead_versions_per_row: rounded(count(late.dead, before.dead) / number(rows)),
            hot_share: rounded(count(late.hot_updates, before.hot_updates) / updates.max(1.0)),
        }
    }
}

/// The same database, with the schema as the only place where tables are looked for.
fn within_schema(url: &Secret) -> Secret {
    let text = url.expose();
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        let joint = if text.contains('?') { '&' } else { '?' };
        Secret::new(&format!("{text}{joint}options=-c%20search_path%3D{SCHEMA}"))
    } else {
        Secret::new(&format!("{text} options='-c search_path={SCHEMA}'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_url_leads_into_the_schema() {
        for (url, host) in [
            ("postgres://u:p@h/d", "h"),
            ("postgresql://u@h:7/d?sslmode=disable", "h"),
            ("host=h user=u dbname=d", "h"),
        ] {
            let inside = within_schema(&Secret::new(url));
            let parsed: tokio_postgres::Config = inside.expose().parse().expect(url);
            assert_eq!(
                parsed.get_options(),
                Some("-c search_path=gleaner_bench"),
                "{url}"
            );
            assert_eq!(
                parsed.get_hosts(),
                [tokio_postgres::config::Host::Tcp(host.to_owned())]
            );
        }
    }

    #[test]
    fn costs_are_differences_per_row() {
        let before = Meter {
            wal: 1_000,
            dead: 5,
            updates: 4,
            hot_updates: 4,
        };
        let after = Meter {
            wal: 11_000,
            ..before
        };
        let late = Meter {
            wal: 99_000,
            dead: 26,
            updates: 24,
            hot_updates: 9,
        };
        let cost = after.cost_since(&before, &late, 10);
        assert_eq!(
            cost,
            Cost {
                wal_bytes_per_row: 1_000.0,
                dead_versions_per_row: 2.1,
                hot_share: 0.25
            }
        );
    }
}
