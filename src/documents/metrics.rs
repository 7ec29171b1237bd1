//! What is counted of documents.

#![expect(
    clippy::disallowed_macros,
    reason = "a place for the metrics of an area"
)]

use std::time::{Duration, Instant};

use gleaner_parse::protocol::Code;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::metrics::whole;
use crate::workflow::Ended;

const RECEIVED: &str = "gleaner_documents_received_total";
const FINISHED: &str = "gleaner_documents_finished_total";
const FAILED: &str = "gleaner_documents_failed_total";
const SECONDS: &str = "gleaner_documents_seconds";
const SEARCH: &str = "gleaner_document_search_seconds";
const EMBEDDING: &str = "gleaner_document_embedding_seconds";
const VECTORS: &str = "gleaner_document_vectors_total";
const QUEUED: &str = "gleaner_documents_queued";
const OLDEST: &str = "gleaner_documents_queue_age_seconds";
const RESERVED: &str = "gleaner_documents_reserved_bytes";
const USED: &str = "gleaner_documents_used_bytes";
const STORAGE_FREE: &str = "gleaner_documents_storage_free_ratio";
const STORAGE_FAILURES: &str = "gleaner_documents_storage_failures_total";
const KILLS: &str = "gleaner_documents_child_kills_total";
const QUOTA_REFUSED: &str = "gleaner_documents_quota_refused_total";
const SWEPT: &str = "gleaner_documents_swept_total";
const ORPHANS: &str = "gleaner_documents_blob_orphans";
const DRIFT: &str = "gleaner_documents_quota_drift_bytes";

/// Describes them, and shows the counters from the start.
pub(super) fn announce() {
    describe_counter!(
        RECEIVED,
        "Documents accepted, by outcome: new or duplicate."
    );
    describe_counter!(
        FINISHED,
        "Attempts at documents, by how they ended: ready, failed, retried or returned."
    );
    describe_counter!(
        FAILED,
        "Attempts at documents that failed, by error code; one that is tried again counts each time."
    );
    describe_histogram!(
        SECONDS,
        "Time of a document by stage: queue, from its acceptance to its first attempt; read, of one attempt."
    );
    describe_histogram!(SEARCH, "Time of a search in a tenant's documents.");
    describe_histogram!(EMBEDDING, "Time of the model for one batch of texts.");
    describe_counter!(
        VECTORS,
        "Pieces of documents for which the model made a vector."
    );
    describe_gauge!(
        QUEUED,
        "Documents that wait, counted in the database up to a bound."
    );
    describe_gauge!(OLDEST, "How long the oldest due document has waited.");
    describe_gauge!(
        RESERVED,
        "Bytes set aside for uploads under way, of all tenants."
    );
    describe_gauge!(USED, "Bytes of stored files that count, of all tenants.");
    describe_gauge!(
        STORAGE_FREE,
        "Free part of the disk that the files lie on, 0 to 1; not told of a bucket."
    );
    describe_counter!(
        STORAGE_FAILURES,
        "Looks at the storage that found that files cannot be written there."
    );
    describe_counter!(
        KILLS,
        "Processes reading documents that broke down or were ended, by reason: timeout, memory or parser_crashed."
    );
    describe_counter!(
        QUOTA_REFUSED,
        "Uploads that were refused because they would not fit a tenant's quota."
    );
    describe_counter!(
        SWEPT,
        "What the sweeper took away, by kind: uploads, reservations, drafts, files, orphans, keys."
    );
    describe_gauge!(
        ORPHANS,
        "Files without a row that the last look through the storage found; they are taken away."
    );
    describe_gauge!(
        DRIFT,
        "Bytes by which tenants' accounts were off, all together, when they were last reconciled; they are put right."
    );
    for ended in [Ended::Completed, Ended::Failed] {
        counter!(FINISHED, "outcome" => outcome(ended)).increment(0);
    }
    counter!(QUOTA_REFUSED).increment(0);
    counter!(STORAGE_FAILURES).increment(0);
    for code in [Code::Timeout, Code::Memory, Code::ParserCrashed] {
        counter!(KILLS, "reason" => code.as_str()).increment(0);
    }
}

