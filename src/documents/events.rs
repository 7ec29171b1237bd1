//! Who watches documents is told when one changes, whichever process changed it.
//!
//! PostgreSQL says so on the channel `gleaner_document`, as `tenant:uid` (`tenant:` alone when it is the tenant's keys that changed).
//! A process listens while anybody watches, on one connection, and passes what it hears to the watchers of that tenant. It is a hint:
//! watchers read what there is, and read it all again when they may have missed something; while nobody listens they look every
//! [`LOOK_AGAIN`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Semaphore, broadcast, watch};
use tracing::{debug, warn};

use super::config::Documents;
use super::scope::TenantId;
use crate::app::state::Shared;
use crate::db::connect::Connector;
use crate::telemetry::chain;

/// The channel.
const CHANNEL: &str = "gleaner_document";
/// Changes of a tenant that are kept for a watcher who is slow; one who has missed some reads all again.
const BACKLOG: usize = 256;
/// How often a watcher looks while nobody listens.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How often a listener asks for a sign of life, and whether anybody watches yet.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
/// How long a connection may take for that sign.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);
/// Pause before the next connection, when one broke.
const PAUSE: Duration = Duration::from_secs(1);
/// Watchers of one tenant: a fourth of all, at most.
const SHARE: usize = 4;

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The document of this name.
    Document(String),
    /// The keys of the tenant: who watches may not be allowed to any more.
    Keys,
    /// Anything, maybe nothing.
    Anything,
}

/// The tenant has as many watchers as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

/// The watchers of a process.
pub(super) struct Hub {
    connector: Option<Connector>,
    places: Arc<Semaphore>,
    most_of_tenant: usize,
    watchers: Mutex<Watchers>,
    listens: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Watchers {
    by_tenant: HashMap<TenantId, broadcast::Sender<Change>>,
    /// Whether there is a task that listens, or tries to.
    has_listener: bool,
}

impl Hub {
    pub(super) fn new(shared: &Shared) -> Arc<Self> {
        let config = shared.config.get();
        let streams = config.section::<Documents>().max_streams;
        let connector = Connector::new(config.database.direct(), &config.database);
        Arc::new(Self {
            connector: connector.ok().filter(|_| config.database.listen),
            places: Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS))),
            most_of_tenant: (streams / SHARE).max(1),
            watchers: Mutex::default(),
            listens: watch::Sender::new(false),
        })
    }

    /// How many may watch.
    pub(super) fn ceiling(&self) -> &Arc<Semaphore> {
        &self.places
    }

    /// Watches the documents of this tenant from here on.
    pub(super) fn watch(self: &Arc<Self>, tenant: TenantId) -> Result<Watcher, Crowded> {
        let mut watchers = self.watchers();
        let sender = watchers
            .by_tenant
            .entry(tenant)
            .or_insert_with(|| broadcast::Sender::new(BACKLOG));
        if sender.receiver_count() >= self.most_of_tenant {
            return Err(Crowded);
        }
        let changes = sender.subscribe();
        if let Some(connector) = &self.connector
            && !watchers.has_listener
        {
            watchers.has_listener = true;
            start(Arc::clone(self), connector.clone());
        }
        drop(watchers);
        Ok(Watcher {
            hub: Arc::clone(self),
            tenant,
            changes: Some(changes),
            listens: self.listens.subscribe(),
        })
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what was heard.
    fn hear(&self, payload: &str) {
        let Some((tenant, uid)) = payload.split_once(':') else {
            return;
        };
        let change = if uid.is_empty() {
            Change::Keys
        } else {
            Change::Document(uid.to_owned())
        };
        let Ok(tenant) = tenant.parse::<TenantId>() else {
            return;
        };
        if let Some(sender) = self.watchers().by_tenant.get(&tenant) {
            // Nobody may watch any more, this very moment.
            drop(sender.send(change));
        }
    }

    fn tell_all(&self) {
        for sender in self.watchers().by_tenant.values() {
            drop(sender.send(Change::Anything));
        }
    }

    /// Whether the listener may go: nobody watches. The next who does starts another.
    fn is_done(&self) -> bool {
        let mut watchers = self.watchers();
        if watchers.by_tenant.is_empty() {
            watchers.has_listener = false;
            self.listens.send_replace(false);
        }
        !watchers.has_listener
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it serves the watchers of HTTP, on the threads of HTTP, and ends with the last of them"
)]
fn start(hub: Arc<Hub>, connector: Connector) {
    drop(tokio::spawn(async move {
        while !hub.is_done() {
            let ended = listen(&hub, &connector).await;
            hub.listens.send_replace(false);
            match ended {
                Ok(()) => debug!("nobody watches documents any more"),
                Err(reason) => {
                    warn!(error = %reason, "cannot listen to changes of documents; watchers look for themselves");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }));
}

/// Listens until the connection breaks, or nobody watches.
async fn listen(hub: &Hub, connector: &Connector) -> Result<(), String> {
    let (client, mut heard) = connector.listening().await.map_err(|error| chain(&error))?;
    client
        .batch_execute(&format!("LISTEN {CHANNEL}"))
        .await
        .map_err(|error| chain(&error))?;
    hub.listens.send_replace(true);
    // What changed before was not heard.
    hub.tell_all();
    loop {
        match tokio::time::timeout(PROBE_INTERVAL, heard.recv()).await {
            Ok(Some(Ok(notification))) => hub.hear(notification.payload()),
            Ok(Some(Err(error))) => return Err(chain(&error)),
            Ok(None) => return Err("the connection has ended".to_owned()),
            Err(_elapsed) => {
                if hub.watchers().by_tenant.is_empty() {
                    return Ok(());
                }
                let probe = client.batch_execute("SELECT 1");
                match tokio::time::timeout(PROBE_PATIENCE, probe).await {
                    Ok(probed) => probed.map_err(|error| chain(&error))?,
                    Err(elapsed) => return Err(elapsed.to_string()),
                }
            }
        }
    }
}

/// Somebody who watches the documents of a tenant, until this is dropped.
pub(super) struct Watcher {
    hub: Arc<Hub>,
    tenant: TenantId,
    /// There until it is dropped.
    changes: Option<broadcast::Receiver<Change>>,
    listens: watch::Receiver<bool>,
}

impl Watcher {
    /// The next change. While nobody listens that is [`Change::Anything`] every now and then.
    pub(super) async fn next(&mut self) -> Change {
        let Some(changes) = &mut self.changes else {
            return std::future::pending().await;
        };
        let listens = *self.listens.borrow_and_update();
        tokio::select! {
            change = changes.recv() => match change {
                Ok(change) => change,
                Err(RecvError::Lagged(_)) => Change::Anything,
                // The hub holds the other end for as long as somebody watches.
                Err(RecvError::Closed) => std::future::pending().await,
            },
            Ok(()) = self.listens.changed() => Change::Anything,
            () = tokio::time::sleep(LOOK_AGAIN), if !listens => Change::Anything,
        }
    }

    /// A change that is known already.
    pub(super) fn known(&mut self) -> Option<Change> {
        match self.changes.as_mut()?.try_recv() {
            Ok(change) => Some(change),
            Err(TryRecvError::Lagged(_)) => Some(Change::Anything),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watchers = self.hub.watchers();
        self.changes = None;
        if let Entry::Occupied(own) = watchers.by_tenant.entry(self.tenant)
            && own.get().receiver_count() == 0
        {
            own.remove();
        }
    }
}
