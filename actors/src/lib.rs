//! The engine of Gleaner: supervised workflow actors that claim, run and settle items through a port.
//!
//! The engine decides when items are claimed, how many, and what becomes of failures; the application behind
//! [`port::Port`] knows what they are. Nothing here knows a database, the web, or a metric.
//!
//! # The tree
//!
//! ```text
//!  application ── Tree (handle) ──┐                      heartbeat (an OS thread, a runtime of its own)
//!                                 ▼                        │ renews all leases at once; moves their fences
//!                          root actor (supervisor/root)    │
//!          restarts, parks, watches, drains, reloads       │
//!        ┌──────────────┬─────────────┬─────────────┐      │
//!        ▼              ▼             ▼             ▼      ▼
//!    workflow       workflow       ticker        service  Leases ── Fence per lease
//!     actor          actor          actor         actor               ▲
//!        │ tasks: one claim, up to two settles, one lease call        │ every item checks it by its own timer
//!        └ tasks: one per item in flight ─────────────────────────────┘
//! ```
//!
//! # The messages
//!
//! | to | from | message | effect |
//! |---|---|---|---|
//! | root | application | `Wake` | passed on, at most one on its way per workflow |
//! | root | application | `Command` | pause, resume, run now, unpark |
//! | root | application | `Reload` | new settings; members come, go, and take others' places |
//! | root | application | `Status`, `Drain` | answered by the actors; answered at the end |
//! | root | ractor | a child's death | restart after a backoff, or park |
//! | root | its timers | `Restart`, `Watch`, `LeaveDeadline`, `DrainDeadline`, `ClosingTime` | |
//! | root | its tasks | `Looked`, `LeaseClosed` | a stalled actor is restarted; a drain, or a member's, may be over |
//! | root | workflow | `Idle` | its configuration does not let it start: idle until that changes |
//! | workflow, ticker, service | root | `Control` | `Wake`, `Pause`, `Resume`, `RunNow`, `Reload`, `Drain`, `Abort`, `Status` |
//! | workflow | its tasks | `LeaseOpened`, `Claimed`, `ItemEnded`, `Settled`, `LeaseClosed` | then whatever has become possible |
//! | workflow | heartbeat | `LeaseLost` | items cancelled, outcomes dropped, another lease opened |
//! | workflow | its alarm | `Alarm` | an interval, an age, a backoff or a fence is past |
//!
//! # Invariants
//!
//! - **No handler waits.** Calls to the port are tasks; a slow store slows nothing but its own answer.
//! - **Everything enters by demand.** At most `concurrency` items are running or waiting for a settle, plus two settles in
//!   the air; at most one claim is in the air, one wake on its way. No mailbox grows with the load.
//! - **An item outlives neither its lease nor its actor.** The fence is passed before the lease expires, and is broken
//!   when the actor dies.
//! - **Only the store decides what counts.** Every settle names lease and attempt; a result that comes too late is stale.
//! - **Trouble with the store is never a crash and never an item's failure.** It is waited out, and reported once.
//! - **A panic is charged to what panicked**: to the item, if it ran one; to the actor, if it was a call to the store.
//! - **A change is all or nothing**, and is judged by whom the changes before it leave in the tree, whoever is still on the way out.
//! - **No two of one name are at work.** Who takes another's place starts when that one has come down and the store has closed its
//!   lease; until then it waits, one for each name at most.
//! - **Who is taken out comes down.** At its deadline what it has in hand is cancelled, one lease's time later it is killed. Its
//!   lease is closed by it or for it, so its rows are handed back uncharged, whatever it died of on the way.
//! - **Nothing dies in silence.** A death is a restart or a parking, an actor without progress is restarted, and each is
//!   an [`Event`] and shows in the [`TreeStatus`].
#![warn(missing_docs, clippy::wildcard_enum_match_arm)]

mod backoff;
mod continuity;
mod control;
mod lease;
pub mod observer;
pub mod port;
mod rate;
pub mod settings;
pub mod status;
mod supervisor;
#[cfg(feature = "testing")]
pub mod testing;
mod ticker;
mod workflow;

pub use observer::{Event, Observer};
pub use settings::{Backoff, Rate, Settings, TreeSettings};
pub use status::{DrainReport, HelperStatus, State, TreeStatus, WorkflowStatus};
pub use supervisor::{Change, Member, Tree, TreeError};
pub use ticker::{Service, Tick};
pub use workflow::judge;

/// An error and its sources in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
