//! Looks after the items in hand of a workflow that tells how far they have come: all of them once a second, in one statement.
//!
//! It writes down what they tell, and stops those whose rows are not ours any more. It works only while something is in hand.
//! While the database cannot be asked, all go on: the lease decides then.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gleaner_actors::port::LeaseId;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::db::Pool;
use crate::store::stage::{Mark, Stage};
use crate::telemetry::chain;
use crate::workflow::progress::Told;
use crate::workflow::{ItemId, Progress};

/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Watch {
    name: Arc<str>,
    stage: Stage,
    pool: Pool,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    /// By the order in which they were begun: the same item may be worked again before its last work has ended.
    items: HashMap<u64, Item>,
    begun: u64,
    is_looking: bool,
}

#[derive(Clone)]
struct Item {
    lease: LeaseId,
    item: ItemId,
    attempt: i16,
    progress: Progress,
    written: Told,
}

/// An item that is looked after for as long as this stands.
pub(super) struct Begun {
    watch: Arc<Watch>,
    number: u64,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.watch.watched().items.remove(&self.number);
    }
}

impl Watch {
    /// Over the items of a workflow, if they tell anything.
    pub(super) fn over(name: &Arc<str>, stage: &Stage, pool: &Pool) -> Option<Arc<Self>> {
        stage.tells().then(|| {
            Arc::new(Self {
                name: Arc::clone(name),
                stage: stage.clone(),
                pool: pool.clone(),
                watched: Mutex::default(),
            })
        })
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after an item from now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "it looks after many items, and ends by itself with the last of them"
    )]
    pub(super) fn begin(
        self: &Arc<Self>,
        lease: LeaseId,
        item: ItemId,
        attempt: i16,
        progress: &Progress,
    ) -> Begun {
        let mut watched = self.watched();
        watched.begun += 1;
        let number = watched.begun;
        let begun = Item {
            lease,
            item,
            attempt,
            progress: progress.clone(),
            written: Told::default(),
        };
        watched.items.insert(number, begun);
        if !watched.is_looking {
            watched.is_looking = true;
            drop(tokio::spawn(Arc::clone(self).look()));
        }
        drop(watched);
        Begun {
            watch: Arc::clone(self),
            number,
        }
    }

    /// Looks until nothing is in hand.
    async fn look(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once, when there is nothing to tell.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let items: HashMap<u64, Item> = {
                let mut watched = self.watched();
                if watched.items.is_empty() {
                    watched.is_looking = false;
                    return;
                }
                watched.items.clone()
            };
            if let Err(error) = self.report(&items).await {
                debug!(
                    workflow = &*self.name,
                    error, "cannot tell how far items are"
                );
            }
        }
    }

    async fn report(&self, items: &HashMap<u64, Item>) -> Result<(), String> {
        let mut conn = self.pool.get().await.map_err(|error| chain(&error))?;
        let mut leases: HashMap<LeaseId, Vec<(u64, &Item, Told)>> = HashMap::new();
        for (number, item) in items {
            let own = (*number, item, item.progress.told());
            leases.entry(item.lease).or_default().push(own);
        }
        for (lease, own) in leases {
            let marks: Vec<Mark> = own
                .iter()
                .map(|(_, item, told)| mark(item, *told))
                .collect();
            let ours = self.stage.report(&mut conn, lease, &marks).await;
            let ours = ours.map_err(|error| chain(&error))?;
            let mut watched = self.watched();
            for (number, item, told) in own {
                if !ours.contains(&item.item) {
                    item.progress.stop();
                } else if let Some(item) = watched.items.get_mut(&number) {
                    item.written = told;
                }
            }
        }
        Ok(())
    }
}

fn mark(item: &Item, told: Told) -> Mark {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    Mark {
        item: item.item,
        attempt: item.attempt,
        step: told.step,
        done: number(told.done),
        total: told.total.map(number),
        percent: i16::from(told.percent),
        is_new: told != item.written,
    }
}
