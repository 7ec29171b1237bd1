//! Stages on a real database: claim, settle, rescue, and the triggers that are everybody's interface.

#![expect(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod claim;
mod curation;
mod frontier;
mod locked;
mod pipeline;
mod request;
mod rescue;
mod settle;
mod tables;
mod trouble;

use std::time::Duration;

use gleaner::store::stage::{Claimed, Records};
use gleaner_actors::port::{Ending, Failure, ItemId, LeaseId, Previous, Settlement, Verdict};

/// Long enough for any test.
const LONG: Duration = Duration::from_secs(300);

/// The state of all rows, as `id status attempts`, with `held` and `error` where there is one.
const STATES: &str = "SELECT id || ' ' || coalesce(toy_status, '-') || ' ' || toy_attempts \
    || CASE WHEN toy_lease IS NULL THEN '' ELSE ' held' END || coalesce(' ' || toy_error, '') FROM work ORDER BY id";

/// The history, as `id attempt outcome class message`.
const HISTORY: &str = "SELECT concat_ws(' ', item_id, attempt, outcome, class, message) FROM attempt ORDER BY item_id, settled_at";

/// The lease of an incarnation that died under it.
fn died(lease: LeaseId) -> Option<Previous> {
    let ending = Ending::Died;
    Some(Previous { lease, ending })
}

fn ids(claimed: &[Claimed]) -> Vec<ItemId> {
    let mut ids: Vec<ItemId> = claimed.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids
}

fn settlement<O>(item: ItemId, attempt: i16, verdict: Verdict<O>) -> Settlement<O> {
    Settlement {
        item,
        attempt,
        elapsed: Duration::from_millis(7),
        verdict,
    }
}

fn complete(item: ItemId, attempt: i16) -> Records {
    Records::of(&[settlement(item, attempt, Verdict::Complete(String::new()))])
}

fn failure(message: &str) -> Failure {
    Failure::new("http", message)
}

fn failed(message: &str) -> Verdict<String> {
    Verdict::Fail {
        failure: failure(message),
        output: None,
    }
}
