//! Works the lines of an endless input on several threads, and writes the answers in the order of the lines.
//!
//! ```text
//! reader ── batches ──▶ workers ── pieces of one batch ──▶ writer (the calling thread)
//!    └───────── the batches' outlets, in order ───────────────▲
//! ```
//!
//! Every batch has an outlet of its own, a short queue, and the writer empties one after the other: a worker that is ahead waits.
//! So memory is bounded whatever the answers weigh, and the first batch can always go on. Bytes of lines that are queued or
//! being worked are bounded too. Nobody waits for a batch to fill: what has arrived is worked.

use std::io::{self, BufRead, ErrorKind, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// The longest line that is taken, in bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of lines that may be queued or worked at once; a single longer line is let through alone.
const MAX_BYTES_IN_HAND: usize = 64 * 1024 * 1024;

/// Answers are handed to the writer when they have grown to this many bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// Pieces of one batch that may wait for the writer.
const PIECES_WAITING: usize = 2;

/// One line of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u64,
    /// Without its end; `None` when it is longer than [`MAX_LINE_BYTES`].
    pub(super) bytes: Option<&'a [u8]>,
}

/// What is done with a line: the answer is appended, with its line break.
pub(super) type Work = dyn Fn(&Line<'_>, &mut Vec<u8>) + Send + Sync;

/// Lines one after the other in one piece of memory, so that a line costs no allocation of its own.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    /// Of each line its number, and where it ends in `bytes`; `None` when it is not there, being too long.
    ends: Vec<(u64, Option<usize>)>,
}

impl Lines {
    fn iter(&self) -> impl Iterator<Item = Line<'_>> {
        let mut start = 0;
        self.ends.iter().map(move |(number, end)| Line {
            number: *number,
            bytes: end.and_then(|end| self.bytes.get(std::mem::replace(&mut start, end)..end)),
        })
    }
}

/// Lines on their way to a worker, and the way of their answers to the writer.
struct Batch {
    lines: Lines,
    outlet: SyncSender<Vec<u8>>,
}

/// Works `input` to its end, with so many threads and at most `batch_lines` lines in a batch.
///
/// # Errors
/// When the input cannot be read or a thread not be started. A reader of the output that went away ends it without an error.
pub(super) fn run(
    input: impl BufRead + Send + 'static,
    output: &mut impl Write,
    jobs: NonZeroUsize,
    batch_lines: usize,
    work: &Arc<Work>,
) -> io::Result<()> {
    let (batches, waiting) = sync_channel::<Batch>(jobs.get());
    let (order, outlets) = sync_channel::<Receiver<Vec<u8>>>(jobs.get() * 2);
    let in_hand = Arc::new(Bytes::default());
    let waiting = Arc::new(Mutex::new(waiting));
    for number in 0..jobs.get() {
        let (work, waiting, in_hand) =
            (Arc::clone(work), Arc::clone(&waiting), Arc::clone(&in_hand));
        thread::Builder::new()
            .name(format!("extract-{number}"))
            .spawn(move || worker(&*work, &waiting, &in_hand))?;
    }
    let reader = thread::Builder::new()
        .name("extract-reader".to_owned())
        .spawn(move || read(input, batch_lines, &batches, &order, &in_hand))?;
    match write(&outlets, output) {
        // The reader may be waiting for input that never comes: it is not waited for.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error),
        Ok(()) => reader
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked"))),
    }
}

/// Counts the bytes in hand.
#[derive(Default)]
struct Bytes {
    count: Mutex<usize>,
    fewer: Condvar,
}

impl Bytes {
    /// Waits until so many more are within the bound, or alone.
    fn take(&self, bytes: usize) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = self
            .fewer
            .wait_while(count, |count| {
                *count > 0 && count.saturating_add(bytes) > MAX_BYTES_IN_HAND
            })
            .unwrap_or_else(PoisonError::into_inner);
        *count += bytes;
    }

    fn give_back(&self, bytes: usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = count.saturating_sub(bytes);
        self.fewer.notify_all();
    }
}

