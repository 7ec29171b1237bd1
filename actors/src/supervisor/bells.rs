//! Who can be woken: shared between the root, which knows who there is, and whoever has the tree's handle.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::slot::MemberId;
use crate::continuity::Continuity;

#[derive(Default)]
pub(super) struct Bells(RwLock<HashMap<Arc<str>, Bell>>);

struct Bell {
    member: MemberId,
    continuity: Arc<Continuity>,
}

impl Bell {
    /// Who is to be told, if the bell was silent before.
    fn ring(&self) -> Option<MemberId> {
        self.continuity.ring().then_some(self.member)
    }
}

impl Bells {
    // A panic while one of these is held leaves nothing half done.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Arc<str>, Bell>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Arc<str>, Bell>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hang(&self, name: &Arc<str>, member: MemberId, continuity: &Arc<Continuity>) {
        let bell = Bell {
            member,
            continuity: Arc::clone(continuity),
        };
        self.write().insert(Arc::clone(name), bell);
    }

    pub(super) fn take_down(&self, name: &str) {
        self.write().remove(name);
    }

    /// Rings for the member of this name. Whom to tell, if that is to be done at all.
    pub(super) fn ring(&self, name: &str) -> Option<MemberId> {
        self.read().get(name)?.ring()
    }

    /// Rings for all. Whom to tell.
    pub(super) fn ring_all(&self) -> Vec<MemberId> {
        self.read().values().filter_map(Bell::ring).collect()
    }
}
