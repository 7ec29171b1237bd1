//! `crawl_result/auto_record`: result → judged by the rules → `price_history`, each result at most once.
//!
//! Every good result is queued by the table itself, whoever inserts it. Redis, where there is one, says which of them come
//! next; PostgreSQL alone says which are to be done and are done. A result is judged without a database ([`rules`]); what it is
//! compared with, and everything that follows from it, is decided and written in the transaction that settles it
//! ([`record()`]). A refusal is `Filtered` with its reason; only trouble is ever tried again.

pub mod alerts;
mod record;
pub mod rules;
pub mod sql;
pub mod timeline;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::db::statement::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, Text, Timestamptz};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use tracing::{info, warn};

pub use record::{Observation, Source, record, timelines};
use rules::Candidate;
pub use rules::Rules as Options;
use timeline::{Decision, Moment, Value};

use crate::db::statement::statement;
use crate::live::Live;
use crate::prices::metrics::{self, Recorded};
use crate::prices::queue;
use crate::prices::queue::Queue;
use crate::store::stage::{Group, Request};
use crate::workflow::{
    Configured, Done, Ended, ItemId, Services, Settled, Workflow, WorkflowError,
};

/// Without Redis, what waits is counted no further than this.
const COUNT_BOUND: i32 = 10_000;

/// The stage of the results, as requests name it.
pub(crate) const RESULTS: Group = Group::new(AutoRecord::TABLE, AutoRecord::STAGE);

/// The workflow.
pub struct AutoRecord {
    options: Live<Options>,
    queue: Queue,
    /// Rows that wait, by the last count in PostgreSQL.
    waiting: AtomicU64,
}

impl Configured for AutoRecord {
    type Options = Options;

    const SAMPLE: &'static str =
        "INSERT INTO site (domain) VALUES ('kettle-example.com');
        INSERT INTO product_url (site_id, raw_url, url, url_hash, title)
            SELECT id, 'https://kettle-example.com/kettle', 'https://kettle-example.com/kettle', 'kettle', 'Kettle' FROM site;
        INSERT INTO crawl_result (product_url_id, site_id, success, price, currency, availability, price_sources, crawled_at)
            SELECT id, site_id, true, 24.90, 'EUR', 'InStock', '{jsonld}', now() FROM product_url";

    fn new(services: &Services, options: Live<Options>) -> Self {
        Self::with_queue(Queue::new(services.redis.as_ref()), options)
    }
}

impl AutoRecord {
    /// With this queue, and nothing else of the process.
    #[must_use]
    pub fn with_queue(queue: Queue, options: Live<Options>) -> Self {
        Self {
            options,
            queue,
            waiting: AtomicU64::new(0),
        }
    }

    /// Counts what waits in PostgreSQL, where Redis does not tell.
    async fn count_waiting(&self, conn: &mut AsyncPgConnection) -> QueryResult<()> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let row: Row = statement(
            "SELECT count(*) FROM (SELECT 1 FROM crawl_result WHERE auto_record_status = 'Queued' LIMIT $1) AS head",
        )
        .bind::<Integer, _>(COUNT_BOUND)
        .get_result(conn)
        .await?;
        self.waiting
            .store(row.count.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    }
}

/// A result, and what it is judged by.
#[derive(Clone, Debug, QueryableByName)]
pub struct Input {
    /// The result.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    #[diesel(sql_type = BigInt)]
    url: i64,
    #[diesel(sql_type = Timestamptz)]
    at: Moment,
    #[diesel(sql_type = Bool)]
    success: bool,
    #[diesel(sql_type = Nullable<Text>)]
    error: Option<String>,
    /// Whether it is in the history already, or equal to what is.
    #[diesel(sql_type = Bool)]
    pub is_recorded: bool,
    #[diesel(sql_type = Text)]
    domain: String,
    #[diesel(sql_type = Nullable<Text>)]
    site_currency: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    list_price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    availability: Option<String>,
    #[diesel(sql_type = Nullable<Bool>)]
    in_stock: Option<bool>,
    #[diesel(sql_type = Array<Text>)]
    sources: Vec<String>,
    #[diesel(sql_type = Nullable<Double>)]
    confidence: Option<f64>,
    #[diesel(sql_type = Nullable<Text>)]
    ml_confidence: Option<String>,
}

