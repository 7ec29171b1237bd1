//! One browser from its start to its end, and who is in it.
//!
//! A task of its own carries its wire and waits for whatever ends it: itself, its memory, idleness, or somebody who says so. That
//! task alone ends the processes, so that nothing is left of a browser once its task is over.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::process::Process;
use super::wire::{Wire, WireError};
use super::{Config, End, RenderError};
use crate::fault::{self, Short};
use crate::metrics;

/// How long a browser may take until it answers for the first time.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to answer what takes it no time: beyond that it is hung.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);

/// Who is in a browser, and what is to become of it.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    pages: usize,
    served: u32,
    /// Nobody gets in any more.
    is_closed: bool,
    /// It is to end now, with whoever is in it.
    end: Option<End>,
}

/// A browser that was started.
pub(super) struct Browser {
    config: Config,
    wire: Wire,
    state: watch::Sender<State>,
    ended: OnceLock<End>,
    /// The last that it said before it ended.
    complaint: OnceLock<String>,
    /// In bytes.
    peak_memory: AtomicU64,
}

/// A browser with the task that carries it.
pub(super) struct Running {
    pub(super) browser: Arc<Browser>,
    task: JoinHandle<()>,
}

/// One page's stay in a browser.
pub(super) struct Visit {
    browser: Arc<Browser>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.browser
            .state
            .send_modify(|state| state.pages = state.pages.saturating_sub(1));
    }
}

#[derive(Deserialize)]
struct Version {
    product: String,
}

impl Running {
    /// Starts a browser for a first page.
    ///
    /// # Errors
    /// [`RenderError::Start`].
    #[expect(
        clippy::disallowed_methods,
        reason = "the browser's own task, ended with it"
    )]
    pub(super) fn start(config: Config, program: &Path) -> Result<(Self, Visit), RenderError> {
        let (process, write, read) = Process::start(&config, program).map_err(|error| {
            match fault::shortage_at_spawn(&error) {
                Some(shortage) => RenderError::Short(Short(shortage)),
                None => RenderError::Start {
                    reason: error.to_string(),
                },
            }
        })?;
        info!(program = %program.display(), pid = process.id(), "browser started");
        metrics::browser_started();
        let (wire, carried) = Wire::new(read, write);
        let browser = Arc::new(Browser {
            config,
            wire,
            // Never without a page before it has had one: it would be idle.
            state: watch::Sender::new(State {
                pages: 1,
                served: 1,
                ..State::default()
            }),
            ended: OnceLock::new(),
            complaint: OnceLock::new(),
            peak_memory: AtomicU64::new(0),
        });
        let visit = Visit {
            browser: Arc::clone(&browser),
        };
        let living = Arc::clone(&browser).live(process, carried);
        let running = Self {
            browser,
            task: tokio::spawn(living),
        };
        Ok((running, visit))
    }

    /// Waits until it answers for the first time.
    ///
    /// # Errors
    /// Why it is to be ended.
    pub(super) async fn answers(&self) -> Result<(), End> {
        let wire = &self.browser.wire;
        let version = wire.call::<Version>(None, "Browser.getVersion", json!({}));
        match timeout(START_PATIENCE, version).await {
            Ok(Ok(version)) => {
                debug!(version = version.product, "browser answers");
                Ok(())
            }
            Ok(Err(_)) => Err(End::Crashed),
            Err(_elapsed) => Err(End::Hung),
        }
    }

    /// Lets nobody in any more, waits until everybody has left, and ends it.
    ///
    /// # Cancel safety
    /// May be called again.
    pub(super) async fn retire(&mut self, why: End) {
        self.browser.close();
        let mut state = self.browser.state.subscribe();
        // An error cannot be: we hold the sender.
        drop(
            state
                .wait_for(|state| state.pages == 0 || state.end.is_some())
                .await,
        );
        self.browser.end(why);
        self.gone().await;
    }

    /// Ends it now. Returns the last that it complained of.
    pub(super) async fn end(mut self, why: End) -> String {
        self.browser.end(why);
        self.gone().await;
        self.browser.complaint.get().cloned().unwrap_or_default()
    }

    /// Waits until nothing is left of it.
    async fn gone(&mut self) {
        if let Err(error) = (&mut self.task).await {
            warn!(%error, "the browser's task failed");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.browser.end(End::Drained);
    }
}

impl Browser {
    /// Lets a page in, unless it is about to end or has had its share.
    pub(super) fn enter(self: &Arc<Self>, config: &Config) -> Option<Visit> {
        let most = self.config.pages_per_browser.get();
        let is_same = self.config == *config;
        let has_entered = self.state.send_if_modified(|state| {
            let is_open = is_same && !state.is_closed && state.served < most;
            if is_open {
                state.pages += 1;
                state.served += 1;
            }
            is_open
        });
        has_entered.then(|| Visit {
            browser: Arc::clone(self),
        })
    }

