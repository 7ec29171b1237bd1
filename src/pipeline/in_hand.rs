//! What a workflow has in hand.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use gleaner_actors::port::LeaseId;

use crate::workflow::ItemId;

/// What the engine has been given and has not settled yet. Needed only when an answer was lost: rows claimed by a statement
/// whose answer never came are stamped with our lease, and only this tells them from the others.
#[derive(Default)]
pub(super) struct InHand {
    /// How often: a row may be claimed again after its settle has committed and before that settle has taken note of it.
    pub(super) items: HashMap<ItemId, u32>,
    /// Of these, the ones that somebody else's lock kept from being settled.
    pub(super) blocked: HashSet<ItemId>,
    /// Of these, the ones with attempts that do not count, and how many.
    pub(super) excused: HashMap<ItemId, i16>,
    /// A claim failed half-way: there may be rows that are ours and that nobody works.
    pub(super) is_uncertain: bool,
    /// The lease under which they were claimed.
    pub(super) lease: Option<LeaseId>,
}

impl InHand {
    /// These were claimed.
    pub(super) fn take(&mut self, items: &[ItemId]) {
        for item in items {
            *self.items.entry(*item).or_default() += 1;
        }
    }

    /// This one is settled.
    pub(super) fn put_down(&mut self, item: ItemId) {
        self.blocked.remove(&item);
        if let Entry::Occupied(mut held) = self.items.entry(item) {
            if *held.get() > 1 {
                *held.get_mut() -= 1;
            } else {
                held.remove();
                self.excused.remove(&item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_claimed_again_before_its_settle_took_note_stays_in_hand() {
        let mut in_hand = InHand::default();
        in_hand.take(&[1, 2]);
        in_hand.take(&[1]);
        in_hand.put_down(1);
        in_hand.put_down(2);
        in_hand.put_down(2);
        assert_eq!(in_hand.items, HashMap::from([(1, 1)]));
    }
}