impl Input {
    /// What the rules look at.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        let told = self.ml_confidence.as_deref();
        Candidate {
            domain: self.domain.clone(),
            site_currency: self.site_currency.clone(),
            price: self.price.clone(),
            currency: self.currency.clone(),
            availability: self.availability.clone(),
            in_stock: self.in_stock,
            sources: self.sources.clone(),
            ml_confidence: told.and_then(|text| text.parse().ok()).or(self.confidence),
            confidence: self.confidence,
        }
    }

    /// Judges it: what is to be recorded, or why nothing is.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn judge(&self, options: &Options) -> Result<Observation, String> {
        if !self.success {
            let error = self.error.as_deref().unwrap_or("no reason given");
            return Err(format!("crawl failed: {error}"));
        }
        let candidate = self.candidate();
        let rules = options.of_site(&self.domain);
        let offer = rules.judge(&candidate)?;
        Ok(self.observation(&candidate, offer, &rules, Source::Auto))
    }

    /// The same by a person's word: no rule is asked and no jump is held, but there has to be a price in some currency.
    #[must_use]
    pub fn overrule(&self, options: &Options) -> Option<Observation> {
        let candidate = self.candidate();
        let offer = candidate.offer().filter(|_| self.success)?;
        let mut seen = self.observation(&candidate, offer, options, Source::Manual);
        seen.max_change_percent = 0.0;
        Some(seen)
    }

    fn observation(
        &self,
        candidate: &Candidate,
        offer: rules::Offer,
        rules: &Options,
        source: Source,
    ) -> Observation {
        Observation {
            result: self.id,
            url: self.url,
            at: self.at,
            value: Value {
                price: offer.price,
                currency: offer.currency,
                availability: candidate.availability().map(str::to_owned),
            },
            list_price: self.list_price.clone(),
            is_available: candidate.is_available(),
            method: rules::method(rules, candidate),
            confidence: self.confidence.or(candidate.ml_confidence),
            source,
            max_change_percent: rules.max_change_percent,
        }
    }
}

/// Reads what results are judged by, in the order of their keys. Those that are gone are left out.
///
/// # Errors
/// Whatever the database answers.
pub async fn inputs(conn: &mut AsyncPgConnection, ids: &[i64]) -> QueryResult<Vec<Input>> {
    statement(sql::LOAD)
        .bind::<Array<BigInt>, _>(ids)
        .load(conn)
        .await
}

/// A result that the rules admit.
pub struct Judged {
    /// What is to be recorded; nothing where that was done before.
    seen: Option<Observation>,
    /// What became of it, once that is written.
    became: Mutex<Option<Recorded>>,
}

impl Judged {
    fn became(&self) -> Option<Recorded> {
        *self.became.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, became: Recorded) {
        *self.became.lock().unwrap_or_else(PoisonError::into_inner) = Some(became);
    }
}

impl Workflow for AutoRecord {
    const NAME: &'static str = "auto-record";
    const TABLE: &'static str = "crawl_result";
    const STAGE: &'static str = "auto_record";
    const ENDS_IN: Option<&'static str> = Some("price_history");
    const TOUCHES: bool = false;
    type Input = Input;
    type Output = Judged;

    async fn wanted(&self, limit: usize) -> Vec<ItemId> {
        self.queue.take(limit).await
    }

    async fn unclaimed(&self, conn: &mut AsyncPgConnection, ids: &[ItemId]) -> QueryResult<()> {
        let unknown = revive(conn, ids).await?;
        if let [first, ..] = unknown.as_slice() {
            let entries = unknown.len();
            warn!(
                entries,
                first,
                "entries of the auto-record queue name results that are not there; they are in its failed set"
            );
        }
        let done = ids
            .iter()
            .copied()
            .filter(|id| !unknown.contains(id))
            .collect();
        let ended = queue::EndedEntries {
            done,
            failed: unknown,
            ..queue::EndedEntries::default()
        };
        self.queue.acknowledge(&ended).await;
        Ok(())
    }

