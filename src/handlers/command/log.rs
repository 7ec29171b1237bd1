//! What a handler prints: to our log, within bounds, and the last of it kept for when it ends.
//!
//! A handler that floods is slowed down by its own pipe: it is read no faster than is good for us, and of its lines so many a second
//! go to the log. How many did not is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use crate::child::tail::Tail;
use crate::handlers::bounds::printable;

/// How much of it is kept for the error when it ends.
const TAIL_BYTES: usize = 2_048;

/// The longest line that goes to the log whole.
const MAX_LINE_BYTES: usize = 2_048;

/// How many lines a second go to the log.
const LINES_PER_SECOND: u32 = 100;

/// How much is read in a second.
const BYTES_PER_SECOND: usize = 16 << 20;

const SECOND: Duration = Duration::from_secs(1);

/// The last that a handler printed.
#[derive(Clone, Debug)]
pub(super) struct Last(Arc<Mutex<Tail>>);

impl Last {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Tail::of(TAIL_BYTES))))
    }

    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.push(bytes);
    }

    /// As text, fit to be printed but for its line breaks.
    pub(super) fn text(&self) -> String {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = tail.text();
        let lines: Vec<String> = text.lines().map(printable).collect();
        lines.join("\n")
    }
}

/// What may still go to the log in this second.
#[derive(Debug)]
struct Allowance {
    until: Instant,
    lines: u32,
    bytes: usize,
    left_out: u64,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            until: now + SECOND,
            lines: LINES_PER_SECOND,
            bytes: BYTES_PER_SECOND,
            left_out: 0,
        }
    }

    /// Begins the next second where this one is over: how many lines were left out in it.
    fn renew(&mut self, now: Instant) -> u64 {
        if now < self.until {
            return 0;
        }
        let left_out = self.left_out;
        *self = Self::new(now);
        left_out
    }

    fn takes_line(&mut self) -> bool {
        let is_taken = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        self.left_out += u64::from(!is_taken);
        is_taken
    }
}

/// Lines from bytes as they come; of a long one the beginning.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut on_line: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n");
            let room = MAX_LINE_BYTES.saturating_sub(self.begun.len());
            let piece = text.unwrap_or(part);
            self.begun
                .extend_from_slice(piece.get(..room).unwrap_or(piece));
            if text.is_some() {
                on_line(&self.begun);
                self.begun.clear();
            }
        }
    }
}

/// Reads what a handler prints until there is nothing more, and passes it on.
pub(super) async fn follow(mut printed: ChildStderr, workflow: String, pid: i32, last: Last) {
    let mut allowance = Allowance::new(Instant::now());
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let left_out = allowance.renew(Instant::now());
        if left_out > 0 {
            warn!(
                workflow,
                pid, left_out, "a handler prints too much: lines are left out"
            );
        }
        if allowance.bytes == 0 {
            sleep_until(allowance.until).await;
            continue;
        }
        let most = buffer.len().min(allowance.bytes);
        let room = buffer.get_mut(..most).unwrap_or_default();
        // Woken at the end of the second only if there is something to tell then.
        let read = if allowance.left_out > 0 {
            match timeout_at(allowance.until, printed.read(room)).await {
                Ok(read) => read,
                Err(_elapsed) => continue,
            }
        } else {
            printed.read(room).await
        };
        let Ok(read @ 1..) = read else {
            break;
        };
        let bytes = buffer.get(..read).unwrap_or_default();
        // A second may have gone by since.
        let left_out = allowance.renew(Instant::now());
        if left_out > 0 {
            warn!(
                workflow,
                pid, left_out, "a handler prints too much: lines are left out"
            );
        }
        allowance.bytes = allowance.bytes.saturating_sub(read);
        last.push(bytes);
        lines.push(bytes, |line| tell(&workflow, pid, &mut allowance, line));
    }
    if !lines.begun.is_empty() {
        tell(&workflow, pid, &mut allowance, &lines.begun);
    }
    if allowance.left_out > 0 {
        let left_out = allowance.left_out;
        warn!(
            workflow,
            pid, left_out, "a handler prints too much: lines are left out"
        );
    }
}

fn tell(workflow: &str, pid: i32, allowance: &mut Allowance, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end();
    if !line.is_empty() && allowance.takes_line() {
        info!(workflow, pid, "handler: {}", printable(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_counted() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let long = "x".repeat(3 * MAX_LINE_BYTES);
        for bytes in ["a\nb", "c\n", "\n", &long, &long, "\nlast"] {
            lines.push(bytes.as_bytes(), |line| found.push(line.len()));
        }
        assert_eq!(found, [1, 2, 0, MAX_LINE_BYTES]);
        assert_eq!(lines.begun, b"last");
    }

    #[test]
    fn what_is_left_out_is_told_once_a_second() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let taken = (0..LINES_PER_SECOND + 7).filter(|_| allowance.takes_line());
        assert_eq!(taken.count(), 100);
        assert_eq!(allowance.renew(start), 0);
        assert_eq!(allowance.renew(start + SECOND), 7);
        assert!(allowance.takes_line());
        assert_eq!(allowance.renew(start + 3 * SECOND), 0);
    }
}
