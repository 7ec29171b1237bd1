//! Content codings, taken off a body as it arrives, within bounds of what that costs.
//!
//! A decoder of an HTTP library counts nothing but what comes out. Gzip members and blocks of any coding may hold nothing, and
//! cost time all the same, for as long as a server likes to send them; on one of the runtime's threads at that. So each body
//! has a bound on its members, on compressed bytes that hold nothing, and on the processor time of all of it; it is worked on in
//! small steps, between which others have their turn. And no window is larger than HTTP allows, whatever the body asks for.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf as _, Bytes};
use flate2::write::GzDecoder;
use http::header::HeaderValue;

use super::{Cause, FetchError};
use crate::compute::timed;

/// What is offered to servers.
pub(super) const OFFERED: HeaderValue = HeaderValue::from_static("gzip, br");

/// Most gzip members of one body. Servers send one; a file that was put together from others may have some more.
const MAX_MEMBERS: u64 = 4_096;

/// So many compressed bytes may hold nothing, beyond what comes out and an eighth more.
const MAX_IDLE_BYTES: u64 = 256 * 1024;

/// Most processor time for one body: that of hundreds of megabytes.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Gzip inflated at once. Deflate grows data at most 1,032 times, so this bounds what comes of it to 129 KiB, and what the
/// decoder held back.
const GZIP_PIECE: usize = 128;

/// Brotli taken at once, and the room for what comes of it.
const BROTLI_PIECE: usize = 4 * 1024;
const BROTLI_ROOM: usize = 64 * 1024;

/// A step ends when so much has come out, or gone in.
const STEP_BYTES: usize = 16 * 1024;

/// A coding that is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Brotli,
}

impl Coding {
    /// The one that a header names, if it is one of those offered.
    pub(super) fn named(header: &HeaderValue) -> Option<Self> {
        let name = header.as_bytes().trim_ascii();
        // The older name is the same (RFC 9110, 8.4.1.3).
        if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            Some(Self::Gzip)
        } else if name.eq_ignore_ascii_case(b"br") {
            Some(Self::Brotli)
        } else {
            None
        }
    }
}

/// A body on its way out of its coding.
pub(super) struct Decoding {
    decoder: Decoder,
    /// Compressed bytes that have come and were not taken yet.
    input: Bytes,
    consumed: u64,
    produced: u64,
    spent: Duration,
    max_time: Duration,
}

enum Decoder {
    Gzip(Box<Gzip>),
    Brotli(Box<Brotli>),
}

struct Gzip {
    inflater: GzDecoder<Vec<u8>>,
    members: u64,
    has_begun: bool,
    /// What follows the last member is not gzip, and nobody's business.
    is_over: bool,
}

struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    room: Vec<u8>,
    total: usize,
    has_begun: bool,
    has_more: bool,
    is_over: bool,
}

impl std::fmt::Debug for Decoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoding")
            .field("consumed", &self.consumed)
            .field("produced", &self.produced)
            .finish_non_exhaustive()
    }
}

impl Decoding {
    pub(super) fn new(coding: Coding) -> Self {
        let decoder = match coding {
            Coding::Gzip => Decoder::Gzip(Box::new(Gzip {
                inflater: GzDecoder::new(Vec::new()),
                members: 1,
                has_begun: false,
                is_over: false,
            })),
            Coding::Brotli => Decoder::Brotli(Box::new(Brotli::new())),
        };
        Self {
            decoder,
            input: Bytes::new(),
            consumed: 0,
            produced: 0,
            spent: Duration::ZERO,
            max_time: MAX_TIME,
        }
    }

    /// Takes compressed bytes, once all before are taken.
    pub(super) fn feed(&mut self, input: Bytes) {
        self.input = input;
    }

    /// Whether there is something to do without more input.
    pub(super) fn has_work(&self) -> bool {
        let has_more = match &self.decoder {
            Decoder::Gzip(_) => false,
            Decoder::Brotli(brotli) => brotli.has_more,
        };
        has_more || !self.input.is_empty()
    }

    /// Whether whatever still comes is not looked at.
    pub(super) fn is_over(&self) -> bool {
        match &self.decoder {
            Decoder::Gzip(gzip) => gzip.is_over,
            Decoder::Brotli(brotli) => brotli.is_over,
        }
    }

