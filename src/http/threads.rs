//! The threads that speak to clients: their own, so that nobody from outside takes those on which rows are claimed, settled and
//! kept.

use std::io;
use std::num::NonZero;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};

/// Threads that read and write connections, at most.
const MOST_WORKERS: usize = 4;
/// Threads that parse and pack what bots send, at most: a bound on the processors, and on the memory that each thread keeps.
const MOST_PARSERS: usize = 8;

/// A runtime for the HTTP servers. What it runs ends with it.
pub struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them: half as many as there are processors.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start() -> io::Result<Self> {
        let processors = available_parallelism().map_or(1, NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads((processors / 2).clamp(1, MOST_WORKERS))
            .max_blocking_threads(processors.clamp(2, MOST_PARSERS))
            .thread_name("http")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Tasks that are spawned while this lives run there.
    #[must_use]
    pub fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }

    pub(super) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which tasks of another must not.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
