//! Who belongs to the tree: members that a reload takes in, lets go, or puts in another's place.
//!
//! A member that is let go is drained as all are at the end: no more claims; what is in hand is finished; what is not finished
//! by the deadline is cancelled, and handed back with its lease, uncharged. An actor that has not come down one lease's time
//! after that is killed, and its lease closed for it. Until the store has closed the lease the member stays where it was, shown
//! as draining. Then it is gone: from the status, from the watch, and from those who can be woken.
//!
//! Who is to take its place waits for that. So two of one name are never at work, and the new one finds every row of the old one
//! settled or queued.
//!
//! A reload that comes meanwhile is judged by whom the reloads before it have left in the tree, whoever is still on the way
//! out. For each name at most one member waits: the newest.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::slot::{Leaving, MemberId, Phase};
use super::state::{RootMsg, RootState};
use super::{Change, Member, TreeError};
use crate::control::Control;
use crate::observer::Event;
use crate::settings::Settings;

/// No way out takes longer: an instant has an end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

impl RootState {
    /// The names of those that belong here, whoever is on the way out.
    fn belonging(&self) -> impl Iterator<Item = (&str, Option<&Settings>)> {
        self.slots.iter().filter_map(|slot| {
            let settings = match &slot.leaving {
                None => slot.settings.as_ref(),
                Some(leaving) => leaving.successor.as_ref()?.settings.as_ref(),
            };
            Some((&*slot.name, settings))
        })
    }

    /// Whether a change can be made, all of it.
    pub(super) fn check(&self, change: &Change) -> Result<(), TreeError> {
        if self.drain.is_some() {
            return Err(TreeError::Draining);
        }
        let unknown = |name: &str, known: Vec<&str>| TreeError::Unknown {
            name: name.to_owned(),
            known: known.into_iter().map(str::to_owned).collect(),
        };
        let there: Vec<&str> = self.belonging().map(|(name, _)| name).collect();
        if let Some(name) = change
            .remove
            .iter()
            .find(|name| !there.contains(&name.as_str()))
        {
            return Err(unknown(name, there));
        }
        let stays = |name: &&str| !change.remove.contains(*name);
        let mut names: HashSet<&str> = there.iter().copied().filter(stays).collect();
        for member in &change.add {
            if !names.insert(&member.name) {
                return Err(TreeError::Duplicate(member.name.to_string()));
            }
        }
        let workflows: Vec<&str> = self
            .belonging()
            .filter_map(|(name, settings)| settings.map(|_| name))
            .filter(stays)
            .collect();
        for name in change.settings.keys() {
            if !workflows.contains(&name.as_str()) {
                return Err(unknown(name, workflows));
            }
        }
        Ok(())
    }

    /// Has a member come down within this time, for good or to make room for another.
    pub(super) fn let_leave(&mut self, name: &str, within: Duration, successor: Option<Member>) {
        let Some(index) = self.slots.iter().position(|slot| &*slot.name == name) else {
            return;
        };
        let (id, now) = (self.slots[index].id, Instant::now());
        let before = self.slots[index].leaving.take();
        let deadline = now + within.min(LONGEST);
        let (deadline, aborted) = match &before {
            Some(before) if before.aborted => (before.deadline, true),
            Some(before) => (before.deadline.min(deadline), false),
            None => (deadline, false),
        };
        let timer = self.later(
            deadline.saturating_duration_since(now),
            RootMsg::LeaveDeadline(id),
        );
        let slot = &mut self.slots[index];
        slot.leaving = Some(Leaving {
            deadline,
            timer,
            aborted,
            successor,
        });
        if before.is_some() {
            return;
        }
        let workflow = &*slot.name;
        tracing::info!(workflow, ?within, "taken out, draining");
        if matches!(slot.phase, Phase::Parked { .. }) {
            self.observer.observe(Event::Unparked { workflow });
        }
        if matches!(slot.phase, Phase::Parked { .. } | Phase::Idle { .. }) {
            slot.phase = Phase::Disabled;
        }
        self.retire(index);
        self.leave_if_done(id);
    }

    /// Takes a member in, or has it wait for its place. The member to start, if it need not wait.
    pub(super) fn take_in(&mut self, member: Member) -> Option<MemberId> {
        let place = self.slots.iter_mut().find(|slot| slot.name == member.name);
        match place {
            Some(slot) => {
                if let Some(leaving) = &mut slot.leaving {
                    leaving.successor = Some(member);
                }
                None
            }
            None => {
                tracing::info!(workflow = &*member.name, "taken in");
                Some(self.admit(member))
            }
        }
    }

    /// The time of a member that was taken out is over. Whether it has to be killed: it was told to hand back, and did not.
    pub(super) fn leave_deadline(&mut self, id: MemberId) -> bool {
        let now = Instant::now();
        let patience = self.settings.lease_ttl;
        let Some(index) = self.find(id) else {
            return false;
        };
        let slot = &mut self.slots[index];
        let Some(leaving) = &mut slot.leaving else {
            return false;
        };
        // The timer of a deadline that has been put off since.
        if now < leaving.deadline || slot.child.is_none() {
            return false;
        }
        if leaving.aborted {
            return true;
        }
        leaving.aborted = true;
        leaving.deadline = now + patience;
        slot.send(Control::Abort);
        let timer = self.later(patience, RootMsg::LeaveDeadline(id));
        if let Some(leaving) = &mut self.slots[index].leaving {
            leaving.timer = timer;
        }
        false
    }

    /// Ends the way out of a member that has nothing left here; whoever is to take its place starts.
    pub(super) fn leave_if_done(&mut self, id: MemberId) {
        // At the tree's own end nobody takes a place any more, and what each has handed back is counted.
        if self.drain.is_some() {
            return;
        }
        let Some(index) = self.find(id) else {
            return;
        };
        let slot = &mut self.slots[index];
        if slot.child.is_some() || slot.closing > 0 {
            return;
        }
        let Some(mut leaving) = slot.leaving.take() else {
            return;
        };
        let Some(successor) = leaving.successor.take() else {
            let slot = self.slots.remove(index);
            self.bells.take_down(&slot.name);
            tracing::info!(workflow = &*slot.name, "gone");
            return;
        };
        slot.become_successor(successor);
        tracing::info!(workflow = &*slot.name, "put in the place of the one before");
        slot.phase = Phase::Disabled;
        if slot.is_enabled() {
            slot.phase = Phase::Restarting {
                reason: "put in another's place".to_owned(),
            };
            let (member, incarnation) = (slot.id, slot.incarnation);
            self.later(
                Duration::ZERO,
                RootMsg::Restart {
                    member,
                    incarnation,
                },
            );
        }
    }
}
