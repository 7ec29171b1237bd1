//! Writes observations into the history: a handful of statements for any number of them, in the caller's transaction.
//!
//! The pages are locked first, so that each page's history is written by one batch at a time; then `timeline` decides, and what
//! it decided is written: rows of the history, flags of the results, the pages' current and held prices, notifications.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, Text, Timestamptz};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};

use super::alerts::{self, Subscription};
use super::sql;
use super::timeline::{Decision, Held, HistoryRow, Moment, Origin, Timeline, Value};
use crate::db::connect::{CHECKS_PLANNED_EACH, CHECKS_PLANNED_ONCE};
use crate::db::statement::statement;
use gleaner_extract::price::{Amount, ParseAmountError};

/// Who decided that a price is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The rules.
    Auto,
    /// A person.
    Manual,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "AUTO",
            Self::Manual => "MANUAL",
        }
    }
}

/// What a result saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    pub result: i64,
    /// The page.
    pub url: i64,
    pub at: Moment,
    /// What is compared and recorded.
    pub value: Value,
    /// Price before a reduction, as the database writes it.
    pub list_price: Option<String>,
    /// Whether it can be bought.
    pub is_available: Option<bool>,
    /// Where on the page the price was found.
    pub method: Option<String>,
    /// Confidence in the price, 0 to 1.
    pub confidence: Option<f64>,
    /// Who decided.
    pub source: Source,
    /// A larger change than this, in percent, is held; 0 for never.
    pub max_change_percent: f64,
}

#[derive(QueryableByName)]
struct PageRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    held_price: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    held_currency: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    held_at: Option<Moment>,
}

impl PageRow {
    fn held(self) -> QueryResult<Option<Held>> {
        let (Some(price), Some(currency), Some(at)) =
            (self.held_price, self.held_currency, self.held_at)
        else {
            return Ok(None);
        };
        let price = amount(&price, || format!("held_price of product_url {}", self.id))?;
        Ok(Some(Held {
            price,
            currency,
            at,
        }))
    }
}

/// A stored amount. One that cannot be read is an error: what is recorded next to it would be compared with something that
/// nobody has seen, and subscribers told of it. The result that meets it is charged, until a person has put the row right.
fn amount(text: &str, place: impl FnOnce() -> String) -> QueryResult<Amount> {
    text.parse().map_err(|source| {
        DieselError::DeserializationError(Box::new(Unreadable {
            place: place(),
            text: text.to_owned(),
            source,
        }))
    })
}

#[derive(Debug, thiserror::Error)]
#[error("{place} is {text:?}, which cannot be read")]
struct Unreadable {
    place: String,
    text: String,
    source: ParseAmountError,
}

#[derive(QueryableByName)]
struct NeighbourRow {
    #[diesel(sql_type = BigInt)]
    url: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    price: String,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = Nullable<Text>)]
    availability: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    since: Moment,
    #[diesel(sql_type = Timestamptz)]
    until: Moment,
}

impl NeighbourRow {
    fn row(self) -> QueryResult<HistoryRow> {
        let price = amount(&self.price, || {
            format!("the price of price_history {}", self.id)
        })?;
        Ok(HistoryRow {
            origin: Origin::Stored(self.id),
            since: self.since,
            until: self.until.max(self.since),
            value: Value {
                price,
                currency: self.currency,
                availability: self.availability,
            },
            is_changed: false,
        })
    }
}

/// The timelines of the pages that these observations are of. Of the row that `except` was recorded as, if any, nothing is
/// said: what it is judged by is what stood beside it.
///
/// # Errors
/// Whatever the database answers.
pub async fn timelines(
    conn: &mut AsyncPgConnection,
    observations: &[&Observation],
    except: Option<i64>,
) -> QueryResult<BTreeMap<i64, Timeline>> {
    let urls: Vec<i64> = observations.iter().map(|seen| seen.url).collect();
    let moments: Vec<Moment> = observations.iter().map(|seen| seen.at).collect();
    let pages: Vec<PageRow> = statement(sql::LOCK)
        .bind::<Array<BigInt>, _>(&urls)
        .load(conn)
        .await?;
    let neighbours: Vec<NeighbourRow> = statement(sql::NEIGHBOURS)
        .bind::<Array<BigInt>, _>(&urls)
        .bind::<Array<Timestamptz>, _>(&moments)
        .bind::<BigInt, _>(except.unwrap_or(0))
        .load(conn)
        .await?;
    let mut rows: HashMap<i64, Vec<HistoryRow>> = HashMap::new();
    for neighbour in neighbours {
        rows.entry(neighbour.url)
            .or_default()
            .push(neighbour.row()?);
    }
    pages
        .into_iter()
        .map(|page| {
            let id = page.id;
            let rows = rows.remove(&id).unwrap_or_default();
            Ok((id, Timeline::new(rows, page.held()?)))
        })
        .collect()
}