    /// Why it lets nobody in.
    pub(super) fn closed_for(&self, config: &Config) -> End {
        let end = self.ended.get().copied().or(self.state.borrow().end);
        end.unwrap_or(if self.config == *config {
            End::Worn
        } else {
            End::Changed
        })
    }

    /// The most that it has taken in memory, in bytes.
    pub(super) fn peak_memory(&self) -> u64 {
        self.peak_memory.load(Ordering::Relaxed)
    }

    fn note_memory(&self, bytes: u64) {
        self.peak_memory.fetch_max(bytes, Ordering::Relaxed);
        metrics::browser_memory(bytes);
    }

    fn close(&self) {
        self.state.send_modify(|state| state.is_closed = true);
    }

    /// Asks for its end. The first reason counts.
    fn end(&self, why: End) {
        self.state.send_modify(|state| {
            state.is_closed = true;
            state.end.get_or_insert(why);
        });
    }

    async fn live(
        self: Arc<Self>,
        process: Process,
        carried: impl Future<Output = std::io::Error>,
    ) {
        let end = tokio::select! {
            error = carried => {
                debug!(%error, "the browser's wire broke");
                End::Crashed
            }
            end = self.asked_to_end() => end,
            end = self.outgrows(&process) => end,
            () = self.is_idle() => End::Idle,
        };
        self.end(end);
        // Whoever is still in it learns the reason, which another may have given first.
        let end = self.state.borrow().end.unwrap_or(end);
        self.ended.get_or_init(|| end);
        let pages = self.state.borrow().served;
        let complaint = self.complaint.get_or_init(|| process.complaint());
        match end {
            End::Crashed | End::Hung | End::Memory => {
                warn!(reason = end.as_str(), pages, complaint, "browser ended");
            }
            End::Worn | End::Changed | End::Idle | End::Drained => {
                info!(reason = end.as_str(), pages, "browser ended");
            }
        }
        process.end().await;
        metrics::browser_ended(end.as_str());
    }

    /// Says why before the wire is let go, from which the pages in it learn that it ends.
    async fn outgrows(&self, process: &Process) -> End {
        let limit = self.config.memory;
        let taken = process
            .outgrows(limit, |bytes| self.note_memory(bytes))
            .await;
        debug!(taken, limit, "the browser takes too much memory");
        self.end(End::Memory);
        End::Memory
    }

    async fn asked_to_end(&self) -> End {
        let mut state = self.state.subscribe();
        let asked = state.wait_for(|state| state.end.is_some()).await;
        asked
            .ok()
            .and_then(|state| state.end)
            .unwrap_or(End::Drained)
    }

    /// Waits until nobody has been in it for long; nobody gets in then.
    async fn is_idle(&self) {
        let mut state = self.state.subscribe();
        loop {
            // Errors cannot be: we hold the sender.
            drop(state.wait_for(|state| state.pages == 0).await);
            let is_left = tokio::select! {
                () = sleep(self.config.idle) => true,
                _ = state.wait_for(|state| state.pages > 0) => false,
            };
            let is_closed_now = is_left
                && self.state.send_if_modified(|state| {
                    state.is_closed |= state.pages == 0;
                    state.is_closed
                });
            if is_closed_now {
                return;
            }
        }
    }
}

impl Visit {
    pub(super) fn wire(&self) -> &Wire {
        &self.browser.wire
    }

    /// Asks the browser for what takes it no time. One that does not answer is ended.
    ///
    /// # Errors
    /// [`RenderError::Ended`], [`RenderError::Refused`].
    pub(super) async fn ask<R: DeserializeOwned>(
        &self,
        method: &'static str,
        params: serde_json::Value,
    ) -> Result<R, RenderError> {
        match timeout(ANSWER_PATIENCE, self.wire().call(None, method, params)).await {
            Ok(answer) => answer.map_err(|error| self.explain(error)),
            Err(_elapsed) => {
                self.browser.end(End::Hung);
                Err(RenderError::Ended(End::Hung))
            }
        }
    }

    /// What a broken wire means for a page.
    pub(super) fn explain(&self, error: WireError) -> RenderError {
        match error {
            WireError::Closed => self.gone(),
            refused @ WireError::Refused { .. } => RenderError::Refused(refused.to_string()),
        }
    }

    /// The page's error when the browser is gone.
    pub(super) fn gone(&self) -> RenderError {
        let end = self
            .browser
            .ended
            .get()
            .copied()
            .or(self.browser.state.borrow().end);
        RenderError::Ended(end.unwrap_or(End::Crashed))
    }
}