fn outcome(ended: Ended) -> &'static str {
    match ended {
        Ended::Completed => "ready",
        Ended::Failed => "failed",
        Ended::Again => "retried",
        Ended::Filtered | Ended::Returned => "returned",
    }
}

/// An upload became a document, or was one already.
pub fn received(is_duplicate: bool) {
    let outcome = if is_duplicate { "duplicate" } else { "new" };
    counter!(RECEIVED, "outcome" => outcome).increment(1);
}

/// An upload would not fit its tenant's quota.
pub fn quota_refused() {
    counter!(QUOTA_REFUSED).increment(1);
}

/// A document's first attempt begins, so many seconds after it was accepted.
pub(super) fn waited(seconds: f64) {
    histogram!(SECONDS, "stage" => "queue").record(seconds);
}

/// An attempt came to this.
pub(super) fn failed(code: Code) {
    counter!(FAILED, "code" => code.as_str()).increment(1);
    if matches!(code, Code::Timeout | Code::Memory | Code::ParserCrashed) {
        counter!(KILLS, "reason" => code.as_str()).increment(1);
    }
}

/// An attempt is committed.
pub(super) fn finished(ended: Ended) {
    counter!(FINISHED, "outcome" => outcome(ended)).increment(1);
}

/// Times an attempt.
pub(super) struct Timing(Instant);

impl Timing {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// It has been read, or not.
    pub(super) fn read(&self) {
        histogram!(SECONDS, "stage" => "read").record(self.0.elapsed());
    }

    /// The model has made so many vectors.
    pub(super) fn embedded(&self, vectors: usize) {
        histogram!(EMBEDDING).record(self.0.elapsed());
        counter!(VECTORS).increment(whole(vectors));
    }
}

/// A search was answered, in so long.
pub(super) fn searched(took: Duration) {
    histogram!(SEARCH).record(took);
}

/// How things stand, as last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Standing {
    pub(super) queued: i64,
    pub(super) oldest: Duration,
    pub(super) used_bytes: i64,
    pub(super) reserved_bytes: i64,
}

/// Tells how things stand.
pub(super) fn stands(standing: Standing) {
    gauge!(QUEUED).set(float(standing.queued));
    gauge!(OLDEST).set(standing.oldest.as_secs_f64());
    gauge!(USED).set(float(standing.used_bytes));
    gauge!(RESERVED).set(float(standing.reserved_bytes));
}

/// Whether files can be written, and which part of the disk is free, where that is known.
pub(super) fn storage(works: bool, free: Option<f64>) {
    if !works {
        counter!(STORAGE_FAILURES).increment(1);
    }
    if let Some(free) = free {
        gauge!(STORAGE_FREE).set(free);
    }
}

/// The sweeper took something away.
pub(super) fn swept(kind: &'static str, count: usize) {
    counter!(SWEPT, "kind" => kind).increment(whole(count));
}

/// So many files without a row were found.
pub(super) fn orphans(count: usize) {
    gauge!(ORPHANS).set(crate::metrics::real(count));
}

/// Accounts were off by so many bytes.
pub(super) fn drift(bytes: i64) {
    gauge!(DRIFT).set(float(bytes));
}

fn float(number: i64) -> f64 {
    number as f64
}

/// Everything once, for the test that sees that all of it is described.
#[cfg(test)]
pub(crate) fn all_once() {
    received(false);
    quota_refused();
    waited(1.0);
    failed(Code::Timeout);
    finished(Ended::Completed);
    Timing::start().read();
    Timing::start().embedded(1);
    searched(Duration::from_millis(1));
    stands(Standing::default());
    storage(false, Some(0.5));
    swept("files", 1);
    orphans(1);
    drift(1);
}
