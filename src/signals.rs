//! Signals: SIGTERM and SIGINT drain (a second one hands back at once), SIGHUP reloads, SIGUSR1 logs the status.

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Status,
}

/// The signals of [`Asked`], kept waiting from the very start of the process, when nobody listens to them yet and they would end it
/// on the spot.
#[derive(Debug)]
pub struct Held(SigSet);

impl Held {
    /// Keeps them waiting. To be called before there is any other thread.
    #[must_use]
    pub fn new() -> Self {
        let mut set = SigSet::empty();
        for number in [
            Number::SIGTERM,
            Number::SIGINT,
            Number::SIGHUP,
            Number::SIGUSR1,
        ] {
            set.add(number);
        }
        // It only fails for arguments that it does not know. Not kept waiting, they do what they always did.
        set.thread_block().unwrap_or_default();
        Self(set)
    }

    /// Lets them through, to do what they do to any program.
    pub fn release(self) {
        self.0.thread_unblock().unwrap_or_default();
    }

    /// Starts listening, and lets those through that have come meanwhile. To be called before there is any other thread: what a
    /// thread keeps waiting, those that it starts and the processes that these start keep waiting too.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen(self) -> std::io::Result<Signals> {
        // It is there for the call alone. The handlers stand for good, and what they hear is passed on by whatever runtime runs.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals::new()
        };
        self.release();
        signals
    }
}

impl Default for Held {
    fn default() -> Self {
        Self::new()
    }
}

/// The signals this process listens to, from the moment this exists.
pub struct Signals {
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    /// Starts listening.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits until it is asked to stop; other requests are for a process that is up, and passed over. Cancel safe.
    pub async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }

    /// The next request. Cancel safe.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Status,
        }
    }
}
