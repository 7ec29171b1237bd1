//! The tree from the outside: what it is made of, and the handle the application holds.

mod bells;
mod drain;
mod members;
mod overview;
mod restart;
mod root;
mod slot;
mod state;
mod watch;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef};
use tokio::sync::{oneshot, watch as channel};

use crate::control::Launch;
use crate::lease::{Leases, spawn_heart_thread};
use crate::observer::Observer;
use crate::port::{Heart, Port};
use crate::settings::{Settings, TreeSettings};
use crate::status::{DrainReport, State, TreeStatus};
use crate::ticker::{Job, LaunchHelper, Service, Tick};
use crate::workflow::LaunchWorkflow;
use bells::Bells;
use root::{Root, RootArgs};
use state::{Command, RootMsg};

/// Why the tree did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Nothing in the tree has this name.
    #[error("nothing is called {name:?}; there are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Two members have the same name.
    #[error("two members of the tree are called {0:?}")]
    Duplicate(String),
    /// It cannot be run now, being in this state.
    #[error("{name:?} cannot run now: it is {state}")]
    NotRunning {
        /// Which.
        name: String,
        /// What it is doing instead.
        state: State,
    },
    /// The heartbeat's thread could not be started.
    #[error("failed to start the heartbeat thread")]
    Heart(#[source] std::io::Error),
    /// The root actor could not be started.
    #[error("failed to start the root actor")]
    Root(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Who is in the tree is not changed any more.
    #[error("the tree is on its way down")]
    Draining,
    /// The tree is gone.
    #[error("the tree has stopped")]
    Stopped,
}

/// Something the supervisor runs.
pub struct Member {
    name: Arc<str>,
    settings: Option<Settings>,
    kind: &'static str,
    paused: bool,
    launch: Arc<dyn Launch>,
}

impl Member {
    /// A workflow, behind its port.
    #[must_use]
    pub fn workflow(name: impl Into<Arc<str>>, port: Arc<impl Port>, settings: Settings) -> Self {
        Self {
            name: name.into(),
            settings: Some(settings),
            kind: "workflow",
            paused: false,
            launch: Arc::new(LaunchWorkflow { port }),
        }
    }

    /// A job done once at start and then once per interval.
    #[must_use]
    pub fn ticker(name: impl Into<Arc<str>>, interval: Duration, tick: Arc<dyn Tick>) -> Self {
        Self::helper(name.into(), Job::Ticker { tick, interval })
    }

    /// A job that runs for as long as the tree does.
    #[must_use]
    pub fn service(name: impl Into<Arc<str>>, service: Arc<dyn Service>) -> Self {
        Self::helper(name.into(), Job::Service(service))
    }

    fn helper(name: Arc<str>, job: Job) -> Self {
        Self {
            name,
            settings: None,
            kind: job.kind(),
            paused: false,
            launch: Arc::new(LaunchHelper { job }),
        }
    }

    /// The same, paused before it starts if `paused`. One that takes another's place is as that one was.
    #[must_use]
    pub fn paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }

    /// The name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a reload changes in a running tree.
#[derive(Default)]
pub struct Change {
    /// New settings of workflows that stay, by their names. Those not named stay as they are.
    pub settings: HashMap<String, Settings>,
    /// Members that are new. One with the name of a member that is removed takes its place as soon as that one has come down.
    pub add: Vec<Member>,
    /// The names of members that are to come down and be gone.
    pub remove: BTreeSet<String>,
    /// How long these may take to finish what they have in hand; the rest is cancelled and handed back.
    pub within: Duration,
}

/// A running tree. Cheap to clone; dropping it stops nothing.
#[derive(Clone)]
pub struct Tree {
    root: ActorRef<RootMsg>,
    bells: Arc<Bells>,
    stopped: channel::Receiver<()>,
}

impl Tree {
    /// Starts the heartbeat on its thread, the root actor, and an actor for every enabled member.
    ///
    /// Returns once they are started; their leases are opened after that.
    ///
    /// # Errors
    /// [`TreeError::Duplicate`], [`TreeError::Heart`], [`TreeError::Root`].
    pub async fn start(
        settings: TreeSettings,
        heart: impl Heart,
        members: Vec<Member>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, TreeError> {
        let (parts, stop) = Parts::new(settings, members, observer)?;
        spawn_heart_thread(
            heart,
            Arc::clone(&parts.leases),
            parts.settings.clone(),
            Arc::clone(&parts.observer),
            stop,
        )
        .map_err(TreeError::Heart)?;
        parts.start().await
    }

    /// Like [`Tree::start`], with the heartbeat as a task of the current runtime, so that paused time governs it too.
    ///
    /// # Errors
    /// As [`Tree::start`].
    #[cfg(feature = "testing")]
    pub async fn start_with_heart_task(
        settings: TreeSettings,
        heart: impl Heart,
        members: Vec<Member>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, TreeError> {
        let (parts, stop) = Parts::new(settings, members, observer)?;
        // Ends by itself when the root actor drops the other side.
        let beating = crate::lease::beat_until_stopped(
            heart,
            Arc::clone(&parts.leases),
            parts.settings.clone(),
            Arc::clone(&parts.observer),
            stop,
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "stands for the heartbeat's thread in tests"
        )]
        drop(tokio::spawn(beating));
        parts.start().await
    }

    /// Puts new settings into force, all of them or, if one is for an unknown workflow, none. Enabling starts a workflow,
    /// disabling drains it; a workflow that is idle for want of configuration is tried again. Those not named stay as they are.
    ///
    /// # Errors
    /// [`TreeError::Unknown`], [`TreeError::Stopped`].
    pub async fn reload(&self, workflows: HashMap<String, Settings>) -> Result<(), TreeError> {
        self.change(Change {
            settings: workflows,
            ..Change::default()
        })
        .await
    }

    /// Puts a change into force, all of it or, if part of it cannot be done, none.
    ///
    /// Returns when it is under way: members that are removed are still in the status, draining, until they have come down and
    /// their leases are closed.
    ///
    /// A change that comes meanwhile is judged by what this one leaves in the tree. A member that waits for another's place is
    /// replaced, told its settings, or called off by it like any other; and what has been removed may be added again, to start
    /// when the one before it is gone. The sooner of two deadlines holds.
    ///
    /// # Errors
    /// [`TreeError::Unknown`] for a name to remove or with settings, [`TreeError::Duplicate`] for a member whose name is taken by
    /// one that stays, [`TreeError::Draining`], [`TreeError::Stopped`].
    pub async fn change(&self, change: Change) -> Result<(), TreeError> {
        self.ask(|reply| RootMsg::Reload { change, reply }).await?
    }

    /// Tells a workflow that there may be something to claim. Costs little, and any number of calls before the actor
    /// gets to it are one; unknown names are ignored.
    pub fn wake(&self, name: &str) {
        if let Some(member) = self.bells.ring(name) {
            self.tell(RootMsg::Wake(member));
        }
    }

    /// Wakes every workflow, as after a gap in the notifications.
    pub fn wake_all(&self) {
        for member in self.bells.ring_all() {
            self.tell(RootMsg::Wake(member));
        }
    }

    /// Stops a workflow's claims, or a ticker's or service's runs. What is in hand is finished.
    ///
    /// # Errors
    /// [`TreeError::Unknown`], [`TreeError::Stopped`].
    pub async fn pause(&self, name: &str) -> Result<(), TreeError> {
        self.command(name, Command::Pause).await
    }

    /// Undoes [`Tree::pause`].
    ///
    /// # Errors
    /// [`TreeError::Unknown`], [`TreeError::Stopped`].
    pub async fn resume(&self, name: &str) -> Result<(), TreeError> {
        self.command(name, Command::Resume).await
    }

    /// Claims, or runs the ticker, now: does not wait for the interval, and ends a snooze of the workflow.
    ///
    /// # Errors
    /// [`TreeError::Unknown`], [`TreeError::NotRunning`] if it is paused, parked, idle or disabled, [`TreeError::Stopped`].
    pub async fn run_now(&self, name: &str) -> Result<(), TreeError> {
        self.command(name, Command::RunNow).await
    }

    /// Starts a member again that is parked or idle, its deaths forgotten. Without effect on any other.
    ///
    /// # Errors
    /// [`TreeError::Unknown`], [`TreeError::Stopped`].
    pub async fn unpark(&self, name: &str) -> Result<(), TreeError> {
        self.command(name, Command::Unpark).await
    }

    /// A snapshot of the whole tree. An actor that does not answer within a second is shown as stalled.
    ///
    /// # Errors
    /// [`TreeError::Stopped`].
    pub async fn status(&self) -> Result<TreeStatus, TreeError> {
        self.ask(RootMsg::Status).await
    }

    /// Brings the tree down: no more claims; what is in hand is finished; what is not finished `within` that time is
    /// cancelled and handed back; leases are closed; everything stops.
    ///
    /// Calling it again while it is under way shortens the time: zero hands back at once. Every caller gets the report;
    /// of a tree that is already gone it is empty.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let report = self.ask(|reply| RootMsg::Drain { within, reply }).await;
        // The report is sent just before the end.
        self.stopped().await;
        report.unwrap_or_default()
    }

    /// Resolves when the root actor, and so the whole tree, is gone.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // Nothing is ever sent: the error says that the other side was dropped with the root actor.
        while stopped.changed().await.is_ok() {}
    }

    /// Makes a member's actor panic in a handler. For fault injection only: what follows is a real restart.
    pub fn crash(&self, name: &str) {
        self.tell(RootMsg::Crash(name.to_owned()));
    }

    /// Makes a member's actor never return from a handler. For fault injection only.
    #[cfg(feature = "testing")]
    pub fn hang(&self, name: &str) {
        self.tell(RootMsg::Hang(name.to_owned()));
    }

    async fn command(&self, name: &str, command: Command) -> Result<(), TreeError> {
        let name = name.to_owned();
        self.ask(|reply| RootMsg::Command {
            name,
            command,
            reply,
        })
        .await?
    }

    fn tell(&self, message: RootMsg) {
        if self.root.send_message(message).is_err() {
            tracing::debug!("a message found the tree gone");
        }
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> RootMsg,
    ) -> Result<T, TreeError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.root.send_message(message(reply));
        if sent.is_err() {
            return Err(TreeError::Stopped);
        }
        // A reply dropped unanswered went down with the root actor.
        answer.await.or(Err(TreeError::Stopped))
    }
}

