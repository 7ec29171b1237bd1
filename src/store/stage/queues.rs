//! Queues: how full those of all stages are, and whether any of them has rows to rescue. Asked for many stages in one statement.

use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;

use super::Stage;
use crate::db;
use crate::db::locks;
use crate::db::statement::{seconds, sql_query, statement};
use crate::store::lease::{GAPS, NEXT_EXPIRY};

/// How long each table is waited for once it is known that somebody has locked one.
const LOCKED_TABLE_PATIENCE: Duration = Duration::from_millis(50);

/// How full a stage's queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, QueryableByName, serde::Serialize)]
pub struct Gauge {
    /// Queued rows, up to the bound of the count.
    #[diesel(sql_type = BigInt)]
    pub queued: i64,
    /// Of these, due now.
    #[diesel(sql_type = BigInt)]
    pub due: i64,
    /// How long the oldest due row has waited, in seconds.
    #[diesel(sql_type = Nullable<Double>)]
    pub oldest_seconds: Option<f64>,
    /// Rows in hand (Processing), on any node.
    #[diesel(sql_type = BigInt)]
    pub held: i64,
}

impl Stage {
    /// How full the queue is, counting no further than `bound` rows.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn gauge(&self, conn: &mut AsyncPgConnection, bound: i64) -> QueryResult<Gauge> {
        sql_query(&self.gauge)
            .bind::<BigInt, _>(bound)
            .get_result(conn)
            .await
    }

    /// Whether rows stand in `Processing` whose lease has ended, or since `$2` seconds without one: a condition.
    fn needs_rescue(&self) -> String {
        include_str!("needs_rescue.sql")
            .replace("{takes}", &self.rescue_work().takes("item.id"))
            .replace("{table}", self.table)
            .replace("{stage}", self.stage)
    }

    /// Whether a row is due. Stops at the first.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn has_due(&self, conn: &mut AsyncPgConnection) -> QueryResult<bool> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Bool)]
            due: bool,
        }
        if let Some(due) = self.has_due_share(conn).await {
            return due;
        }
        let (table, stage) = (self.table, self.stage);
        let row: Row = statement(&format!(
            "SELECT EXISTS (SELECT 1 FROM {table} WHERE {stage}_status = 'Queued' \
             AND {stage}_due_at <= now()) AS due"
        ))
        .get_result(conn)
        .await?;
        Ok(row.due)
    }
}

/// What a look for rows without a worker shows.
#[derive(Debug)]
pub struct Need<'a> {
    /// The stages that have rows to rescue.
    pub stages: Vec<&'a Stage>,
    /// Until the first lease of another node ends; `None` when no other node holds one.
    pub next_expiry: Option<Duration>,
    /// Why a stage could not be looked at, where the fault is its own. The others were.
    pub refusal: Option<DieselError>,
}