    /// Does a step's work: what has come out of it, which may be nothing.
    ///
    /// # Errors
    /// [`FetchError::Body`] for what is no such coding, [`FetchError::Decompression`] for what costs too much.
    pub(super) fn step(&mut self) -> Result<Bytes, FetchError> {
        let before = self.input.len();
        let Self { decoder, input, .. } = self;
        let (output, took) = timed(|| match decoder {
            Decoder::Gzip(gzip) => gzip.step(input),
            Decoder::Brotli(brotli) => brotli.step(input),
        });
        let output = output?;
        self.spent += took;
        self.consumed += count(before - self.input.len());
        self.produced += count(output.len());
        if self.spent > self.max_time {
            return Err(given_up(format!(
                "more than {:?} of processor time",
                self.max_time
            )));
        }
        let accounted = self.produced.saturating_add(self.produced / 8);
        if self.consumed.saturating_sub(accounted) > MAX_IDLE_BYTES {
            return Err(given_up(format!(
                "more than {MAX_IDLE_BYTES} compressed bytes that hold nothing"
            )));
        }
        Ok(output.into())
    }

    /// The end of the body: what was held back.
    ///
    /// # Errors
    /// [`FetchError::Body`] when the end is missing.
    pub(super) fn finish(&mut self) -> Result<Bytes, FetchError> {
        match &mut self.decoder {
            Decoder::Gzip(gzip) if gzip.has_begun && !gzip.is_over => {
                gzip.inflater.try_finish().map_err(broken)?;
                Ok(std::mem::take(gzip.inflater.get_mut()).into())
            }
            Decoder::Brotli(brotli) if brotli.has_begun && !brotli.is_over => {
                let cut = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                Err(broken(cut))
            }
            // A body of no bytes is one of none.
            Decoder::Gzip(_) | Decoder::Brotli(_) => Ok(Bytes::new()),
        }
    }
}

impl Gzip {
    fn step(&mut self, input: &mut Bytes) -> Result<Vec<u8>, FetchError> {
        let mut taken_in = 0;
        while !input.is_empty() && taken_in < STEP_BYTES && !self.is_over {
            self.has_begun = true;
            let piece = input.get(..GZIP_PIECE.min(input.len())).unwrap_or_default();
            let taken = self.inflater.write(piece).map_err(broken)?;
            if taken == 0 {
                // The member has ended.
                self.inflater.try_finish().map_err(broken)?;
                if !input.starts_with(&[0x1f]) {
                    self.is_over = true;
                    input.clear();
                    break;
                }
                self.members += 1;
                if self.members > MAX_MEMBERS {
                    return Err(given_up(format!("more than {MAX_MEMBERS} gzip members")));
                }
                let output = std::mem::take(self.inflater.get_mut());
                self.inflater = GzDecoder::new(output);
            }
            taken_in += taken;
            input.advance(taken);
            if self.inflater.get_ref().len() >= STEP_BYTES {
                break;
            }
        }
        Ok(std::mem::take(self.inflater.get_mut()))
    }
}