/// Cuts the input into lines, and hands them on. Ends early when nobody takes them any more.
fn read(
    mut input: impl BufRead,
    batch_lines: usize,
    batches: &SyncSender<Batch>,
    order: &SyncSender<Receiver<Vec<u8>>>,
    in_hand: &Bytes,
) -> io::Result<()> {
    let mut cutter = Cutter::default();
    let send = |lines: Option<Lines>| -> bool {
        let Some(lines) = lines else {
            return true;
        };
        let (outlet, pieces) = sync_channel(PIECES_WAITING);
        in_hand.take(lines.bytes.len());
        order.send(pieces).is_ok() && batches.send(Batch { lines, outlet }).is_ok()
    };
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            cutter.end();
            send(cutter.take());
            return Ok(());
        }
        let length = buffer.len();
        let mut rest = buffer;
        while !rest.is_empty() {
            rest = cutter.feed(rest);
            if cutter.lines.ends.len() >= batch_lines && !send(cutter.take()) {
                return Ok(());
            }
        }
        input.consume(length);
        // What has arrived is in hand; the next read may wait for ever.
        if !send(cutter.take()) {
            return Ok(());
        }
    }
}

/// Finds the ends of lines.
#[derive(Default)]
struct Cutter {
    /// What has ended; after that, the bytes of the line that has not.
    lines: Lines,
    /// Where that one starts.
    start: usize,
    is_too_long: bool,
    number: u64,
}

impl Cutter {
    /// Takes bytes up to the end of a line; returns the rest.
    fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = memchr::memchr(b'\n', bytes);
        let (piece, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
        if self.open().len() + piece.len() > MAX_LINE_BYTES {
            self.is_too_long = true;
            self.lines.bytes.truncate(self.start);
            self.lines.bytes.shrink_to_fit();
        }
        if !self.is_too_long {
            self.lines.bytes.extend_from_slice(piece);
        }
        if end.is_some() {
            self.end();
        }
        rest
    }

    /// What there is of the line that has not ended.
    fn open(&self) -> &[u8] {
        self.lines.bytes.get(self.start..).unwrap_or_default()
    }

    /// Ends the line. One with nothing in it is passed over.
    fn end(&mut self) {
        self.number += 1;
        if std::mem::take(&mut self.is_too_long) {
            self.lines.ends.push((self.number, None));
        } else if self.open().trim_ascii().is_empty() {
            self.lines.bytes.truncate(self.start);
        } else {
            self.start = self.lines.bytes.len();
            self.lines.ends.push((self.number, Some(self.start)));
        }
    }

    /// The lines that have ended, if any.
    fn take(&mut self) -> Option<Lines> {
        if self.lines.ends.is_empty() {
            return None;
        }
        let next = Lines {
            bytes: self.open().to_vec(),
            ends: Vec::new(),
        };
        self.lines.bytes.truncate(self.start);
        self.start = 0;
        Some(std::mem::replace(&mut self.lines, next))
    }
}

fn worker(work: &Work, waiting: &Mutex<Receiver<Batch>>, in_hand: &Bytes) {
    loop {
        let batch = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(Batch { lines, outlet }) = batch else {
            return;
        };
        let mut answers = Vec::new();
        for line in lines.iter() {
            work(&line, &mut answers);
            if answers.len() >= PIECE_BYTES && outlet.send(std::mem::take(&mut answers)).is_err() {
                return;
            }
        }
        in_hand.give_back(lines.bytes.len());
        if !answers.is_empty() && outlet.send(answers).is_err() {
            return;
        }
    }
}

