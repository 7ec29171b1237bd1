//! Crawl policies and subscriptions, as operators write them. Triggers have every job that they concern decided anew.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, SmallInt, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Serialize, QueryableByName)]
pub struct Policy {
    #[diesel(sql_type = Text)]
    pub name: String,
    /// What it selects by: all, domain, `domain_regex`, `url_regex`, tag.
    #[diesel(sql_type = Text)]
    pub selection: String,
    /// The domain, expression or tag; empty for all.
    #[diesel(sql_type = Text)]
    pub target: String,
    /// From one crawl to the next, in seconds.
    #[diesel(sql_type = Double)]
    pub frequency_seconds: f64,
    /// Priority of its jobs.
    #[diesel(sql_type = SmallInt)]
    pub priority: i16,
    /// Attempts in all.
    #[diesel(sql_type = SmallInt)]
    pub max_retries: i16,
    /// Before the second attempt, in seconds.
    #[diesel(sql_type = Double)]
    pub retry_backoff_seconds: f64,
    /// How long a bot may keep a job, in seconds.
    #[diesel(sql_type = Double)]
    pub timeout_seconds: f64,
    /// Whether it matches anything.
    #[diesel(sql_type = Bool)]
    pub enabled: bool,
    /// Jobs that it decides now; set aside when it is stored.
    #[diesel(sql_type = BigInt)]
    pub jobs: i64,
}

/// The shortest and the longest time from one crawl to the next; the table takes no other.
pub const FREQUENCIES: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(3_660 * 24 * 3600);

/// The longest time before the second attempt that the table takes.
pub const LONGEST_RETRY_BACKOFF: Duration = Duration::from_secs(366 * 24 * 3600);

/// Delays between attempts double this often at most.
const DOUBLINGS: u32 = 3;

/// The longest wait that a backoff can come to, whatever the policy says: a page is looked at again within a week.
pub const LONGEST_BACKOFF: Duration = Duration::from_secs(7 * 24 * 3600);

/// The delay after the failure of this attempt (counted from 1) at a job whose policy waits `base_seconds` before the second.
///
/// 5, 10, 20, 40, 40 … minutes, and never longer than [`LONGEST_BACKOFF`]. Whoever works the job, a bot or our own fetcher.
#[must_use]
pub fn backoff(base_seconds: f64, attempt: i16) -> Duration {
    let failures = u32::try_from(attempt).unwrap_or(0);
    let doublings = failures.saturating_sub(1).min(DOUBLINGS);
    let base = Duration::try_from_secs_f64(base_seconds.max(0.0)).unwrap_or(LONGEST_BACKOFF);
    base.saturating_mul(1 << doublings).min(LONGEST_BACKOFF)
}

/// All policies, in the order in which they decide.
///
/// # Errors
/// Whatever the database answers.
pub async fn list(conn: &mut AsyncPgConnection) -> QueryResult<Vec<Policy>> {
    sql_query(
        "SELECT name, selection, target, extract(epoch FROM frequency)::float8 AS frequency_seconds, priority, max_retries, \
             extract(epoch FROM retry_backoff)::float8 AS retry_backoff_seconds, extract(epoch FROM timeout)::float8 AS timeout_seconds, \
             enabled, (SELECT count(*) FROM crawl_job WHERE policy_id = crawl_policy.id) AS jobs \
         FROM crawl_policy \
         ORDER BY priority DESC, array_position(ARRAY['url_regex', 'tag', 'domain', 'domain_regex', 'all'], selection), created_at, id",
    )
    .load(conn)
    .await
}