/// What a tree is put together from.
struct Parts {
    settings: TreeSettings,
    members: Vec<Member>,
    observer: Arc<dyn Observer>,
    leases: Arc<Leases>,
    stop: channel::Sender<()>,
    stopped: channel::Receiver<()>,
}

impl Parts {
    fn new(
        settings: TreeSettings,
        members: Vec<Member>,
        observer: Arc<dyn Observer>,
    ) -> Result<(Self, channel::Receiver<()>), TreeError> {
        let mut names = HashSet::new();
        for member in &members {
            if !names.insert(&*member.name) {
                return Err(TreeError::Duplicate(member.name.to_string()));
            }
        }
        let (stop, stopped) = channel::channel(());
        let heart_stop = stopped.clone();
        let parts = Self {
            settings,
            members,
            observer,
            leases: Arc::new(Leases::default()),
            stop,
            stopped,
        };
        Ok((parts, heart_stop))
    }

    async fn start(self) -> Result<Tree, TreeError> {
        let bells = Arc::<Bells>::default();
        let args = RootArgs {
            settings: self.settings,
            observer: self.observer,
            leases: self.leases,
            members: self.members,
            bells: Arc::clone(&bells),
            stop: self.stop,
        };
        #[expect(clippy::disallowed_methods, reason = "the root has nobody above it")]
        let (root, _done) = Actor::spawn(None, Root, args)
            .await
            .map_err(|error| TreeError::Root(Box::new(error)))?;
        Ok(Tree {
            root,
            bells,
            stopped: self.stopped,
        })
    }
}
