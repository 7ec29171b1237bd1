//! A tree with one or more workflows in memory.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use gleaner_actors::port::PortError;
use gleaner_actors::testing::{Journal, MemoryHeart, MemoryPort, until};
use gleaner_actors::{Backoff, Member, Settings, State, Tick, Tree, TreeSettings, WorkflowStatus};

pub(crate) const NAME: &str = "workflow";

/// What most tests run: an interval so long that only wakes and demand explain a claim.
pub(crate) fn settings() -> Settings {
    Settings {
        interval: Duration::from_secs(3_600),
        batch_size: 10,
        concurrency: 20,
        timeout: Duration::from_secs(30),
        max_attempts: 3,
        backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(60)),
        settle_items: 10,
        settle_age: Duration::from_millis(200),
        stall_after: Duration::from_secs(60),
        ..Settings::default()
    }
}

/// A periodic job that is done at once.
pub(crate) struct Nothing;

impl Tick for Nothing {
    fn tick(&self) -> BoxFuture<'_, Result<(), PortError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Lets paused time pass, everything that is due in it happening on the way.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

pub(crate) struct World {
    pub(crate) tree: Tree,
    pub(crate) port: Arc<MemoryPort>,
    pub(crate) heart: MemoryHeart,
    pub(crate) journal: Arc<Journal>,
}

impl World {
    /// A tree with one workflow on this port.
    pub(crate) async fn start(port: Arc<MemoryPort>, settings: Settings) -> Self {
        Self::start_tree(port, settings, TreeSettings::default(), Vec::new()).await
    }

    pub(crate) async fn start_tree(
        port: Arc<MemoryPort>,
        settings: Settings,
        tree: TreeSettings,
        mut members: Vec<Member>,
    ) -> Self {
        let heart = MemoryHeart::new(&[Arc::clone(&port)]);
        let journal = Journal::new();
        members.insert(0, Member::workflow(NAME, Arc::clone(&port), settings));
        let observer = Arc::clone(&journal);
        let tree = Tree::start_with_heart_task(tree, heart.clone(), members, observer)
            .await
            .unwrap();
        Self {
            tree,
            port,
            heart,
            journal,
        }
    }

    pub(crate) async fn status(&self) -> WorkflowStatus {
        let status = self.tree.status().await.unwrap();
        status.workflow(NAME).unwrap().clone()
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&WorkflowStatus) -> bool) {
        until(what, || async { holds(&self.status().await) }).await;
    }

    pub(crate) async fn until_state(&self, state: State) {
        self.until(&format!("it is {state}"), |status| status.state == state)
            .await;
    }
}