/// Stores a policy; `false` if there is one of this name.
///
/// # Errors
/// Whatever the database answers: it refuses a blank target, an expression that it cannot read, and what is out of range.
pub async fn add(conn: &mut AsyncPgConnection, policy: &Policy) -> QueryResult<bool> {
    let added = sql_query(
        "INSERT INTO crawl_policy (name, selection, target, frequency, priority, max_retries, retry_backoff, timeout, enabled) \
         VALUES ($1, $2, $3, make_interval(secs => $4), $5, $6, make_interval(secs => $7), make_interval(secs => $8), $9) \
         ON CONFLICT (name) DO NOTHING",
    )
    .bind::<Text, _>(&policy.name)
    .bind::<Text, _>(&policy.selection)
    .bind::<Text, _>(&policy.target)
    .bind::<Double, _>(policy.frequency_seconds)
    .bind::<SmallInt, _>(policy.priority)
    .bind::<SmallInt, _>(policy.max_retries)
    .bind::<Double, _>(policy.retry_backoff_seconds)
    .bind::<Double, _>(policy.timeout_seconds)
    .bind::<Bool, _>(policy.enabled)
    .execute(conn)
    .await?;
    Ok(added > 0)
}

/// Removes policies by name; returns how many there were.
///
/// # Errors
/// Whatever the database answers.
pub async fn remove(conn: &mut AsyncPgConnection, names: &[String]) -> QueryResult<usize> {
    sql_query("DELETE FROM crawl_policy WHERE name = ANY ($1)")
        .bind::<Array<Text>, _>(names)
        .execute(conn)
        .await
}

/// A subscription to one page.
#[derive(Clone, Debug)]
pub struct Subscription<'a> {
    /// Who asks.
    pub subscriber: &'a str,
    /// The page.
    pub product_url: i64,
    /// high, normal or low.
    pub priority: &'a str,
    /// Told when the price falls to this.
    pub target_price: Option<&'a str>,
    pub target_currency: Option<&'a str>,
}

/// Subscribes somebody to a page. Who has subscribed already asks again with these wishes.
///
/// # Errors
/// Whatever the database answers.
pub async fn subscribe(
    conn: &mut AsyncPgConnection,
    subscription: &Subscription<'_>,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO subscription (subscriber, product_url_id, priority, target_price, target_currency) \
         VALUES ($1, $2, $3, $4::numeric, $5) \
         ON CONFLICT (subscriber, product_url_id) WHERE product_url_id IS NOT NULL DO UPDATE \
         SET priority = excluded.priority, target_price = excluded.target_price, target_currency = excluded.target_currency, active = true",
    )
    .bind::<Text, _>(subscription.subscriber)
    .bind::<BigInt, _>(subscription.product_url)
    .bind::<Text, _>(subscription.priority)
    .bind::<Nullable<Text>, _>(subscription.target_price)
    .bind::<Nullable<Text>, _>(subscription.target_currency)
    .execute(conn)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PT-16 and W-20: 5, 10, 20, 40 minutes, and no longer; a week at most.
    #[test]
    fn w20_retries_wait_longer_each_time() {
        const MINUTE: f64 = 60.0;
        const DAY: f64 = 24.0 * 60.0 * MINUTE;
        for (base, attempt, expected) in [
            (5.0 * MINUTE, 1, 5.0 * MINUTE),
            (5.0 * MINUTE, 2, 10.0 * MINUTE),
            (5.0 * MINUTE, 3, 20.0 * MINUTE),
            (5.0 * MINUTE, 4, 40.0 * MINUTE),
            (5.0 * MINUTE, 5, 40.0 * MINUTE),
            (5.0 * MINUTE, i16::MAX, 40.0 * MINUTE),
            (5.0 * MINUTE, 0, 5.0 * MINUTE),
            (5.0 * MINUTE, i16::MIN, 5.0 * MINUTE),
            (0.25, 2, 0.5),
            (2.0 * DAY, 2, 4.0 * DAY),
            (2.0 * DAY, 3, 7.0 * DAY),
            (30.0 * DAY, 1, 7.0 * DAY),
            (30.0 * DAY, 4, 7.0 * DAY),
            (f64::INFINITY, 1, 7.0 * DAY),
            (f64::MAX, 4, 7.0 * DAY),
            (-1.0, 2, 0.0),
            (f64::NAN, 3, 0.0),
        ] {
            assert_eq!(
                backoff(base, attempt),
                Duration::from_secs_f64(expected),
                "{base} s, attempt {attempt}"
            );
        }
    }
}
