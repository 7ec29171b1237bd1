//! Keeps watch over the reading from a thread of its own, for what the reader cannot notice itself.
//!
//! A page that takes more processor time than pages may, memory that runs out, a parent that is gone: each ends this process, the
//! first two after a last word to the parent. Processor time and not the clock's, so that a busy machine fails no page.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use crate::protocol::{Code, Frame, Limits, Recognised};
use crate::wire;

/// How often one looks.
const INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// The watcher needs no more.
const STACK_BYTES: usize = 128 << 10;

/// Written to standard error once half of the memory is in use: whoever then breaks down most likely does for want of it.
pub const MEMORY_MARK: &str = "gleaner parse: half of the memory is in use";

/// The socket to the parent, for one writer at a time, and the page in hand.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    socket: UnixStream,
    /// The page that an engine works on, and the processor time at which it began.
    page: Option<(u32, Duration)>,
}

impl Watch {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared { socket, page: None })),
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub(crate) fn start(&self, limits: &Limits) -> io::Result<()> {
        let watcher = Watcher {
            watch: self.clone(),
            socket: self.lock().socket.try_clone()?,
            // Opened as long as files can be.
            sizes: File::open("/proc/self/statm").ok(),
            page_bytes: u64::try_from(rustix::param::page_size()).unwrap_or(4_096),
            page_time: Duration::from_secs(limits.page_seconds.max(1)),
            memory: limits.memory_bytes,
        };
        thread::Builder::new()
            .name("watch".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || watcher.run())?;
        Ok(())
    }

    /// An engine begins with a page.
    fn enter(&self, page: u32) {
        let now = processor_time();
        self.lock().page = Some((page, now));
    }

    /// The engine is done with it.
    fn leave(&self) {
        self.lock().page = None;
    }

    /// What an engine does with a page. A panic of its costs the page, not the document.
    ///
    /// # Errors
    /// Its own, and [`Code::ParserCrashed`] for a panic.
    pub(crate) fn guarded<T>(
        &self,
        page: u32,
        work: impl FnOnce() -> Result<T, Code>,
    ) -> Result<T, Code> {
        self.enter(page);
        let done = catch_unwind(AssertUnwindSafe(work));
        self.leave();
        done.unwrap_or(Err(Code::ParserCrashed))
    }

    /// Tells the parent.
    ///
    /// # Errors
    /// Those of [`wire::send`].
    pub(crate) fn send(&self, frame: &Frame, bytes: &[u8]) -> io::Result<()> {
        wire::send(&mut self.lock().socket, frame, bytes)
    }

    /// Shows the parent a picture, and waits for what it recognises.
    ///
    /// # Errors
    /// Those of [`wire::send`] and [`wire::receive`].
    pub(crate) fn show(&self, number: u32, png: &[u8]) -> io::Result<Recognised> {
        let bytes = u32::try_from(png.len()).map_err(io::Error::other)?;
        let mut socket = {
            let mut shared = self.lock();
            wire::send(&mut shared.socket, &Frame::Picture { number, bytes }, png)?;
            shared.socket.try_clone()?
        };
        wire::receive(&mut socket, wire::MAX_FRAME)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher {
    watch: Watch,
    socket: UnixStream,
    sizes: Option<File>,
    page_bytes: u64,
    page_time: Duration,
    memory: u64,
}

impl Watcher {
    fn run(self) {
        let mut is_marked = false;
        loop {
            let mut parent = [PollFd::new(&self.socket, PollFlags::empty())];
            let is_gone = poll(&mut parent, Some(&INTERVAL)).is_ok_and(|count| count > 0);
            if is_gone {
                std::process::abort();
            }
            let taken = self.taken();
            if taken > self.memory / 2 && !is_marked {
                is_marked = true;
                complain(MEMORY_MARK);
            }
            // What is left over may be too little for the reader's next step, but does for a last word.
            if taken > self.memory - self.memory / 16 {
                self.end(Code::Memory, |_| true);
            }
            let now = processor_time();
            self.end(Code::Timeout, |began| {
                began.is_some_and(|began| now.saturating_sub(began) > self.page_time)
            });
        }
    }

    /// Ends this process if so, with a last word. Nobody else can speak meanwhile, nor leave the page.
    fn end(&self, code: Code, is_over: impl FnOnce(Option<Duration>) -> bool) {
        let mut shared = self.watch.lock();
        if !is_over(shared.page.map(|(_, began)| began)) {
            return;
        }
        let last = match shared.page {
            Some((page, _)) => Frame::Broke { page, code },
            None => Frame::Failed {
                code,
                message: "Reading it takes more memory than documents may take.".to_owned(),
                pages: Vec::new(),
            },
        };
        drop(wire::send(&mut shared.socket, &last, &[]));
        std::process::abort();
    }

    /// The address space in use, in bytes; zero where it cannot be told.
    fn taken(&self) -> u64 {
        let mut buffer = [0; 64];
        let read = |file: &File| file.read_at(&mut buffer, 0).ok();
        let length = self.sizes.as_ref().and_then(read).unwrap_or(0);
        let text = buffer.get(..length).unwrap_or_default();
        let pages = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        let pages = str::from_utf8(pages)
            .ok()
            .and_then(|text| text.parse().ok());
        pages.unwrap_or(0_u64).saturating_mul(self.page_bytes)
    }
}

/// Of this process, all threads together.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// For the parent's eyes: it keeps the last of what is written there.
pub(crate) fn complain(what: &str) {
    use std::io::Write as _;
    drop(writeln!(io::stderr(), "{what}"));
}