/// Records observations of any pages, in any order, and says what became of each; nothing of one whose page is gone.
///
/// # Errors
/// Whatever the database answers.
pub async fn record(
    conn: &mut AsyncPgConnection,
    observations: &[&Observation],
    second_look: Duration,
) -> QueryResult<Vec<Option<Decision>>> {
    let mut timelines = timelines(conn, observations, None).await?;
    let plan = Plan::make(observations, &mut timelines);
    plan.write(conn, observations, &timelines, second_look)
        .await?;
    Ok(plan.decisions)
}

/// What is to be written.
struct Plan {
    /// By place in the batch; nothing for a page that is gone.
    decisions: Vec<Option<Decision>>,
}

impl Plan {
    fn make(observations: &[&Observation], timelines: &mut BTreeMap<i64, Timeline>) -> Self {
        let mut order: Vec<(usize, &&Observation)> = observations.iter().enumerate().collect();
        order.sort_by_key(|(_, seen)| (seen.at, seen.result));
        let mut decisions = vec![None; observations.len()];
        for (place, seen) in order {
            let decision = timelines.get_mut(&seen.url).map(|timeline| {
                timeline.observe(place, seen.at, seen.value.clone(), seen.max_change_percent)
            });
            if let Some(slot) = decisions.get_mut(place) {
                *slot = decision;
            }
        }
        Self { decisions }
    }