    async fn load(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<(ItemId, Input)>> {
        if self.queue.is_up() != Some(true) {
            self.count_waiting(conn).await?;
        }
        let inputs = inputs(conn, ids).await?;
        Ok(inputs.into_iter().map(|input| (input.id, input)).collect())
    }

    async fn run(&self, input: Input) -> Result<Done<Judged>, WorkflowError> {
        let judged = |seen| Judged {
            seen,
            became: Mutex::default(),
        };
        if input.is_recorded {
            return Ok(Done::Completed(judged(None)));
        }
        match input.judge(&self.options.get()) {
            Ok(seen) => Ok(Done::Completed(judged(Some(seen)))),
            Err(reason) => Ok(Done::Filtered(reason, None)),
        }
    }

    async fn store(
        &self,
        conn: &mut AsyncPgConnection,
        outputs: &[(ItemId, &Judged)],
    ) -> QueryResult<()> {
        let (judged, seen): (Vec<&Judged>, Vec<&Observation>) = outputs
            .iter()
            .filter_map(|(_, judged)| Some((*judged, judged.seen.as_ref()?)))
            .unzip();
        if seen.is_empty() {
            return Ok(());
        }
        let second_look = self.options.get().second_look;
        let decisions = record(conn, &seen, second_look).await?;
        for (judged, decision) in judged.into_iter().zip(decisions) {
            if let Some(decision) = decision {
                judged.set(became(&decision));
            }
        }
        Ok(())
    }

    async fn committed(&self, settled: &[Settled<'_, Judged>]) {
        let (mut ended, mut tally) = (queue::EndedEntries::default(), Tally::default());
        for row in settled {
            tally.count(row);
            match row.ended {
                Ended::Completed | Ended::Filtered | Ended::Returned => ended.done.push(row.item),
                Ended::Again => ended.again.push((row.item, row.attempt)),
                Ended::Failed => ended.failed.push(row.item),
            }
            if row.attempt > 1 && !matches!(row.ended, Ended::Again | Ended::Returned) {
                ended.counted.push(row.item);
            }
        }
        let waiting = self.queue.acknowledge(&ended).await;
        tally.tell(waiting.unwrap_or_else(|| AtomicU64::load(&self.waiting, Ordering::Relaxed)));
    }
}

fn became(decision: &Decision) -> Recorded {
    match decision {
        Decision::Recorded { .. } => Recorded::Recorded,
        Decision::Duplicate(_) => Recorded::Duplicate,
        Decision::Held { .. } => Recorded::Held,
        Decision::Contradicted { .. } => Recorded::Dropped,
    }
}

/// What became of a batch, as operators know it.
#[derive(Debug, Default)]
struct Tally {
    processed: u64,
    recorded: u64,
    duplicates: u64,
    failed: u64,
}

impl Tally {
    fn count(&mut self, row: &Settled<'_, Judged>) {
        let became = match row.ended {
            Ended::Returned => return,
            Ended::Completed => row.output.and_then(Judged::became),
            Ended::Filtered => Some(Recorded::Ineligible),
            Ended::Again | Ended::Failed => Some(Recorded::Failed),
        };
        self.processed += 1;
        match became {
            Some(Recorded::Recorded) => self.recorded += 1,
            Some(Recorded::Duplicate) => self.duplicates += 1,
            Some(Recorded::Failed) => self.failed += 1,
            Some(Recorded::Held | Recorded::Dropped | Recorded::Ineligible) | None => {}
        }
        if let Some(became) = became {
            metrics::recorded(became);
        }
    }

    /// The line that operators look for.
    fn tell(&self, queue_remaining: u64) {
        if self.processed > 0 {
            info!(
                processed = self.processed,
                recorded = self.recorded,
                duplicates = self.duplicates,
                failed = self.failed,
                queue_remaining,
                "Auto-record:"
            );
        }
    }
}

/// Queues those of the results again that have failed for good, or were never queued: somebody has put them into the list by
/// hand. Returns those that are not there.
///
/// # Errors
/// Whatever the database answers.
pub async fn revive(conn: &mut AsyncPgConnection, ids: &[i64]) -> QueryResult<Vec<i64>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    sql_query(RESULTS.ask(
        "UPDATE {table} AS item SET {set} \
         WHERE id = ANY ($1) AND success AND NOT history_recorded \
           AND ({stage}_status = 'Error' OR {stage}_status IS NULL)",
        &[Request::Queue],
    ))
    .bind::<Array<BigInt>, _>(ids)
    .execute(conn)
    .await?;
    let unknown: Vec<Row> = sql_query(
        "SELECT id FROM unnest($1::bigint[]) AS wanted(id) \
         WHERE NOT EXISTS (SELECT 1 FROM crawl_result r WHERE r.id = wanted.id)",
    )
    .bind::<Array<BigInt>, _>(ids)
    .load(conn)
    .await?;
    Ok(unknown.into_iter().map(|row| row.id).collect())
}