/// Writes the pieces of one outlet after the other, and flushes when there is nothing to write.
fn write(outlets: &Receiver<Receiver<Vec<u8>>>, output: &mut impl Write) -> io::Result<()> {
    loop {
        let pieces = match outlets.try_recv() {
            Ok(pieces) => pieces,
            Err(TryRecvError::Disconnected) => return output.flush(),
            Err(TryRecvError::Empty) => {
                output.flush()?;
                match outlets.recv() {
                    Ok(pieces) => pieces,
                    Err(_) => return Ok(()),
                }
            }
        };
        for piece in pieces {
            output.write_all(&piece)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn run_over(input: Vec<u8>, jobs: usize, batch_lines: usize, work: &Arc<Work>) -> Vec<u8> {
        let mut output = Vec::new();
        let jobs = NonZeroUsize::new(jobs).unwrap();
        run(io::Cursor::new(input), &mut output, jobs, batch_lines, work).unwrap();
        output
    }

    #[test]
    fn answers_stand_in_the_order_of_the_lines() {
        // The first lines of a batch take longest, so that order does not come by itself.
        let work: Arc<Work> = Arc::new(|line, out| {
            let rounds = if line.number % 7 == 1 { 20_000 } else { 1 };
            let mut sum = 0_u64;
            for round in 0..rounds {
                sum = std::hint::black_box(sum.wrapping_add(round));
            }
            out.extend_from_slice(format!("{}\n", line.number).as_bytes());
        });
        let input = b"x\n".repeat(5_000);
        let expected: String = (1..=5_000).map(|n| format!("{n}\n")).collect();
        for (jobs, batch_lines) in [(1, 1), (4, 1), (4, 64), (2, 100_000)] {
            let output = run_over(input.clone(), jobs, batch_lines, &work);
            assert_eq!(String::from_utf8(output).unwrap(), expected);
        }
    }

    #[test]
    fn lines_are_cut_and_numbered() {
        let work: Arc<Work> = Arc::new(|line, out| {
            let text = String::from_utf8_lossy(line.bytes.unwrap_or(b"too long"));
            out.extend_from_slice(format!("{}={text};", line.number).as_bytes());
        });
        let input = b"a\n\n \r\nb\r\n\xff\nlast".to_vec();
        let output = run_over(input, 2, 1, &work);
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "1=a;4=b\r;5=\u{fffd};6=last;"
        );
        assert!(run_over(Vec::new(), 2, 8, &work).is_empty());
    }

    #[test]
    fn a_line_beyond_the_bound_is_not_held() {
        let mut cutter = Cutter::default();
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..=64 {
            assert!(cutter.feed(&piece).is_empty());
            assert!(cutter.open().len() <= MAX_LINE_BYTES);
        }
        assert_eq!(cutter.feed(b"\nnext\n"), b"next\n");
        cutter.feed(b"next\n");
        let lines = cutter.take().unwrap();
        assert!(lines.bytes.capacity() < 1024);
        let bytes: Vec<Option<&[u8]>> = lines.iter().map(|line| line.bytes).collect();
        assert_eq!(bytes, [None, Some(&b"next"[..])]);
        assert!(cutter.take().is_none());
    }

    /// A reader that waits for nobody, and counts how far it was read.
    struct Endless(Arc<AtomicUsize>);

    impl io::Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'\n');
            for byte in buffer.iter_mut().step_by(2) {
                *byte = b'x';
            }
            self.0.fetch_add(buffer.len(), Ordering::Relaxed);
            Ok(buffer.len())
        }
    }

    /// A writer that takes so much and then breaks.
    struct Breaking(usize);

    impl Write for Breaking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.checked_sub(bytes.len()) {
                Some(left) => {
                    self.0 = left;
                    Ok(bytes.len())
                }
                None => Err(ErrorKind::BrokenPipe.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_endless_input_is_read_no_faster_than_answers_are_taken() {
        let read = Arc::new(AtomicUsize::new(0));
        let input = io::BufReader::with_capacity(4096, Endless(Arc::clone(&read)));
        // Each answer weighs a thousand times its line.
        let work: Arc<Work> = Arc::new(|_, out| out.resize(out.len() + 2_000, b'y'));
        let jobs = NonZeroUsize::new(2).unwrap();
        run(input, &mut Breaking(100_000_000), jobs, 1_024, &work).unwrap();
        let taken = 100_000_000 / 1_000;
        assert!(read.load(Ordering::Relaxed) < taken + 64 * 4096);
    }
}