/// Looks for rows to rescue, in one statement: this is done every few seconds, and mostly there are none. Tables that somebody else
/// has locked are left out, and so are those that are not what they were.
///
/// `foreign_after` as in [`Stage::rescue_foreign`]; zero for never.
///
/// # Errors
/// Whatever the database answers.
pub async fn in_need<'a>(
    conn: &mut AsyncPgConnection,
    stages: impl IntoIterator<Item = &'a Stage>,
    foreign_after: Duration,
    node: i64,
) -> QueryResult<Need<'a>> {
    let stages: Vec<&Stage> = stages.into_iter().collect();
    match look(conn, stages.clone(), foreign_after, node).await {
        Err(error) if is_of_a_stage(&error) => {}
        looked => return looked,
    }
    let mut need = look(conn, Vec::new(), foreign_after, node).await?;
    for stage in stages {
        locks::begin(conn, LOCKED_TABLE_PATIENCE).await?;
        let looked = look(conn, vec![stage], foreign_after, node).await;
        match locks::end(conn, looked).await {
            Ok(own) => need.stages.extend(own.stages),
            Err(error) if locks::is_locked(&error) => {}
            Err(error) if is_of_a_stage(&error) => need.refusal = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok(need)
}

async fn look<'a>(
    conn: &mut AsyncPgConnection,
    mut stages: Vec<&'a Stage>,
    foreign_after: Duration,
    node: i64,
) -> QueryResult<Need<'a>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Nullable<Text>)]
        stage: Option<String>,
        #[diesel(sql_type = Nullable<Double>)]
        next_expiry: Option<f64>,
    }
    let mut sql = format!("WITH {GAPS} SELECT NULL AS stage, {NEXT_EXPIRY} AS next_expiry");
    for stage in &stages {
        let (name, needs_rescue) = (stage.name(), stage.needs_rescue());
        sql.push_str(&format!(
            " UNION ALL SELECT '{name}', NULL WHERE {needs_rescue}"
        ));
    }
    let rows: Vec<Row> = if stages.len() > 1 {
        statement(&sql)
    } else {
        sql_query(sql)
    }
    .bind::<BigInt, _>(node)
    .bind::<Double, _>(seconds(foreign_after))
    .load(conn)
    .await?;
    stages.retain(|stage| {
        rows.iter()
            .any(|row| row.stage.as_ref() == Some(&stage.name()))
    });
    Ok(Need {
        stages,
        next_expiry: rows
            .iter()
            .find_map(|row| Duration::try_from_secs_f64(row.next_expiry?).ok()),
        refusal: None,
    })
}

/// Whether one stage can have brought an error about, so that the others are to be asked without it: somebody has locked its table, or
/// that is not what it was. Tables of others come and go without a word.
fn is_of_a_stage(error: &DieselError) -> bool {
    locks::is_locked(error) || !db::is_trouble(error)
}

/// How full some queues are.
#[derive(Debug)]
pub struct Gauges {
    /// Stage by stage; `None` for one that could not be counted: somebody else has locked its table, or it was refused.
    pub each: Vec<Option<Gauge>>,
    /// Why a stage could not be counted, where the fault is its own.
    pub refusal: Option<DieselError>,
}

/// How full the queues of these stages are, each counted no further than `bound` rows; one statement.
///
/// # Errors
/// Whatever the database answers.
pub async fn gauges<'a>(
    conn: &mut AsyncPgConnection,
    stages: impl IntoIterator<Item = &'a Stage>,
    bound: i64,
) -> QueryResult<Gauges> {
    let stages: Vec<&Stage> = stages.into_iter().collect();
    let mut gauges = Gauges {
        each: Vec::with_capacity(stages.len()),
        refusal: None,
    };
    match count(conn, &stages, bound).await {
        Err(error) if is_of_a_stage(&error) => {}
        counted => {
            gauges.each.extend(counted?.into_iter().map(Some));
            return Ok(gauges);
        }
    }
    for stage in stages {
        locks::begin(conn, LOCKED_TABLE_PATIENCE).await?;
        let counted = stage.gauge(conn, bound).await;
        gauges.each.push(match locks::end(conn, counted).await {
            Ok(gauge) => Some(gauge),
            Err(error) if locks::is_locked(&error) => None,
            Err(error) if is_of_a_stage(&error) => {
                gauges.refusal = Some(error);
                None
            }
            Err(error) => return Err(error),
        });
    }
    Ok(gauges)
}

async fn count(
    conn: &mut AsyncPgConnection,
    stages: &[&Stage],
    bound: i64,
) -> QueryResult<Vec<Gauge>> {
    let counts: Vec<String> = stages
        .iter()
        .enumerate()
        .map(|(at, stage)| {
            format!(
                "SELECT {at} AS place, gauge.* FROM ({}) AS gauge",
                stage.gauge
            )
        })
        .collect();
    statement(&format!("{} ORDER BY place", counts.join(" UNION ALL ")))
        .bind::<BigInt, _>(bound)
        .load(conn)
        .await
}