impl Brotli {
    fn new() -> Self {
        let alloc = StandardAlloc::default;
        let mut state = BrotliState::new(alloc(), alloc(), alloc());
        // Windows beyond 16 MiB are no part of RFC 7932: a gigabyte of memory for a body of some bytes.
        state.large_window = false;
        Self {
            state,
            room: vec![0; BROTLI_ROOM],
            total: 0,
            has_begun: false,
            has_more: false,
            is_over: false,
        }
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Vec<u8>, FetchError> {
        let (mut output, mut taken_in) = (Vec::new(), 0);
        while (self.has_more || !input.is_empty())
            && !self.is_over
            && taken_in < STEP_BYTES
            && output.len() < STEP_BYTES
        {
            self.has_begun = true;
            let piece = input
                .get(..BROTLI_PIECE.min(input.len()))
                .unwrap_or_default();
            let (mut left, mut taken) = (piece.len(), 0);
            let (mut free, mut written) = (self.room.len(), 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut taken,
                piece,
                &mut free,
                &mut written,
                &mut self.room,
                &mut self.total,
                &mut self.state,
            );
            output.extend_from_slice(self.room.get(..written).unwrap_or_default());
            input.advance(taken);
            taken_in += taken;
            self.has_more = matches!(result, BrotliResult::NeedsMoreOutput);
            match result {
                BrotliResult::ResultSuccess => {
                    self.is_over = true;
                    input.clear();
                }
                BrotliResult::ResultFailure => {
                    return Err(broken(std::io::Error::new(
                        std::io::ErrorKind::InvalidData,
                        "not brotli",
                    )));
                }
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            }
        }
        Ok(output)
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn broken(error: std::io::Error) -> FetchError {
    let cause: Cause = Arc::new(error);
    FetchError::Body(cause)
}

fn given_up(limit: String) -> FetchError {
    FetchError::Decompression { limit }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn brotli(content: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        let params = brotli::enc::BrotliEncoderParams {
            quality: 5,
            ..Default::default()
        };
        brotli::BrotliCompress(&mut &content[..], &mut compressed, &params).unwrap();
        compressed
    }

    /// What comes out, fed in chunks of this size; or what is wrong.
    fn decoded(mut decoding: Decoding, body: &[u8], chunk: usize) -> Result<Vec<u8>, String> {
        let told = |error: FetchError| error.to_string();
        let mut out = Vec::new();
        for chunk in body.chunks(chunk) {
            decoding.feed(Bytes::copy_from_slice(chunk));
            while decoding.has_work() && !decoding.is_over() {
                let piece = decoding.step().map_err(told)?;
                assert!(piece.len() <= 256 * 1024, "{}", piece.len());
                out.extend_from_slice(&piece);
            }
        }
        out.extend_from_slice(&decoding.finish().map_err(told)?);
        Ok(out)
    }

    #[test]
    fn what_was_coded_comes_out_however_it_arrives() {
        let noise: Vec<u8> = (0..300_000_u32)
            .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .collect();
        for content in [
            b"".to_vec(),
            b"kettle".to_vec(),
            vec![b'x'; 3_000_000],
            noise,
        ] {
            for chunk in [1, 1_000, usize::MAX] {
                if chunk == 1 && content.len() > 100_000 {
                    continue;
                }
                let chunk = chunk.min(10_000_000);
                let gz = decoded(Decoding::new(Coding::Gzip), &gzip(&content), chunk);
                assert!(gz.as_ref() == Ok(&content), "gzip, {} bytes", content.len());
                let br = decoded(Decoding::new(Coding::Brotli), &brotli(&content), chunk);
                assert!(br.as_ref() == Ok(&content), "br, {} bytes", content.len());
            }
        }
        // Members in a row are one body; what follows them is nobody's.
        let two = [gzip(b"one "), gzip(b"two"), b"\0\0\0".to_vec()].concat();
        let both = decoded(Decoding::new(Coding::Gzip), &two, 7);
        assert_eq!(both.unwrap(), b"one two");
        for coding in [Coding::Gzip, Coding::Brotli] {
            assert_eq!(decoded(Decoding::new(coding), b"", 1), Ok(Vec::new()));
            decoded(Decoding::new(coding), b"\xff neither", 3).unwrap_err();
        }
        decoded(Decoding::new(Coding::Gzip), &gzip(&[7; 1_000])[..20], 9).unwrap_err();
        decoded(Decoding::new(Coding::Brotli), &brotli(&[7; 1_000])[..6], 9).unwrap_err();
    }

    #[test]
    fn what_costs_more_than_it_holds_is_given_up() {
        let members = gzip(b"").repeat(10_000);
        let told = decoded(Decoding::new(Coding::Gzip), &members, 16_384).unwrap_err();
        assert_eq!(
            told,
            "decompression was given up: more than 4096 gzip members"
        );
        // Stored blocks of no bytes, none of which is the last.
        let head = &gzip(b"")[..10];
        let blocks = [head, &[0, 0, 0, 0xff, 0xff].repeat(200_000)[..]].concat();
        let told = decoded(Decoding::new(Coding::Gzip), &blocks, 16_384).unwrap_err();
        let idle =
            "decompression was given up: more than 262144 compressed bytes that hold nothing";
        assert_eq!(told, idle);
        // Empty blocks of metadata, which brotli may have any number of: a window of 64 KiB (one bit), then "not the last, no
        // size, metadata of no bytes" (six bits, to the end of the byte).
        let mut blocks = vec![0b0000_1100];
        blocks.extend([0b0000_0110].repeat(500_000));
        let told = decoded(Decoding::new(Coding::Brotli), &blocks, 16_384).unwrap_err();
        assert_eq!(told, idle);
        let quick = Decoding {
            max_time: Duration::ZERO,
            ..Decoding::new(Coding::Gzip)
        };
        let told = decoded(quick, &gzip(&vec![b'x'; 1 << 20]), 16_384).unwrap_err();
        assert_eq!(
            told,
            "decompression was given up: more than 0ns of processor time"
        );
    }

    /// A window of a gigabyte, which the large-window form of the coding can ask for.
    #[test]
    fn no_window_is_larger_than_the_coding_has() {
        let large = [0x11, 30, 0x03];
        assert!(decoded(Decoding::new(Coding::Brotli), &large, 3).is_err());
    }
}
