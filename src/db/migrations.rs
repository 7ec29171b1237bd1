//! Schema migrations: embedded, applied by `gleaner migrate`, checked by everything that works on rows.

use crate::db::statement::sql_query;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::DbError;

/// All migrations, compiled in.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Serialises migrating processes. Any number will do, so long as it stays.
const LOCK: i64 = 4_711_000_001;

/// Applies what is missing and returns the names of what it applied. Needs the multi-thread runtime.
///
/// Takes a session lock, so the connection must not go through a transaction pooler.
///
/// # Errors
/// [`DbError::Migrate`], [`DbError::Query`].
pub async fn run(mut connection: AsyncPgConnection) -> Result<Vec<String>, DbError> {
    connection
        .batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))
        .await?;
    let missing = pending(&mut connection).await?;
    let mut harness = AsyncMigrationHarness::new(connection);
    harness
        .run_pending_migrations(MIGRATIONS)
        .map_err(DbError::Migrate)?;
    let mut connection = harness.into_inner();
    connection
        .batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"))
        .await?;
    Ok(missing)
}

/// Undoes the last `steps` migrations and returns their names.
///
/// # Errors
/// [`DbError::Migrate`].
pub fn revert(connection: AsyncPgConnection, steps: usize) -> Result<Vec<String>, DbError> {
    let all: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(DbError::Migrate)?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let mut reverted = Vec::new();
    for _ in 0..steps {
        if harness
            .applied_migrations()
            .map_err(DbError::Migrate)?
            .is_empty()
        {
            break;
        }
        let version = harness
            .revert_last_migration(MIGRATIONS)
            .map_err(DbError::Migrate)?;
        let name = all
            .iter()
            .find(|migration| migration.name().version() == version)
            .map_or_else(
                || version.to_string(),
                |migration| migration.name().to_string(),
            );
        reverted.push(name);
    }
    Ok(reverted)
}

/// The names of migrations that the database lacks. Reads only.
///
/// # Errors
/// [`DbError::Query`].
pub async fn pending(connection: &mut AsyncPgConnection) -> Result<Vec<String>, DbError> {
    #[derive(diesel::QueryableByName)]
    struct Version {
        #[diesel(sql_type = diesel::sql_types::Text)]
        version: String,
    }
    #[derive(diesel::QueryableByName)]
    struct Fresh {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        is_fresh: bool,
    }
    let Fresh { is_fresh } =
        sql_query("SELECT to_regclass('__diesel_schema_migrations') IS NULL AS is_fresh")
            .get_result(connection)
            .await?;
    let applied: Vec<String> = if is_fresh {
        Vec::new()
    } else {
        sql_query("SELECT version FROM __diesel_schema_migrations")
            .load::<Version>(connection)
            .await?
            .into_iter()
            .map(|row| row.version)
            .collect()
    };
    let all: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().map_err(DbError::Migrate)?;
    Ok(all
        .iter()
        .filter(|migration| !applied.contains(&migration.name().version().to_string()))
        .map(|migration| migration.name().to_string())
        .collect())
}

/// Refuses a database that lacks migrations.
///
/// # Errors
/// [`DbError::Pending`] naming them.
pub async fn require_current(connection: &mut AsyncPgConnection) -> Result<(), DbError> {
    let missing = pending(connection).await?;
    if missing.is_empty() {
        Ok(())
    } else {
        Err(DbError::Pending(missing))
    }
}