    /// The observations with what became of them.
    fn decided<'a>(
        &'a self,
        observations: &'a [&'a Observation],
    ) -> impl Iterator<Item = (&'a Observation, &'a Decision)> {
        observations
            .iter()
            .zip(&self.decisions)
            .filter_map(|(seen, decision)| Some((*seen, decision.as_ref()?)))
    }

    async fn write(
        &self,
        conn: &mut AsyncPgConnection,
        observations: &[&Observation],
        timelines: &BTreeMap<i64, Timeline>,
        second_look: Duration,
    ) -> QueryResult<()> {
        let history = insert(conn, observations, timelines).await?;
        confirm(conn, timelines).await?;
        self.flag_results(conn, observations).await?;
        resume(conn, timelines).await?;
        self.set_current(conn, observations, timelines).await?;
        resolve(conn, timelines).await?;
        self.look_again(conn, observations, second_look).await?;
        self.notify(conn, observations, &history).await
    }

    async fn flag_results(
        &self,
        conn: &mut AsyncPgConnection,
        observations: &[&Observation],
    ) -> QueryResult<()> {
        let (results, statuses): (Vec<i64>, Vec<&str>) = self
            .decided(observations)
            .map(|(seen, decision)| {
                let status = match decision {
                    Decision::Recorded { .. } => "recorded",
                    Decision::Duplicate(_) => "duplicate",
                    Decision::Held { .. } => "held",
                    Decision::Contradicted { .. } => "none",
                };
                (seen.result, status)
            })
            .unzip();
        statement(sql::FLAG_RESULTS)
            .bind::<Array<BigInt>, _>(&results)
            .bind::<Array<Text>, _>(&statuses)
            .execute(conn)
            .await?;
        Ok(())
    }

    /// The pages whose latest price is a new row, and those for which another price is held now, or none.
    async fn set_current(
        &self,
        conn: &mut AsyncPgConnection,
        observations: &[&Observation],
        timelines: &BTreeMap<i64, Timeline>,
    ) -> QueryResult<()> {
        let mut changed: BTreeMap<i64, &HistoryRow> = BTreeMap::new();
        for (seen, decision) in self.decided(observations) {
            if matches!(
                decision,
                Decision::Recorded {
                    is_latest: true,
                    ..
                }
            ) && let Some(row) = timelines.get(&seen.url).and_then(|line| line.rows().last())
            {
                changed.insert(seen.url, row);
            }
        }
        if !changed.is_empty() {
            let urls: Vec<i64> = changed.keys().copied().collect();
            let column = |of: fn(&HistoryRow) -> String| -> Vec<String> {
                changed.values().map(|row| of(row)).collect()
            };
            let availability: Vec<Option<&str>> = changed
                .values()
                .map(|row| row.value.availability.as_deref())
                .collect();
            let since: Vec<Moment> = changed.values().map(|row| row.since).collect();
            statement(sql::SET_CURRENT)
                .bind::<Array<BigInt>, _>(&urls)
                .bind::<Array<Text>, _>(&column(|row| row.value.price.to_string()))
                .bind::<Array<Text>, _>(&column(|row| row.value.currency.clone()))
                .bind::<Array<Nullable<Text>>, _>(&availability)
                .bind::<Array<Timestamptz>, _>(&since)
                .execute(conn)
                .await?;
        }
        let was_held = |seen: &Observation| {
            timelines
                .get(&seen.url)
                .is_some_and(|line| !line.resolved().is_empty())
        };
        let held: BTreeMap<i64, Option<&Held>> = self
            .decided(observations)
            .filter(|(seen, decision)| matches!(decision, Decision::Held { .. }) || was_held(seen))
            .filter_map(|(seen, _)| Some((seen.url, timelines.get(&seen.url)?.held())))
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        let urls: Vec<i64> = held.keys().copied().collect();
        let held: Vec<Option<&Held>> = held.into_values().collect();
        let prices: Vec<Option<String>> = held
            .iter()
            .map(|held| held.map(|held| held.price.to_string()))
            .collect();
        let currencies: Vec<Option<&str>> = held
            .iter()
            .map(|held| held.map(|held| held.currency.as_str()))
            .collect();
        let moments: Vec<Option<Moment>> =
            held.iter().map(|held| held.map(|held| held.at)).collect();
        statement(sql::SET_HELD)
            .bind::<Array<BigInt>, _>(&urls)
            .bind::<Array<Nullable<Text>>, _>(&prices)
            .bind::<Array<Nullable<Text>>, _>(&currencies)
            .bind::<Array<Nullable<Timestamptz>>, _>(&moments)
            .execute(conn)
            .await?;
        Ok(())
    }

    async fn look_again(
        &self,
        conn: &mut AsyncPgConnection,
        observations: &[&Observation],
        second_look: Duration,
    ) -> QueryResult<()> {
        let jumps: BTreeMap<i64, String> = self
            .decided(observations)
            .filter_map(|(seen, decision)| match decision {
                Decision::Held { before } => Some((
                    seen.url,
                    format!(
                        "the price went from {before} to {}; a second look is to confirm it",
                        seen.value
                    ),
                )),
                _ => None,
            })
            .collect();
        if jumps.is_empty() {
            return Ok(());
        }
        let (urls, messages): (Vec<i64>, Vec<String>) = jumps.into_iter().unzip();
        statement(sql::LOOK_AGAIN)
            .bind::<Array<BigInt>, _>(&urls)
            .bind::<Array<Text>, _>(&messages)
            .bind::<Double, _>(second_look.as_secs_f64())
            .execute(conn)
            .await?;
        Ok(())
    }

    /// Tells subscribers of what changed at the end of a page's history. `history` has the new rows' keys by result.
    async fn notify(
        &self,
        conn: &mut AsyncPgConnection,
        observations: &[&Observation],
        history: &HashMap<i64, i64>,
    ) -> QueryResult<()> {
        let changes: Vec<(&Observation, Option<&Value>, i64)> = self
            .decided(observations)
            .filter_map(|(seen, decision)| match decision {
                Decision::Recorded {
                    before,
                    is_latest: true,
                    ..
                } => Some((seen, before.as_ref(), *history.get(&seen.result)?)),
                _ => None,
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let urls: Vec<i64> = changes.iter().map(|(seen, ..)| seen.url).collect();
        let subscriptions: Vec<SubscriptionRow> = statement(sql::SUBSCRIPTIONS)
            .bind::<Array<BigInt>, _>(&urls)
            .load(conn)
            .await?;
        if subscriptions.is_empty() {
            return Ok(());
        }
        let mut by_url: HashMap<i64, Vec<(String, Subscription)>> = HashMap::new();
        for row in subscriptions {
            let url = row.url;
            by_url.entry(url).or_default().push(row.subscription()?);
        }
        let mut told = Told::default();
        for (seen, before, row) in changes {
            for (name, subscription) in by_url.get(&seen.url).into_iter().flatten() {
                for (kind, message) in alerts::alerts(before, &seen.value, subscription, name) {
                    for channel in subscription.channels() {
                        told.subscriptions.push(subscription.id);
                        told.urls.push(seen.url);
                        told.rows.push(row);
                        told.channels.push(channel);
                        told.kinds.push(kind.as_str());
                        told.messages.push(message.clone());
                        told.old_prices
                            .push(before.map(|value| value.price.to_string()));
                        told.new_prices.push(seen.value.price.to_string());
                        told.currencies.push(seen.value.currency.clone());
                    }
                }
            }
        }
        told.write(conn).await
    }
}

/// Inserts the new rows; their keys by result.
async fn insert(
    conn: &mut AsyncPgConnection,
    observations: &[&Observation],
    timelines: &BTreeMap<i64, Timeline>,
) -> QueryResult<HashMap<i64, i64>> {
    #[derive(QueryableByName)]
    struct Inserted {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = BigInt)]
        result: i64,
    }
    let mut fresh = Fresh::default();
    for (url, timeline) in timelines {
        for row in timeline.rows() {
            if let Origin::Seen(place) = row.origin
                && let Some(seen) = observations.get(place)
            {
                fresh.push(*url, row, seen);
            }
        }
    }
    if fresh.urls.is_empty() {
        return Ok(HashMap::new());
    }
    conn.batch_execute(CHECKS_PLANNED_ONCE).await?;
    let inserted: Vec<Inserted> = statement(sql::INSERT)
        .bind::<Array<BigInt>, _>(&fresh.urls)
        .bind::<Array<BigInt>, _>(&fresh.results)
        .bind::<Array<Text>, _>(&fresh.prices)
        .bind::<Array<Text>, _>(&fresh.currencies)
        .bind::<Array<Nullable<Text>>, _>(&fresh.list_prices)
        .bind::<Array<Nullable<Text>>, _>(&fresh.availability)
        .bind::<Array<Nullable<Bool>>, _>(&fresh.is_available)
        .bind::<Array<Text>, _>(&fresh.sources)
        .bind::<Array<Nullable<Text>>, _>(&fresh.methods)
        .bind::<Array<Nullable<Double>>, _>(&fresh.confidences)
        .bind::<Array<Timestamptz>, _>(&fresh.since)
        .bind::<Array<Timestamptz>, _>(&fresh.until)
        .load(conn)
        .await?;
    conn.batch_execute(CHECKS_PLANNED_EACH).await?;
    Ok(inserted
        .into_iter()
        .map(|row| (row.result, row.id))
        .collect())
}

