//! What the processes last said of themselves, as far as commands need it.
//!
//! A node's status is a JSON text that another version of the program may have written: what is missing or new in it must not
//! stop a command.

use serde::{Deserialize, Serialize};

use crate::store::node::Node;

/// A workflow on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct OnNode {
    /// The process.
    pub node: i64,
    /// What its actor does, in a word.
    pub state: String,
    /// Why, where it says.
    pub reason: Option<String>,
    /// Rows it has in hand.
    pub in_flight: u64,
    /// Results that somebody else's lock keeps it from recording.
    #[serde(skip_serializing_if = "is_zero")]
    pub set_aside: u64,
    /// Whose lock that is, as far as it knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside_by: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stored {
    workflows: Vec<StoredWorkflow>,
    draining: bool,
    pending_restart: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoredWorkflow {
    name: String,
    state: String,
    reason: Option<String>,
    in_flight: u64,
    set_aside: u64,
    set_aside_by: Option<String>,
}

fn stored(node: &Node) -> Stored {
    node.status
        .clone()
        .and_then(|status| serde_json::from_value(status).ok())
        .unwrap_or_default()
}

/// Whether a process is up: it holds a lease, or has reported lately (all its workflows may be paused or parked).
pub(super) fn is_up(node: &Node, report_interval: std::time::Duration) -> bool {
    node.alive || node.seen_seconds < 2.0 * report_interval.as_secs_f64()
}

/// The workflow of this name on each of these nodes.
pub(super) fn on_nodes(nodes: &[&Node], workflow: &str) -> Vec<OnNode> {
    nodes
        .iter()
        .flat_map(|node| {
            let id = node.id;
            stored(node)
                .workflows
                .into_iter()
                .filter(|own| own.name == workflow)
                .map(move |own| OnNode {
                    node: id,
                    state: own.state,
                    reason: own.reason,
                    in_flight: own.in_flight,
                    set_aside: own.set_aside,
                    set_aside_by: own.set_aside_by,
                })
        })
        .collect()
}

/// Whether a process said that it is on its way down.
pub(super) fn is_draining(node: &Node) -> bool {
    stored(node).draining
}

/// Keys of the configuration that were changed in the process's file and wait for its next start.
pub(super) fn pending_restart(node: &Node) -> Vec<String> {
    stored(node).pending_restart
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(status: Option<serde_json::Value>) -> Node {
        Node {
            id: 3,
            host: "h".into(),
            pid: 1,
            version: "9".into(),
            up_seconds: 1.0,
            seen_seconds: 1.0,
            alive: true,
            status,
        }
    }

    #[test]
    fn a_status_of_another_version_is_read_as_far_as_it_goes() {
        for (status, expected) in [
            (None, vec![]),
            (Some(json!("nonsense")), vec![]),
            (
                Some(json!({"workflows": [{"name": "other", "state": "running"}]})),
                vec![],
            ),
            (
                Some(
                    json!({"new": 1, "workflows": [{"name": "w", "state": "parked", "reason": "no key", "more": []}]}),
                ),
                vec![OnNode {
                    node: 3,
                    state: "parked".into(),
                    reason: Some("no key".into()),
                    in_flight: 0,
                    set_aside: 0,
                    set_aside_by: None,
                }],
            ),
        ] {
            assert_eq!(on_nodes(&[&node(status)], "w"), expected);
        }
    }
}
