//! Takes gzip off, wherever it is: recognised by its magic bytes, never by a name or a header.

use std::io::Write;
use std::ops::ControlFlow;

use flate2::write::GzDecoder;

use super::entry::{MAX_GZIP_IDLE_BYTES, MAX_GZIP_MEMBERS, Reason, SitemapError};
use super::stage::{End, Step, length};

/// A compressed file that was compressed again in transport; more than that is no accident.
const MAX_LAYERS: usize = 2;

/// Compressed bytes inflated at once. Deflate grows data at most 1,032 times, so this bounds a step's output to 258 KiB.
const PIECE: usize = 256;

/// The start of a gzip member with the only method there is (RFC 1952, section 2.3).
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

pub(super) struct Gunzip {
    layers: Vec<Layer>,
    /// The first bytes of the innermost content, until it is known whether it is gzip.
    head: Vec<u8>,
    is_plain: bool,
    max_bytes: u64,
}

/// A layer of gzip: member after member (RFC 1952, section 2.2).
struct Layer {
    inflater: GzDecoder<Vec<u8>>,
    consumed: u64,
    produced: u64,
    members: u64,
}

impl Layer {
    fn new() -> Self {
        Self {
            inflater: GzDecoder::new(Vec::new()),
            consumed: 0,
            produced: 0,
            members: 1,
        }
    }

    /// Takes compressed bytes; what comes of them is in the inflater.
    fn inflate(&mut self, mut bytes: &[u8]) -> Step {
        let damaged = |_| End::Limit(Reason::DamagedGzip);
        self.consumed = self.consumed.saturating_add(length(bytes));
        while !bytes.is_empty() {
            let taken = match self.inflater.write(bytes).map_err(damaged) {
                Ok(taken) => taken,
                Err(end) => return ControlFlow::Break(end),
            };
            if taken == 0 {
                // The member has ended, and another follows.
                self.members += 1;
                if self.members > MAX_GZIP_MEMBERS {
                    return ControlFlow::Break(End::Refused(SitemapError::GzipMembers));
                }
                if let Err(end) = self.inflater.try_finish().map_err(damaged) {
                    return ControlFlow::Break(end);
                }
                let output = std::mem::take(self.inflater.get_mut());
                self.inflater = GzDecoder::new(output);
            }
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        ControlFlow::Continue(())
    }

    /// Takes what has come of it so far.
    fn output(&mut self) -> Vec<u8> {
        let output = std::mem::take(self.inflater.get_mut());
        self.produced = self.produced.saturating_add(length(&output));
        output
    }

    /// Whether more went in than what came out can account for.
    fn is_idle(&self) -> bool {
        let accounted = self.produced.saturating_add(self.produced / 8);
        self.consumed.saturating_sub(accounted) > MAX_GZIP_IDLE_BYTES
    }
}

type Sink<'a> = dyn FnMut(&[u8]) -> Step + 'a;

impl Gunzip {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            layers: Vec::new(),
            head: Vec::new(),
            is_plain: false,
            max_bytes,
        }
    }

    pub(super) fn layers(&self) -> usize {
        self.layers.len()
    }

    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut Sink<'_>) -> Step {
        self.feed_layer(0, bytes, sink)
    }

    /// Hands on what the inflaters and the recognition still hold back.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) -> Step {
        let mut depth = 0;
        let mut damaged = false;
        while let Some(layer) = self.layers.get_mut(depth) {
            damaged |= layer.inflater.try_finish().is_err();
            let output = std::mem::take(layer.inflater.get_mut());
            depth += 1;
            self.feed_layer(depth, &output, sink)?;
        }
        if !self.is_plain {
            self.is_plain = true;
            sink(&std::mem::take(&mut self.head))?;
        }
        if damaged {
            ControlFlow::Break(End::Limit(Reason::DamagedGzip))
        } else {
            ControlFlow::Continue(())
        }
    }

    fn feed_layer(&mut self, depth: usize, bytes: &[u8], sink: &mut Sink<'_>) -> Step {
        if depth < self.layers.len() {
            return self.inflate(depth, bytes, sink);
        }
        if self.is_plain {
            return sink(bytes);
        }
        self.head.extend_from_slice(bytes);
        let compared = self.head.len().min(MAGIC.len());
        let begins_alike = self.head.get(..compared) == MAGIC.get(..compared);
        if begins_alike && compared < MAGIC.len() {
            return ControlFlow::Continue(());
        }
        let head = std::mem::take(&mut self.head);
        if begins_alike && self.layers.len() < MAX_LAYERS {
            self.layers.push(Layer::new());
            return self.inflate(depth, &head, sink);
        }
        self.is_plain = true;
        sink(&head)
    }

    fn inflate(&mut self, depth: usize, bytes: &[u8], sink: &mut Sink<'_>) -> Step {
        for piece in bytes.chunks(PIECE) {
            let Some(layer) = self.layers.get_mut(depth) else {
                break;
            };
            let inflated = layer.inflate(piece);
            let mut output = layer.output();
            let is_over = layer.produced > self.max_bytes;
            let is_idle = layer.is_idle();
            self.feed_layer(depth + 1, &output, sink)?;
            if is_over {
                return ControlFlow::Break(End::Limit(Reason::MaxBytes));
            }
            inflated?;
            if is_idle {
                return ControlFlow::Break(End::Refused(SitemapError::GzipIdle));
            }
            if let Some(layer) = self.layers.get_mut(depth) {
                output.clear();
                *layer.inflater.get_mut() = output;
            }
        }
        ControlFlow::Continue(())
    }
}
