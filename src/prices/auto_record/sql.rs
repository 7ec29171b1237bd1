//! The statements, each explained in its file; the benchmark issues the same ones bare.

use std::sync::LazyLock;

use crate::store::stage::{Group, Request};

/// The stage of the notifications, as requests name it.
const DELIVERIES: Group = Group::new("notification", "delivery");

/// What results are judged by.
pub const LOAD: &str = include_str!("load.sql");
/// Locks pages.
pub const LOCK: &str = include_str!("lock.sql");
/// What observations are compared with.
pub const NEIGHBOURS: &str = include_str!("neighbours.sql");
/// New rows of the history.
pub const INSERT: &str = include_str!("insert.sql");
/// Rows that were seen again.
pub const CONFIRM: &str = include_str!("confirm.sql");
/// What was decided of results.
pub const FLAG_RESULTS: &str = include_str!("flag_results.sql");
/// Pages' prices as of now.
pub const SET_CURRENT: &str = include_str!("set_current.sql");
/// Rows that give their result to the one that goes on after something came in between.
pub const RELINK: &str = include_str!("relink.sql");
/// Rows that go on after something came in between.
pub const RESUME: &str = include_str!("resume.sql");
/// What is held for pages.
pub const SET_HELD: &str = include_str!("set_held.sql");
/// Held prices that are confirmed or dropped.
pub const RESOLVE_HELD: &str = include_str!("resolve_held.sql");
/// Second looks.
pub const LOOK_AGAIN: &str = include_str!("look_again.sql");
/// Who wants to know.
pub const SUBSCRIPTIONS: &str = include_str!("subscriptions.sql");
/// Notifications.
pub static NOTIFY: LazyLock<String> = LazyLock::new(|| {
    let request = Request::QueueIf("channel <> 'list'");
    DELIVERIES.ask(include_str!("notify.sql"), &[request])
});
