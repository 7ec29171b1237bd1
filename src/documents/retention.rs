//! What of documents gets old. What is not kept by age, the sweeper takes away: see `sweep`.

use crate::store::prune::{Kind, Schedule};

/// All of it.
pub const KINDS: [Kind; 1] = [
    // What is left of documents that their tenants deleted: rows that nobody sees. An e-mail waits for what was attached to it.
    Kind {
        key: "deleted_documents",
        name: "documents (deleted)",
        table: "documents",
        schedule: Schedule::Daily,
        batch: 1_000,
        sql: include_str!("retention/deleted.sql"),
    },
];
