//! Bots' accounts. Of a token only its SHA-256 is ever stored: tokens are 32 random bytes, so nothing slower is needed.

use crate::db::statement::sql_query;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::Serialize;

use crate::db::statement::statement;

/// What a request of a bot is judged by.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Account {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// The name it logs in with.
    #[diesel(sql_type = Text)]
    pub bot_id: String,
    /// SHA-256 of its token.
    #[diesel(sql_type = Binary)]
    pub token_hash: Vec<u8>,
    /// Whether it is let in.
    #[diesel(sql_type = Bool)]
    pub enabled: bool,
    /// The sites whose jobs it may have; empty for all.
    #[diesel(sql_type = Array<Text>)]
    pub allowed_domains: Vec<String>,
}

/// The accounts of the bots that log in with these names; of names that nobody has there is none.
///
/// # Errors
/// Whatever the database answers.
pub async fn find_all(conn: &mut AsyncPgConnection, bot_ids: &[&str]) -> QueryResult<Vec<Account>> {
    statement(
        "SELECT id, bot_id, token_hash, enabled, allowed_domains FROM bot WHERE bot_id = ANY ($1)",
    )
    .bind::<Array<Text>, _>(bot_ids)
    .load(conn)
    .await
}

/// The account of the bot that logs in with this name.
///
/// # Errors
/// Whatever the database answers.
pub async fn find(conn: &mut AsyncPgConnection, bot_id: &str) -> QueryResult<Option<Account>> {
    Ok(find_all(conn, &[bot_id]).await?.pop())
}

/// The accounts with this token. It is random, so there is one, unless a person gave several bots the same.
///
/// # Errors
/// Whatever the database answers.
pub async fn find_by_token(
    conn: &mut AsyncPgConnection,
    token_hash: &[u8],
) -> QueryResult<Vec<Account>> {
    statement(
        "SELECT id, bot_id, token_hash, enabled, allowed_domains FROM bot WHERE token_hash = $1",
    )
    .bind::<Binary, _>(token_hash)
    .load(conn)
    .await
}

/// A bot as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, QueryableByName)]
pub struct Listed {
    /// The name it logs in with.
    #[diesel(sql_type = Text)]
    pub bot_id: String,
    /// Whether it is let in.
    #[diesel(sql_type = Bool)]
    pub enabled: bool,
    /// Its cap per pull.
    #[diesel(sql_type = Integer)]
    pub max_jobs_per_pull: i32,
    /// Its pulls per minute.
    #[diesel(sql_type = Integer)]
    pub rate_limit_per_minute: i32,
    /// The sites whose jobs it may have; empty for all.
    #[diesel(sql_type = Array<Text>)]
    pub allowed_domains: Vec<String>,
    /// Jobs handed to it.
    #[diesel(sql_type = BigInt)]
    pub jobs_pulled: i64,
    /// Of these, reported well.
    #[diesel(sql_type = BigInt)]
    pub jobs_completed: i64,
    /// Of these, reported as failed.
    #[diesel(sql_type = BigInt)]
    pub jobs_failed: i64,
    #[diesel(sql_type = BigInt)]
    pub jobs_in_hand: i64,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_pull_at: Option<DateTime<Utc>>,
}

/// All bots, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Listed>> {
    sql_query(
        "SELECT bot_id, enabled, max_jobs_per_pull, rate_limit_per_minute, allowed_domains, jobs_pulled, jobs_completed, jobs_failed, \
             (SELECT count(*) FROM lease JOIN crawl_job ON crawl_lease = lease.id WHERE lease.bot_id = bot.id) AS jobs_in_hand, \
             last_pull_at \
         FROM bot ORDER BY bot_id",
    )
    .load(conn)
    .await
}

/// Creates a bot. `false` if there is one of this name.
///
/// # Errors
/// Whatever the database answers; a check violation for a cap or rate that cannot be.
#[expect(clippy::too_many_arguments, reason = "the columns of an account")]
pub async fn create(
    conn: &mut AsyncPgConnection,
    bot_id: &str,
    name: &str,
    token_hash: &[u8],
    max_jobs_per_pull: i32,
    rate_limit_per_minute: i32,
    lock_ttl_seconds: Option<i32>,
    allowed_domains: &[String],
) -> QueryResult<bool> {
    let created = sql_query(
        "INSERT INTO bot (bot_id, name, token_hash, max_jobs_per_pull, rate_limit_per_minute, lock_ttl_seconds, allowed_domains) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (bot_id) DO NOTHING",
    )
    .bind::<Text, _>(bot_id)
    .bind::<Text, _>(name)
    .bind::<Binary, _>(token_hash)
    .bind::<Integer, _>(max_jobs_per_pull)
    .bind::<Integer, _>(rate_limit_per_minute)
    .bind::<Nullable<Integer>, _>(lock_ttl_seconds)
    .bind::<Array<Text>, _>(allowed_domains)
    .execute(conn)
    .await?;
    Ok(created > 0)
}

/// Gives a bot a new token; the old one is void from then on. `false` if there is no such bot.
///
/// # Errors
/// Whatever the database answers.
pub async fn rotate(
    conn: &mut AsyncPgConnection,
    bot_id: &str,
    token_hash: &[u8],
) -> QueryResult<bool> {
    let changed = sql_query("UPDATE bot SET token_hash = $2, updated_at = now() WHERE bot_id = $1")
        .bind::<Text, _>(bot_id)
        .bind::<Binary, _>(token_hash)
        .execute(conn)
        .await?;
    Ok(changed > 0)
}

/// Lets a bot in again. `false` if there is no such bot.
///
/// # Errors
/// Whatever the database answers.
pub async fn enable(conn: &mut AsyncPgConnection, bot_id: &str) -> QueryResult<bool> {
    let changed = sql_query("UPDATE bot SET enabled = true, updated_at = now() WHERE bot_id = $1")
        .bind::<Text, _>(bot_id)
        .execute(conn)
        .await?;
    Ok(changed > 0)
}

/// Shuts a bot out, and ends its leases: what it has in hand goes to others. `false` if there is no such bot.
///
/// # Errors
/// Whatever the database answers.
pub async fn disable(conn: &mut AsyncPgConnection, bot_id: &str) -> QueryResult<bool> {
    let changed = sql_query(
        "WITH shut AS (UPDATE bot SET enabled = false, updated_at = now() WHERE bot_id = $1 RETURNING id), \
         ended AS (DELETE FROM lease USING shut WHERE lease.bot_id = shut.id) SELECT id FROM shut",
    )
    .bind::<Text, _>(bot_id)
    .execute(conn)
    .await?;
    Ok(changed > 0)
}
