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
    /// Whether a reload was asked for while nobody was there to do it.
    is_reload_due: bool,
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
            is_reload_due: false,
        })
    }

    /// Waits until it is asked to stop, while the process comes up. A reload that is asked for meanwhile is for [`Signals::next`]: the
    /// file may have been read before it was changed. Cancel safe.
    pub async fn stop(&mut self) {
        loop {
            match self.heard().await {
                Asked::Stop => return,
                Asked::Reload => self.is_reload_due = true,
                Asked::Status => {}
            }
        }
    }

    /// The next request. Cancel safe.
    pub async fn next(&mut self) -> Asked {
        if std::mem::take(&mut self.is_reload_due) {
            return Asked::Reload;
        }
        self.heard().await
    }

    async fn heard(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Status,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::raise;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_reload_that_is_asked_for_too_early_is_done_later() {
        let mut signals = Signals::new().unwrap();
        raise(Number::SIGUSR1).unwrap();
        raise(Number::SIGHUP).unwrap();
        let starting = timeout(Duration::from_millis(200), signals.stop()).await;
        assert!(starting.is_err(), "nobody asked it to stop");
        let next = timeout(Duration::from_secs(10), signals.next()).await;
        assert_eq!(next.unwrap(), Asked::Reload);
        let more = timeout(Duration::from_millis(10), signals.next()).await;
        assert!(more.is_err(), "once");
    }
}
