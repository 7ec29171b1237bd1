//! What is counted of prices: the bots' API, and the recording of results.

#![expect(
    clippy::disallowed_macros,
    reason = "a place for the metrics of an area"
)]

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::metrics::{real, whole};

const RECORD_QUEUE_SIZE: &str = "gleaner_auto_record_queue_size";
const RECORD_HEAD_SECONDS: &str = "gleaner_auto_record_head_seconds";
const RESULTS_RECORDED: &str = "gleaner_auto_record_results_total";
const BOT_REQUESTS: &str = "gleaner_bot_requests_total";
const BOT_REFUSED: &str = "gleaner_bot_refused_total";
const BOT_JOBS: &str = "gleaner_bot_jobs_handed_out_total";
const BOT_RESULTS: &str = "gleaner_bot_results_total";
const BOT_PULL_SECONDS: &str = "gleaner_bot_pull_seconds";
const BOT_PULLS_WAITING: &str = "gleaner_bot_pulls_waiting";

/// Describes them, and shows the counters from the start.
pub(super) fn announce() {
    describe_gauge!(
        RECORD_QUEUE_SIZE,
        "Entries of the auto-record queue in Redis, by list; not told while Redis does not answer."
    );
    describe_gauge!(
        RECORD_HEAD_SECONDS,
        "Age of the result at the head of the auto-record queue in Redis; 0 when it is empty."
    );
    describe_counter!(
        RESULTS_RECORDED,
        "Results judged by auto-record, by what became of them."
    );
    describe_counter!(
        BOT_REQUESTS,
        "Requests of bots, by endpoint and status of the answer."
    );
    describe_counter!(
        BOT_REFUSED,
        "Requests of bots that were refused, by error code."
    );
    describe_counter!(BOT_JOBS, "Jobs handed out to bots.");
    describe_counter!(
        BOT_RESULTS,
        "Results and releases of bots, by what became of them."
    );
    describe_histogram!(
        BOT_PULL_SECONDS,
        "Time of one look for jobs for a bot; its wait for jobs to come due does not count."
    );
    describe_gauge!(BOT_PULLS_WAITING, "Pulls of bots that wait for jobs.");
    counter!(BOT_JOBS).increment(0);
    gauge!(BOT_PULLS_WAITING).set(0.0);
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// A new row of the history.
    Recorded,
    /// The same stood there already.
    Duplicate,
    /// A jump that waits for a second look.
    Held,
    /// A jump that later results contradict.
    Dropped,
    /// Refused by a rule.
    Ineligible,
    /// Could not be recorded; tried again, or given up.
    Failed,
}

/// Counts a result.
pub fn recorded(became: Recorded) {
    let outcome = match became {
        Recorded::Recorded => "recorded",
        Recorded::Duplicate => "duplicate",
        Recorded::Held => "held",
        Recorded::Dropped => "dropped",
        Recorded::Ineligible => "ineligible",
        Recorded::Failed => "failed",
    };
    counter!(RESULTS_RECORDED, "outcome" => outcome).increment(1);
}

/// Counts a request of a bot that was answered with this status.
pub fn bot_answered(endpoint: &'static str, status: u16) {
    counter!(BOT_REQUESTS, "endpoint" => endpoint, "status" => status.to_string()).increment(1);
}

/// Counts a request of a bot that was refused.
pub fn bot_refused(reason: &'static str) {
    counter!(BOT_REFUSED, "reason" => reason).increment(1);
}

/// A look for jobs for a bot, and how many it brought.
pub fn bot_pulled(jobs: usize, elapsed: Duration) {
    counter!(BOT_JOBS).increment(whole(jobs));
    histogram!(BOT_PULL_SECONDS).record(elapsed);
}

/// Counts a report of a bot: `done`, `retried`, `failed`, `released`, `repeated`, or the error code with which it was refused.
pub fn bot_result(outcome: &'static str) {
    counter!(BOT_RESULTS, "outcome" => outcome).increment(1);
}

/// How many pulls wait for jobs.
pub fn polls_waiting(count: usize) {
    gauge!(BOT_PULLS_WAITING).set(real(count));
}

/// How long a list of the auto-record queue in Redis is.
pub fn record_queue(list: &'static str, size: u64) {
    gauge!(RECORD_QUEUE_SIZE, "list" => list)
        .set(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
}

/// Age of the result at the head of that queue, in seconds.
pub fn record_head(seconds: f64) {
    gauge!(RECORD_HEAD_SECONDS).set(seconds);
}
