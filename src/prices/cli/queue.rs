//! `gleaner queue`: the auto-record queue, in PostgreSQL and in Redis.

use crate::db::statement::sql_query;
use anyhow::Context;
use clap::{Args, Subcommand};
use diesel::sql_types::{Array, BigInt};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};

use crate::console::table::age;
use crate::console::{Global, OK, complain, print};
use crate::prices::auto_record::{AutoRecord, RESULTS};
use crate::prices::queue::{Lengths, Queue};
use crate::redis::RedisError;
use crate::store::stage::Request;
use crate::telemetry::chain;
use crate::upkeep::QUEUE_COUNT_BOUND;
use crate::workflow::Workflow;

/// Arguments of `gleaner queue`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show how much waits, is in work and has failed, in PostgreSQL and in Redis.
    Status,
    /// Queue results again that have failed for good.
    RetryFailed {
        /// No more than this many.
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Empty the lists in Redis. What is due in PostgreSQL comes back into them; to call that off: gleaner items cancel auto-record.
    Clear {
        /// Do it, rather than only count the entries.
        #[arg(long, short)]
        yes: bool,
    },
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let queue = Queue::connect(&config.redis).await?;
    match arguments.action {
        Action::Status => {
            let mut connection = crate::console::connect(&config).await?;
            status(global, &queue, &mut connection).await
        }
        Action::RetryFailed { limit } => {
            let mut connection = crate::console::connect(&config).await?;
            retry_failed(global, &queue, &mut connection, limit).await
        }
        Action::Clear { yes } => clear(global, &queue, yes).await,
    }
}

/// How long the lists in Redis are, and in a word whether it answers.
async fn lengths(queue: &Queue) -> (&'static str, Option<Lengths>) {
    match queue.lengths().await {
        Ok(lengths) => ("up", Some(lengths)),
        Err(RedisError::Off) => ("off", None),
        Err(error) => {
            complain(&chain(&error));
            ("down", None)
        }
    }
}

async fn status(
    global: &Global,
    queue: &Queue,
    connection: &mut AsyncPgConnection,
) -> anyhow::Result<u8> {
    let gauge = AutoRecord::stage()
        .gauge(connection, QUEUE_COUNT_BOUND)
        .await?;
    let failed = failed_count(connection).await?;
    let (redis, lengths) = lengths(queue).await;
    if global.json {
        let mut answer = json!({ "redis": redis, "postgresql": { "queued": gauge.queued, "due": gauge.due,
            "processing": gauge.held, "failed": failed, "oldest_seconds": gauge.oldest_seconds } });
        // By the names that the operators' own programs know. Nothing is said where nothing is known.
        if let (Some(object), Some(Ok(Value::Object(lengths)))) =
            (answer.as_object_mut(), lengths.map(serde_json::to_value))
        {
            object.extend(lengths);
        }
        print(&answer.to_string());
        return Ok(OK);
    }
    let oldest = gauge
        .oldest_seconds
        .map(|seconds| format!(", the oldest for {}", age(seconds)))
        .unwrap_or_default();
    print(&format!(
        "PostgreSQL  {} queued, {} of them due{oldest}; {} in work; {failed} failed",
        gauge.queued, gauge.due, gauge.held
    ));
    match lengths {
        Some(lengths) => print(&format!(
            "Redis       queue_size={} processing_size={} failed_size={}",
            lengths.queue_size, lengths.processing_size, lengths.failed_size
        )),
        None if redis == "off" => print("Redis       none; PostgreSQL alone serves"),
        None => print("Redis       does not answer; PostgreSQL alone serves"),
    }
    Ok(OK)
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn failed_count(connection: &mut AsyncPgConnection) -> QueryResult<i64> {
    let row: Number =
        sql_query("SELECT count(*) AS number FROM crawl_result WHERE auto_record_status = 'Error'")
            .get_result(connection)
            .await?;
    Ok(row.number)
}

/// Queues up to `limit` failed results again, those that the failed set names among them, oldest first. Their keys.
async fn requeue_failed(
    connection: &mut AsyncPgConnection,
    named: &[i64],
    limit: u32,
) -> QueryResult<Vec<i64>> {
    let rows: Vec<Number> = sql_query(RESULTS.ask(
        "UPDATE {table} AS item SET {set} \
         WHERE {stage}_lease IS NULL AND id IN ( \
            SELECT id FROM {table} \
            WHERE {stage}_status = 'Error' OR (id = ANY ($1) AND success AND {stage}_status IS NULL) \
            ORDER BY id LIMIT $2) \
         RETURNING id AS number",
        &[Request::Queue],
    ))
    .bind::<Array<BigInt>, _>(named)
    .bind::<BigInt, _>(i64::from(limit))
    .load(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.number).collect())
}

async fn retry_failed(
    global: &Global,
    queue: &Queue,
    connection: &mut AsyncPgConnection,
    limit: u32,
) -> anyhow::Result<u8> {
    let (named, strange) = match queue.failed(limit).await {
        Ok(found) => found,
        Err(RedisError::Off) => (Vec::new(), 0),
        Err(error) => {
            complain(&chain(&error));
            (Vec::new(), 0)
        }
    };
    let queued = requeue_failed(connection, &named, limit).await?;
    // Redis is told after the commit; where it cannot be, its lists follow by themselves.
    if queue.is_on()
        && !queued.is_empty()
        && let Err(error) = queue.revive(&queued).await
    {
        complain(&chain(&error));
    }
    if global.json {
        print(&json!({ "queued": queued.len(), "results": queued, "entries_without_result": strange }).to_string());
        return Ok(OK);
    }
    print(&format!("{} failed results are queued again", queued.len()));
    if strange > 0 {
        print(&format!(
            "{strange} entries of the failed set name no result; SMEMBERS \"crawl:auto_record:failed\" shows them"
        ));
    }
    Ok(OK)
}

async fn clear(global: &Global, queue: &Queue, yes: bool) -> anyhow::Result<u8> {
    let lengths = if yes {
        queue.clear().await
    } else {
        queue.lengths().await
    }
    .context("cannot clear the queue in Redis")?;
    if global.json {
        print(
            &json!({ "cleared": yes, "queue_size": lengths.queue_size,
                "processing_size": lengths.processing_size, "failed_size": lengths.failed_size })
            .to_string(),
        );
        return Ok(OK);
    }
    print(&format!(
        "{}: {} waiting, {} in work, {} failed",
        if yes { "cleared" } else { "nothing cleared" },
        lengths.queue_size,
        lengths.processing_size,
        lengths.failed_size
    ));
    if !yes {
        complain("add --yes to do it");
    }
    Ok(OK)
}
