//! The users' schedules as people see them: how each stands, and the history of its firings.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use serde::Serialize;
use utoipa::ToSchema;

use super::definition::{Action, Defined, Schedule, key, name_of};
use super::state::{LOCK_CLASS, never};
use crate::db::statement::sql_query;

/// A schedule as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub struct View {
    pub name: String,
    /// Whether the configuration that was asked has it, and it is enabled.
    pub is_configured: bool,
    /// When it is due, in words.
    pub rule: String,
    /// What it does: sql, or queue.
    pub action: &'static str,
    /// The next time that it fires for; null while it is paused or not configured.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub next_at: Option<DateTime<Utc>>,
    /// Seconds until then; negative where it is late.
    #[schema(required)]
    pub next_in_seconds: Option<f64>,
    /// Since when a firing is under way.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub running_since: Option<DateTime<Utc>>,
    /// Whether it does not fire until it is resumed.
    pub paused: bool,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub paused_at: Option<DateTime<Utc>>,
    #[schema(required)]
    pub paused_by: Option<String>,
    /// When it last fired; the following are about that.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub last_fired_at: Option<DateTime<Utc>>,
    /// The time that it fired for.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub last_due_at: Option<DateTime<Utc>>,
    /// completed, failed or missed.
    #[schema(required)]
    pub last_outcome: Option<String>,
    #[schema(required)]
    pub last_error: Option<String>,
    /// Rows changed, returned or queued.
    #[schema(required)]
    pub last_rows: Option<i64>,
    #[schema(required)]
    pub last_elapsed_ms: Option<i64>,
    /// The node that fired.
    #[schema(required)]
    pub last_node: Option<i64>,
    /// When it last completed.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Times that were not fired for, ever.
    pub missed: i64,
    /// By how much the next firing is later than its time.
    #[serde(skip)]
    #[schema(ignore)]
    put_off: Option<TimeDelta>,
}

impl View {
    /// Its next times from now on, before any jitter; none while it is paused.
    #[must_use]
    pub fn upcoming(
        &self,
        defined: &Defined,
        now: DateTime<Utc>,
        count: usize,
    ) -> Vec<DateTime<Utc>> {
        match self.next_at {
            Some(next_at) => {
                let next_at = next_at - self.put_off.unwrap_or_default();
                defined.timing.upcoming(next_at, now, count)
            }
            None => Vec::new(),
        }
    }
}

#[derive(Clone, Debug, QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    next_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    rule: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    definition: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    running_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = Bool)]
    paused: bool,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    paused_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    paused_by: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    resumed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    fired_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    fired_by: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_due_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    last_outcome: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    last_error: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_rows: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_elapsed_ms: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    succeeded_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    missed: i64,
}

/// All schedules that the tables know or that are defined here, by name.
///
/// # Errors
/// Whatever the database answers.
pub async fn views(conn: &mut AsyncPgConnection, defined: &[&Defined]) -> QueryResult<Vec<View>> {
    let rows: Vec<Row> = sql_query(include_str!("views.sql"))
        .bind::<Integer, _>(LOCK_CLASS)
        .load(conn)
        .await?;
    let mut views: Vec<View> = rows
        .into_iter()
        .filter_map(|row| {
            let name = name_of(&row.name)?.to_owned();
            let own = defined.iter().find(|own| own.name == name);
            Some(row.seen(name, own.copied()))
        })
        .collect();
    for own in defined {
        if views.iter().all(|view| view.name != own.name) {
            views.push(not_seen(own));
        }
    }
    views.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(views)
}

