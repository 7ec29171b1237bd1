//! The parts of a page that a heading gives to other products ("You may also like").

use ego_tree::NodeId;

use super::anchor::Anchor;
use super::{NAMED_LEVEL, OtherProducts, Visible};
use crate::offer::section::announces_others;

/// How far up from such a heading the element is looked for that holds it and the products, in elements.
const MAX_HEADING_CLIMB: usize = 4;

/// How far up from a place in the page such an element is looked for.
const MAX_CLIMB: usize = 40;

/// What stands below one heading.
struct Part {
    /// Where it begins and ends in the visible text.
    start: usize,
    end: usize,
    /// The element that holds the heading and what is below it.
    around: NodeId,
}

/// What belongs to other products than the page's.
pub(super) struct Others<'a> {
    visible: &'a Visible<'a>,
    parts: Vec<Part>,
}

impl<'a> Others<'a> {
    /// Such parts after the title; a heading before it says nothing of what follows the title.
    pub(super) fn new(visible: &'a Visible<'a>, anchor: Option<&Anchor>) -> Self {
        let parts = visible
            .others
            .iter()
            .filter_map(|heading| part(visible, heading))
            .filter(|part| {
                anchor
                    .is_none_or(|anchor| part.start >= anchor.end || !anchor.is_within(part.around))
            })
            .collect();
        Self { visible, parts }
    }

    /// Whether what stands at `start` of the visible text, in `node`, is another product's.
    pub(super) fn has(&self, start: usize, node: NodeId) -> bool {
        let tree = &self.visible.page.document().tree;
        let is_within = |part: &Part| {
            tree.get(node).is_some_and(|node| {
                node.ancestors()
                    .take(MAX_CLIMB)
                    .any(|above| above.id() == part.around)
            })
        };
        self.parts
            .iter()
            .any(|part| (part.start..part.end).contains(&start) && is_within(part))
    }
}

/// What stands below a heading: up to the next of its level that is not of that kind, within the element that holds both.
fn part(visible: &Visible<'_>, heading: &OtherProducts) -> Option<Part> {
    let node = visible.page.document().tree.get(heading.node)?;
    let around = std::iter::once(node)
        .chain(node.ancestors())
        .take(MAX_HEADING_CLIMB)
        .find(|above| {
            above
                .next_siblings()
                .any(|sibling| sibling.value().is_element())
        })?
        .parent()?
        .id();
    // The names of the products are headings too, of a lower level or of none.
    let end = visible
        .headings
        .iter()
        .filter(|next| next.start >= heading.end && next.level < NAMED_LEVEL.min(heading.level))
        .chain(visible.headings.iter().filter(|next| {
            next.start >= heading.end && next.level == heading.level && next.level <= 2
        }))
        .filter(|next| !announces_others(&next.text))
        .map(|next| next.start)
        .min();
    Some(Part {
        start: heading.end,
        end: end.unwrap_or(usize::MAX),
        around,
    })
}
