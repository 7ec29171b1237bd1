//! `gleaner explain`: why a result was or was not recorded, and what other rules would make of results.

use crate::db::statement::sql_query;
use clap::Args;
use diesel::sql_types::{Array, BigInt, Bool, Double, Nullable, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use serde::Serialize;
use serde_json::json;

use crate::console::table::{Table, cut};
use crate::console::{Global, Misuse, OK, print};
use crate::prices::auto_record::AutoRecord;
use crate::prices::auto_record::rules::{Finding, Ruling};
use crate::prices::auto_record::timeline::Decision;
use crate::prices::auto_record::{Input, Options, RESULTS, inputs, timelines};
use crate::prices::uid::Uid;
use crate::store::stage::Request;

/// Results judged at a time.
const PAGE: i64 = 1_000;
/// Changes shown one by one.
const SHOWN: usize = 100;

/// Arguments of `gleaner explain`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The result: its number or its UUID.
    #[arg(required_unless_present = "since", conflicts_with_all = ["since", "until", "dry_run", "requeue"])]
    result: Option<Uid>,
    /// Judge all results stored since then by the rules given with --config: a time, or how long ago (2d).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to then; now unless given.
    #[arg(long, value_name = "TIME", requires = "since")]
    until: Option<String>,
    /// Change nothing, only tell what would change: what is done without --requeue.
    #[arg(long, conflicts_with = "requeue")]
    dry_run: bool,
    /// Queue those again that were refused, and would not be.
    #[arg(long)]
    requeue: bool,
}

pub(crate) async fn run(global: &Global, arguments: Arguments) -> anyhow::Result<u8> {
    let config = global.load()?;
    let options = config.workflows.options::<AutoRecord>();
    let mut connection = crate::console::connect(&config).await?;
    match (arguments.result, &arguments.since) {
        (Some(Uid(id)), _) => explain(global, &mut connection, options, id).await,
        (None, Some(since)) => {
            let range = (Bound::of(since), arguments.until.as_deref().map(Bound::of));
            compare(global, &mut connection, options, range, arguments.requeue).await
        }
        (None, None) => Err(Misuse("name a result, or a time with --since".to_owned()).into()),
    }
}

/// How a result stands.
#[derive(Debug, QueryableByName, Serialize)]
struct State {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Text)]
    crawled_at: String,
    #[diesel(sql_type = Nullable<Text>)]
    auto_record_status: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Bool)]
    history_recorded: bool,
    #[diesel(sql_type = Text)]
    history_record_status: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    price_history_id: Option<i64>,
}

async fn states(connection: &mut AsyncPgConnection, ids: &[i64]) -> QueryResult<Vec<State>> {
    sql_query(
        "SELECT r.id, u.raw_url AS url, r.crawled_at::text AS crawled_at, r.auto_record_status, r.auto_record_error AS reason, \
                r.history_recorded, r.history_record_status, h.id AS price_history_id \
         FROM crawl_result r JOIN product_url u ON u.id = r.product_url_id LEFT JOIN price_history h ON h.crawl_result_id = r.id \
         WHERE r.id = ANY ($1) ORDER BY r.id",
    )
    .bind::<Array<BigInt>, _>(ids)
    .load(connection)
    .await
}

async fn explain(
    global: &Global,
    connection: &mut AsyncPgConnection,
    options: &Options,
    id: i64,
) -> anyhow::Result<u8> {
    let state = states(connection, &[id]).await?.pop();
    let input = inputs(connection, &[id]).await?.pop();
    let (Some(state), Some(input)) = (state, input) else {
        return Err(Misuse(format!("there is no result {id}")).into());
    };
    let candidate = input.candidate();
    let findings = options.of_site(&candidate.domain).explain(&candidate);
    let (verdict, text) = verdict(connection, options, &input).await?;
    if global.json {
        let answer = json!({ "result": id, "state": state, "rules": findings, "verdict": verdict, "because": text });
        print(&serde_json::to_string_pretty(&answer)?);
        return Ok(OK);
    }
    print(&format!(
        "result {id} of {}, seen {}",
        cut(&state.url, 200),
        state.crawled_at
    ));
    print(&format!("stands as: {}", standing(&state)));
    print("");
    show(&findings);
    print("");
    print(&format!("by these rules: {verdict}, {text}"));
    Ok(OK)
}