impl Row {
    fn seen(self, name: String, defined: Option<&Defined>) -> View {
        let next_at = defined.filter(|_| !self.paused).and_then(|own| {
            // One that was changed since it was last made known waits for its first time.
            let next_at = if self.rule.as_deref() == Some(&own.timing.rule.told()) {
                match self.resumed_at {
                    Some(resumed) => own.timing.rule.first_after(self.next_at, resumed),
                    None => Some(self.next_at),
                }
            } else {
                own.timing.rule.next_after(self.now)
            }?;
            (next_at < never()).then(|| (next_at, own.timing.delay(next_at)))
        });
        let put_off = next_at.map(|(_, delay)| delay);
        let next_at = next_at.map(|(next_at, delay)| next_at + delay);
        View {
            is_configured: defined.is_some(),
            rule: match defined {
                Some(own) => own.timing.rule.told(),
                None => self.rule.unwrap_or_default(),
            },
            action: match defined {
                Some(own) => action(own),
                None => self.definition.as_deref().map_or("", action_told),
            },
            next_at,
            next_in_seconds: next_at.map(|next_at| in_seconds(next_at - self.now)),
            running_since: self.running_since,
            paused: self.paused,
            paused_at: self.paused_at,
            paused_by: self.paused_by,
            last_fired_at: self.fired_at,
            last_due_at: self.last_due_at,
            last_outcome: self.last_outcome,
            last_error: self.last_error,
            last_rows: self.last_rows,
            last_elapsed_ms: self.last_elapsed_ms,
            last_node: self.fired_by,
            succeeded_at: self.succeeded_at,
            missed: self.missed,
            put_off,
            name,
        }
    }
}

fn in_seconds(span: TimeDelta) -> f64 {
    let millis = i32::try_from(span.num_milliseconds());
    // What is further off than a month is told to the second.
    match millis {
        Ok(millis) => f64::from(millis) / 1_000.0,
        Err(_) => f64::from(i32::try_from(span.num_seconds()).unwrap_or(i32::MAX)),
    }
}

fn action(defined: &Defined) -> &'static str {
    match defined.action {
        Action::Sql(_) => "sql",
        Action::Queue { .. } => "queue",
    }
}

fn action_told(definition: &str) -> &'static str {
    match serde_json::from_str::<Schedule>(definition) {
        Ok(Schedule { queue: Some(_), .. }) => "queue",
        Ok(_) => "sql",
        Err(_) => "",
    }
}

/// One that no process has made known yet.
fn not_seen(defined: &Defined) -> View {
    View {
        name: defined.name.clone(),
        is_configured: true,
        rule: defined.timing.rule.told(),
        action: action(defined),
        next_at: None,
        next_in_seconds: None,
        running_since: None,
        paused: false,
        paused_at: None,
        paused_by: None,
        last_fired_at: None,
        last_due_at: None,
        last_outcome: None,
        last_error: None,
        last_rows: None,
        last_elapsed_ms: None,
        last_node: None,
        succeeded_at: None,
        missed: 0,
        put_off: None,
    }
}

/// One firing of the history.
#[derive(Clone, Debug, PartialEq, QueryableByName, Serialize, ToSchema)]
pub struct Firing {
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// The time that it fired for; of one that was asked for, when that was.
    #[diesel(sql_type = Timestamptz)]
    #[schema(value_type = String, format = DateTime)]
    pub due_at: DateTime<Utc>,
    /// due, or asked.
    #[diesel(sql_type = Text)]
    pub cause: String,
    #[diesel(sql_type = Timestamptz)]
    #[schema(value_type = String, format = DateTime)]
    pub started_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: DateTime<Utc>,
    /// completed, failed or missed.
    #[diesel(sql_type = Text)]
    pub outcome: String,
    /// Rows changed, returned or queued.
    #[diesel(sql_type = Nullable<BigInt>)]
    #[schema(required)]
    pub rows: Option<i64>,
    /// Times that were not fired for before it.
    #[diesel(sql_type = BigInt)]
    pub missed: i64,
    #[diesel(sql_type = Nullable<Text>)]
    #[schema(required)]
    pub error: Option<String>,
    /// The node that fired.
    #[diesel(sql_type = Nullable<BigInt>)]
    #[schema(required)]
    pub fired_by: Option<i64>,
}

/// The newest firings of a schedule.
///
/// # Errors
/// Whatever the database answers.
pub async fn firings(
    conn: &mut AsyncPgConnection,
    name: &str,
    limit: i64,
) -> QueryResult<Vec<Firing>> {
    sql_query(
        "SELECT id, due_at, cause, started_at, ended_at, outcome, rows, missed, error, fired_by \
         FROM schedule_firing WHERE schedule = $1 ORDER BY id DESC LIMIT $2",
    )
    .bind::<Text, _>(key(name))
    .bind::<BigInt, _>(limit)
    .load(conn)
    .await
}
