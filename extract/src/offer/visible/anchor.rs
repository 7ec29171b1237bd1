//! The title's place, against which all else on a page is measured.

use std::collections::HashSet;

use ego_tree::NodeId;

use crate::html::ego::NodeRef;

/// Where the title stands.
pub(in super::super) struct Anchor {
    /// Where it begins and ends in the visible text.
    pub(super) start: usize,
    pub(super) end: usize,
    around: HashSet<NodeId>,
}

impl Anchor {
    pub(super) fn new(start: usize, end: usize, node: NodeRef<'_>) -> Self {
        Self {
            start,
            end,
            around: node.ancestors().map(|ancestor| ancestor.id()).collect(),
        }
    }

    /// Whether the title stands within an element.
    pub(super) fn is_within(&self, node: NodeId) -> bool {
        self.around.contains(&node)
    }
}