/// What the rules and the history beside it make of a result now.
async fn verdict(
    connection: &mut AsyncPgConnection,
    options: &Options,
    input: &Input,
) -> QueryResult<(&'static str, String)> {
    let seen = match input.judge(options) {
        Ok(seen) => seen,
        Err(reason) => return Ok(("ineligible", reason)),
    };
    let mut timelines = timelines(connection, &[&seen], Some(input.id)).await?;
    let Some(timeline) = timelines.get_mut(&seen.url) else {
        return Ok(("ineligible", "its page is gone".to_owned()));
    };
    let value = seen.value.clone();
    Ok(
        match timeline.observe(0, seen.at, seen.value, seen.max_change_percent) {
            Decision::Recorded { before: None, .. } => (
                "recorded",
                format!("{value} is the first price of its page at that time"),
            ),
            Decision::Recorded {
                before: Some(before),
                confirms,
                ..
            } => {
                let word = if confirms {
                    "confirms a jump from"
                } else {
                    "differs from"
                };
                (
                    "recorded",
                    format!("{value} {word} {before}, which stood before it"),
                )
            }
            Decision::Duplicate(_) => (
                "duplicate",
                format!("{value} stands next to it in the history"),
            ),
            Decision::Held { before } => (
                "held",
                format!(
                    "{value} differs from {before} by more than {} %: a later result has to confirm it",
                    seen.max_change_percent
                ),
            ),
            Decision::Contradicted { before } => (
                "dropped",
                format!(
                    "{value} differs from {before} by more than {} %, and what was seen later contradicts it",
                    seen.max_change_percent
                ),
            ),
        },
    )
}

fn standing(state: &State) -> String {
    let mut text = state
        .auto_record_status
        .clone()
        .unwrap_or_else(|| "not queued".to_owned());
    if let Some(reason) = &state.reason {
        text.push_str(&format!(" ({})", cut(reason, 200)));
    }
    text.push_str(&format!(", history: {}", state.history_record_status));
    if let Some(row) = state.price_history_id {
        text.push_str(&format!(" as row {row}"));
    }
    text
}

fn show(findings: &[Finding]) {
    let mut table = Table::new(&["rule", "outcome", "demands", "sees"]);
    for finding in findings {
        let outcome = match finding.outcome {
            Ruling::Passes => "passes",
            Ruling::Refuses => "REFUSES",
            Ruling::Off => "off",
            Ruling::NotAsked => "not asked",
        };
        table.push(vec![
            finding.rule.to_owned(),
            outcome.to_owned(),
            cut(finding.demands.as_deref().unwrap_or("-"), 60),
            cut(&finding.sees, 60),
        ]);
    }
    table.lines().iter().for_each(|line| print(line));
}

/// One end of a range of time.
#[derive(Clone, Debug, PartialEq)]
enum Bound {
    /// As PostgreSQL reads it.
    At(String),
    /// So many seconds ago.
    Ago(f64),
}

impl Bound {
    fn of(text: &str) -> Self {
        match humantime::parse_duration(text) {
            Ok(ago) => Self::Ago(ago.as_secs_f64()),
            Err(_not_a_duration) => Self::At(text.to_owned()),
        }
    }

    /// As text and as seconds, one of which is there.
    fn split(&self) -> (Option<&str>, Option<f64>) {
        match self {
            Self::At(text) => (Some(text), None),
            Self::Ago(seconds) => (None, Some(*seconds)),
        }
    }
}

/// What other rules change.
#[derive(Debug, Default, Serialize)]
struct Comparison {
    judged: u64,
    /// Refused before, and would not be.
    admitted: u64,
    /// Admitted before, and would be refused.
    refused: u64,
    /// Refused for another reason.
    other_reason: u64,
    unchanged: u64,
    /// Not judged yet.
    waiting: u64,
    requeued: usize,
    changes: Vec<Change>,
}

#[derive(Debug, Serialize)]
struct Change {
    result: i64,
    before: String,
    after: String,
}