/// New rows of the history as columns.
#[derive(Default)]
struct Fresh<'a> {
    urls: Vec<i64>,
    results: Vec<i64>,
    prices: Vec<String>,
    currencies: Vec<&'a str>,
    list_prices: Vec<Option<&'a str>>,
    availability: Vec<Option<&'a str>>,
    is_available: Vec<Option<bool>>,
    sources: Vec<&'static str>,
    methods: Vec<Option<&'a str>>,
    confidences: Vec<Option<f64>>,
    since: Vec<Moment>,
    until: Vec<Moment>,
}

impl<'a> Fresh<'a> {
    fn push(&mut self, url: i64, row: &'a HistoryRow, seen: &'a Observation) {
        self.urls.push(url);
        self.results.push(seen.result);
        self.prices.push(row.value.price.to_string());
        self.currencies.push(&row.value.currency);
        self.list_prices.push(seen.list_price.as_deref());
        self.availability.push(row.value.availability.as_deref());
        self.is_available.push(seen.is_available);
        self.sources.push(seen.source.as_str());
        self.methods.push(seen.method.as_deref());
        self.confidences.push(seen.confidence);
        self.since.push(row.since);
        self.until.push(row.until);
    }
}

/// Inserts the rows that go on after what came in between. After the results are flagged: it looks for those that saw them.
async fn resume(
    conn: &mut AsyncPgConnection,
    timelines: &BTreeMap<i64, Timeline>,
) -> QueryResult<()> {
    let resumed: Vec<(i64, &HistoryRow)> = timelines
        .iter()
        .flat_map(|(url, timeline)| timeline.rows().iter().map(|row| (*url, row)))
        .filter(|(_, row)| row.origin == Origin::Resumed)
        .collect();
    if resumed.is_empty() {
        return Ok(());
    }
    let urls: Vec<i64> = resumed.iter().map(|(url, _)| *url).collect();
    let prices: Vec<String> = resumed
        .iter()
        .map(|(_, row)| row.value.price.to_string())
        .collect();
    let currencies: Vec<&str> = resumed
        .iter()
        .map(|(_, row)| row.value.currency.as_str())
        .collect();
    let availability: Vec<Option<&str>> = resumed
        .iter()
        .map(|(_, row)| row.value.availability.as_deref())
        .collect();
    let since: Vec<Moment> = resumed.iter().map(|(_, row)| row.since).collect();
    statement(sql::RELINK)
        .bind::<Array<BigInt>, _>(&urls)
        .bind::<Array<Timestamptz>, _>(&since)
        .execute(conn)
        .await?;
    statement(sql::RESUME)
        .bind::<Array<BigInt>, _>(&urls)
        .bind::<Array<Text>, _>(&prices)
        .bind::<Array<Text>, _>(&currencies)
        .bind::<Array<Nullable<Text>>, _>(&availability)
        .bind::<Array<Timestamptz>, _>(&since)
        .execute(conn)
        .await?;
    Ok(())
}

async fn confirm(
    conn: &mut AsyncPgConnection,
    timelines: &BTreeMap<i64, Timeline>,
) -> QueryResult<()> {
    let mut changed: Vec<(i64, Moment, Moment)> = timelines
        .values()
        .flat_map(Timeline::rows)
        .filter_map(|row| match row.origin {
            Origin::Stored(id) if row.is_changed => Some((id, row.since, row.until)),
            _ => None,
        })
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    changed.sort_by_key(|(id, ..)| *id);
    let ids: Vec<i64> = changed.iter().map(|(id, ..)| *id).collect();
    let since: Vec<Moment> = changed.iter().map(|(_, since, _)| *since).collect();
    let until: Vec<Moment> = changed.iter().map(|(.., until)| *until).collect();
    statement(sql::CONFIRM)
        .bind::<Array<BigInt>, _>(&ids)
        .bind::<Array<Timestamptz>, _>(&since)
        .bind::<Array<Timestamptz>, _>(&until)
        .execute(conn)
        .await?;
    Ok(())
}

/// Results whose held price is confirmed or dropped.
async fn resolve(
    conn: &mut AsyncPgConnection,
    timelines: &BTreeMap<i64, Timeline>,
) -> QueryResult<()> {
    let (mut urls, mut moments, mut confirmed, mut free) = (vec![], vec![], vec![], vec![]);
    for (url, timeline) in timelines {
        for (held, is_confirmed) in timeline.resolved() {
            urls.push(*url);
            moments.push(held.at);
            confirmed.push(*is_confirmed);
        }
        if timeline.held().is_none() && !timeline.resolved().is_empty() {
            free.push(*url);
        }
    }
    if urls.is_empty() {
        return Ok(());
    }
    statement(sql::RESOLVE_HELD)
        .bind::<Array<BigInt>, _>(&urls)
        .bind::<Array<Timestamptz>, _>(&moments)
        .bind::<Array<Bool>, _>(&confirmed)
        .bind::<Array<BigInt>, _>(&free)
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(QueryableByName)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the columns of a subscription"
)]
struct SubscriptionRow {
    #[diesel(sql_type = BigInt)]
    url: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    target: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    target_currency: Option<String>,
    #[diesel(sql_type = Bool)]
    notify_drop: bool,
    #[diesel(sql_type = Double)]
    min_drop_percent: f64,
    #[diesel(sql_type = Bool)]
    notify_target: bool,
    #[diesel(sql_type = Bool)]
    notify_restock: bool,
    #[diesel(sql_type = Bool)]
    has_webhook: bool,
    #[diesel(sql_type = Bool)]
    has_email: bool,
}

impl SubscriptionRow {
    fn subscription(self) -> QueryResult<(String, Subscription)> {
        let read =
            |text: String| amount(&text, || format!("the target of subscription {}", self.id));
        let subscription = Subscription {
            id: self.id,
            target: self.target.map(read).transpose()?,
            target_currency: self.target_currency,
            notify_drop: self.notify_drop,
            min_drop_percent: self.min_drop_percent,
            notify_target: self.notify_target,
            notify_restock: self.notify_restock,
            has_webhook: self.has_webhook,
            has_email: self.has_email,
        };
        Ok((self.name, subscription))
    }
}

/// Notifications as columns.
#[derive(Default)]
struct Told {
    subscriptions: Vec<i64>,
    urls: Vec<i64>,
    rows: Vec<i64>,
    channels: Vec<&'static str>,
    kinds: Vec<&'static str>,
    messages: Vec<String>,
    old_prices: Vec<Option<String>>,
    new_prices: Vec<String>,
    currencies: Vec<String>,
}

impl Told {
    async fn write(&self, conn: &mut AsyncPgConnection) -> QueryResult<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        statement(&sql::NOTIFY)
            .bind::<Array<BigInt>, _>(&self.subscriptions)
            .bind::<Array<BigInt>, _>(&self.urls)
            .bind::<Array<BigInt>, _>(&self.rows)
            .bind::<Array<Text>, _>(&self.channels)
            .bind::<Array<Text>, _>(&self.kinds)
            .bind::<Array<Text>, _>(&self.messages)
            .bind::<Array<Nullable<Text>>, _>(&self.old_prices)
            .bind::<Array<Text>, _>(&self.new_prices)
            .bind::<Array<Text>, _>(&self.currencies)
            .execute(conn)
            .await?;
        Ok(())
    }
}