impl Comparison {
    /// Takes note of a result; whether it was refused and would not be.
    fn note(&mut self, state: &State, judged: Result<(), String>) -> bool {
        self.judged += 1;
        let before = state.auto_record_status.as_deref();
        let count = match (before, &judged) {
            (Some("Filtered"), Ok(())) => &mut self.admitted,
            (Some("Completed"), Err(_)) => &mut self.refused,
            (Some("Filtered"), Err(reason)) if state.reason.as_ref() != Some(reason) => {
                &mut self.other_reason
            }
            (Some("Filtered" | "Completed"), _) => {
                self.unchanged += 1;
                return false;
            }
            _ => {
                self.waiting += 1;
                return false;
            }
        };
        *count += 1;
        let is_admitted = judged.is_ok();
        if self.changes.len() < SHOWN {
            self.changes.push(Change {
                result: state.id,
                before: standing(state),
                after: judged.err().unwrap_or_else(|| "admitted".to_owned()),
            });
        }
        is_admitted
    }
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

async fn page(
    connection: &mut AsyncPgConnection,
    (since, until): &(Bound, Option<Bound>),
    after: i64,
) -> QueryResult<Vec<i64>> {
    let now = Bound::Ago(0.0);
    let ((from, from_ago), (to, to_ago)) = (since.split(), until.as_ref().unwrap_or(&now).split());
    let rows: Vec<Id> = sql_query(
        "SELECT id FROM crawl_result WHERE id > $5 AND success \
         AND created_at >= coalesce($1::timestamptz, now() - make_interval(secs => $2)) \
         AND created_at <= coalesce($3::timestamptz, now() - make_interval(secs => $4)) ORDER BY id LIMIT $6",
    )
    .bind::<Nullable<Text>, _>(from)
    .bind::<Nullable<Double>, _>(from_ago)
    .bind::<Nullable<Text>, _>(to)
    .bind::<Nullable<Double>, _>(to_ago)
    .bind::<BigInt, _>(after)
    .bind::<BigInt, _>(PAGE)
    .load(connection)
    .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

async fn compare(
    global: &Global,
    connection: &mut AsyncPgConnection,
    options: &Options,
    range: (Bound, Option<Bound>),
    requeue: bool,
) -> anyhow::Result<u8> {
    let mut comparison = Comparison::default();
    let mut last = 0;
    loop {
        let ids = page(connection, &range, last).await?;
        let [.., end] = ids.as_slice() else { break };
        last = *end;
        let states = states(connection, &ids).await?;
        let mut judged: std::collections::HashMap<i64, Result<(), String>> =
            inputs(connection, &ids)
                .await?
                .iter()
                .map(|input| (input.id, input.judge(options).map(drop)))
                .collect();
        let mut admitted = Vec::new();
        for state in &states {
            if let Some(judged) = judged.remove(&state.id)
                && comparison.note(state, judged)
            {
                admitted.push(state.id);
            }
        }
        if requeue && !admitted.is_empty() {
            comparison.requeued += sql_query(RESULTS.ask(
                "UPDATE {table} AS item SET {set} WHERE id = ANY ($1) AND {stage}_status = 'Filtered'",
                &[Request::Queue],
            ))
            .bind::<Array<BigInt>, _>(&admitted)
            .execute(connection)
            .await?;
        }
    }
    if global.json {
        print(&serde_json::to_string(&comparison)?);
        return Ok(OK);
    }
    for change in &comparison.changes {
        print(&format!(
            "{}: {} -> {}",
            change.result, change.before, change.after
        ));
    }
    print(&format!(
        "{} judged: {} would be admitted, {} refused, {} refused for another reason, {} as before, {} not judged yet",
        comparison.judged,
        comparison.admitted,
        comparison.refused,
        comparison.other_reason,
        comparison.unchanged,
        comparison.waiting
    ));
    if requeue {
        print(&format!(
            "{} queued again, to be judged by the rules of the running process",
            comparison.requeued
        ));
    }
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(status: &str, reason: &str) -> State {
        State {
            id: 1,
            url: String::new(),
            crawled_at: String::new(),
            auto_record_status: (!status.is_empty()).then(|| status.to_owned()),
            reason: (!reason.is_empty()).then(|| reason.to_owned()),
            history_recorded: false,
            history_record_status: "none".to_owned(),
            price_history_id: None,
        }
    }

    #[test]
    fn changes_are_counted_by_kind() {
        let mut comparison = Comparison::default();
        let refused = |reason: &str| Err(reason.to_owned());
        assert!(comparison.note(&state("Filtered", "a"), Ok(())));
        assert!(!comparison.note(&state("Filtered", "a"), refused("a")));
        assert!(!comparison.note(&state("Filtered", "a"), refused("b")));
        assert!(!comparison.note(&state("Completed", ""), refused("b")));
        assert!(!comparison.note(&state("Completed", ""), Ok(())));
        assert!(!comparison.note(&state("Queued", ""), Ok(())));
        let counts = [
            comparison.judged,
            comparison.admitted,
            comparison.refused,
            comparison.other_reason,
            comparison.unchanged,
            comparison.waiting,
        ];
        assert_eq!(counts, [6, 1, 1, 1, 2, 1]);
        assert_eq!(comparison.changes.len(), 3);
    }

    #[test]
    fn times_are_read_both_ways() {
        assert_eq!(Bound::of("2d"), Bound::Ago(172_800.0));
        assert_eq!(Bound::of("2026-01-01"), Bound::At("2026-01-01".to_owned()));
    }
}
